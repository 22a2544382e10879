#include "program/daemon/background.h"

#include <sys/resource.h>

#include <future>
#include <unistd.h>
#include <utility>

namespace ebbgate::program {

background::~background() {
    {
        const std::lock_guard hold(lock_);
        ending_ = true;
    }
    more_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void background::run(const std::function<void()>& work) {
    std::promise<void> done;
    post([&] {
        work();
        done.set_value();
    });
    done.get_future().wait();
}

void background::post(std::function<void()> work) {
    {
        const std::lock_guard hold(lock_);
        given_.push_back(std::move(work));
    }
    more_.notify_one();
    if (!thread_.joinable()) {
        thread_ = std::thread([this] { work_off(); });
    }
}

void background::work_off() {
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), niceness);
    for (;;) {
        std::function<void()> next;
        {
            std::unique_lock hold(lock_);
            more_.wait(hold, [this] { return ending_ || !given_.empty(); });
            if (given_.empty()) {
                return;
            }
            next = std::move(given_.front());
            given_.pop_front();
        }
        next();
    }
}

} // namespace ebbgate::program
