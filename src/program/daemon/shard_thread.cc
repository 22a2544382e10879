#include "program/daemon/shard_thread.h"

#include <utility>

namespace ebbgate::program {

shard_thread::shard_thread() : thread_([this] { follow(); }) {}

std::future<result<void>> shard_thread::tell(std::function<result<void>()> step) {
    std::packaged_task<result<void>()> task(std::move(step));
    std::future<result<void>> ended = task.get_future();
    const std::lock_guard hold(lock_);
    steps_.push(std::move(task));
    told_.notify_one();
    return ended;
}

void shard_thread::let_go(std::function<void()> rest) {
    (void)tell([rest = std::move(rest)]() -> result<void> {
        rest();
        return {};
    });
    const std::lock_guard hold(lock_);
    is_let_go_ = true;
    told_.notify_one();
}

void shard_thread::join() {
    thread_.join();
}

void shard_thread::follow() {
    for (;;) {
        std::packaged_task<result<void>()> next;
        {
            std::unique_lock hold(lock_);
            told_.wait(hold, [this] { return !steps_.empty() || is_let_go_; });
            if (steps_.empty()) {
                return;
            }
            next = std::move(steps_.front());
            steps_.pop();
        }
        next();
    }
}

} // namespace ebbgate::program
