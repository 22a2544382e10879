#include "runtime/shard/worker_pool.h"

#include <utility>

namespace ebbgate::shard {

worker_pool::worker_pool(std::size_t thread_count, std::size_t queue_jobs_max)
    : queue_jobs_max_(queue_jobs_max) {
    for (std::size_t index = 0; index < thread_count; ++index) {
        threads_.emplace_back([this] { run(); });
    }
}

worker_pool::~worker_pool() {
    drop_waiting();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void worker_pool::drop_waiting() {
    std::deque<job> dropped; // Their closures end without the lock.
    {
        const std::lock_guard hold(lock_);
        stopping_ = true;
        dropped.swap(queue_);
    }
    more_.notify_all();
}

bool worker_pool::stop(std::chrono::milliseconds wait_max) {
    drop_waiting();
    {
        std::unique_lock hold(lock_);
        if (!ended_.wait_for(hold, wait_max, [this] { return running_jobs_ == 0; })) {
            return false;
        }
    }
    for (std::thread& thread : threads_) {
        thread.join();
    }
    threads_.clear();
    return true;
}

bool worker_pool::submit(task::reactor& home,
                         std::function<void()> work,
                         std::function<void()> finish) {
    {
        const std::lock_guard hold(lock_);
        if (stopping_ || queue_.size() >= queue_jobs_max_) {
            return false;
        }
        queue_.push_back({&home, std::move(work), std::move(finish)});
    }
    more_.notify_one();
    return true;
}

std::size_t worker_pool::waiting_jobs() const {
    const std::lock_guard hold(lock_);
    return queue_.size();
}

void worker_pool::run() {
    for (;;) {
        job taken;
        {
            std::unique_lock hold(lock_);
            more_.wait(hold, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty()) {
                return;
            }
            taken = std::move(queue_.front());
            queue_.pop_front();
            ++running_jobs_;
        }
        taken.work();
        taken.home->post(std::move(taken.finish));
        {
            const std::lock_guard hold(lock_);
            --running_jobs_;
        }
        ended_.notify_all();
    }
}

} // namespace ebbgate::shard
