#include "runtime/task/reactor.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <unistd.h>
#include <utility>

namespace ebbgate::task {

result<std::unique_ptr<reactor>> reactor::open(const ring::options& options) {
    std::unique_ptr<reactor> made(new reactor());
    auto opened = ring::ring::open(options);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    made->ring_ = std::move(*opened);
    made->read_clocks();
    made->timers_ = std::make_unique<timer_wheel>(made->now_ms_);
    made->wake_fd_ = eventfd(0, EFD_CLOEXEC);
    if (made->wake_fd_ < 0) {
        return fail(failure_kind::io, std::string("eventfd: ") + std::strerror(errno));
    }
    made->wake_.owner = made.get();
    made->wake_.on_complete = [](ring::operation& operation, std::int32_t, std::uint32_t) noexcept {
        static_cast<wake_operation&>(operation).owner->arm_wake();
    };
    made->arm_wake();
    return made;
}

reactor::~reactor() {
    ring_.reset();
    if (wake_fd_ >= 0) {
        close(wake_fd_);
    }
}

void reactor::read_clocks() noexcept {
    timespec monotonic{};
    timespec wall{};
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_REALTIME, &wall);
    now_ms_ = static_cast<std::uint64_t>(monotonic.tv_sec) * 1000 +
              static_cast<std::uint64_t>(monotonic.tv_nsec) / 1'000'000;
    unix_us_ = wall.tv_sec * 1'000'000 + wall.tv_nsec / 1000;
}

void reactor::arm_wake() noexcept {
    ring_->read(wake_, wake_fd_, &wake_.value, sizeof wake_.value, 0);
}

void reactor::post(std::function<void()> work) {
    {
        const std::lock_guard hold(posts_lock_);
        posts_.push_back(std::move(work));
    }
    if (sleeping_.exchange(false)) {
        const std::uint64_t one = 1;
        (void)!::write(wake_fd_, &one, sizeof one);
    }
}

bool reactor::take_posts() {
    std::vector<std::function<void()>> batch;
    {
        const std::lock_guard hold(posts_lock_);
        batch.swap(posts_);
    }
    for (std::function<void()>& work : batch) {
        work();
    }
    return !batch.empty();
}

void reactor::run_once(std::uint64_t wait_ms_max) {
    // What was posted may have changed what the caller waits for: no sleep after it.
    bool more = take_posts();
    for (turn_hook* hook : hooks_) {
        more = hook->on_turn() || more;
    }
    std::uint64_t wait_ms = more ? 0 : wait_ms_max;
    if (wait_ms > 0) {
        wait_ms = std::min(wait_ms, timers_->next_delay_ms().value_or(wait_ms));
        sleeping_.store(true);
        // A post between take_posts() and here saw us awake and sent no wake: look once more.
        const std::lock_guard hold(posts_lock_);
        if (!posts_.empty()) {
            wait_ms = 0;
        }
    }
    ring_->turn(std::chrono::milliseconds(wait_ms));
    sleeping_.store(false);
    read_clocks();
    timers_->advance(now_ms_);
}

void reactor::run() {
    constexpr std::uint64_t wait_ms_max = 1000;
    while (!stopping_) {
        run_once(wait_ms_max);
    }
}

} // namespace ebbgate::task
