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
    for (posted* left = posts_.load(); left != nullptr;) {
        const std::unique_ptr<posted> dropped(std::exchange(left, left->next));
    }
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
    auto* node = new posted{std::move(work), posts_.load(std::memory_order_relaxed)};
    while (!posts_.compare_exchange_weak(node->next, node)) {
    }
    if (sleeping_.exchange(false)) {
        const std::uint64_t one = 1;
        (void)!::write(wake_fd_, &one, sizeof one);
    }
}

bool reactor::take_posts() {
    // Taken whole: no node is pushed back, so none is met twice by a racing push.
    posted* newest = posts_.exchange(nullptr, std::memory_order_acquire);
    posted* oldest = nullptr;
    while (newest != nullptr) {
        posted* next = std::exchange(newest->next, oldest);
        oldest = std::exchange(newest, next);
    }
    const bool any = oldest != nullptr;
    while (oldest != nullptr) {
        const std::unique_ptr<posted> first(std::exchange(oldest, oldest->next));
        first->work();
    }
    return any;
}

void reactor::run_once(std::uint64_t wait_ms_max) {
    // What was posted may have changed what the caller waits for: no sleep after it.
    bool more = take_posts();
    more = ready_.run() || more;
    for (turn_hook* hook : hooks_) {
        more = hook->on_turn() || more;
    }
    std::uint64_t wait_ms = more || !ready_.empty() ? 0 : wait_ms_max;
    if (wait_ms > 0) {
        wait_ms = std::min(wait_ms, timers_->next_delay_ms().value_or(wait_ms));
        sleeping_.store(true);
        // A post between take_posts() and here saw us awake and sent no wake: look once more.
        if (posts_.load() != nullptr) {
            wait_ms = 0;
        }
    }
    ring_->wait(std::chrono::milliseconds(wait_ms));
    sleeping_.store(false);
    read_clocks(); // First: who is told of what came must not reckon with the time before the
                   // sleep.
    ring_->complete();
    timers_->advance(now_ms_);
}

void reactor::settle(std::uint64_t wait_ms_max) {
    const std::uint64_t until_ms = now_ms_ + wait_ms_max;
    for (;;) {
        run_once(1);
        // The read that waits for a wake stays.
        if ((posts_.load() == nullptr && ready_.empty() && ring_->in_flight_count() <= 1) ||
            now_ms_ >= until_ms) {
            return;
        }
    }
}

void reactor::run() {
    constexpr std::uint64_t wait_ms_max = 1000;
    while (!stopping_) {
        run_once(wait_ms_max);
    }
}

} // namespace ebbgate::task
