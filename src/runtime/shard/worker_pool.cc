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
    {
        const std::lock_guard hold(lock_);
        stopping_ = true;
        queue_.clear();
    }
    more_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
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
        }
        taken.work();
        taken.home->post(std::move(taken.finish));
    }
}

} // namespace ebbgate::shard
