// The loop of one thread: its ring, its timers, and what to do once a turn.
//
// Owner   One a shard and one for the management thread; everything in it belongs to that thread,
//         but wake() and post(), which any thread may call.
// Bounds  One io_uring_enter a turn. What is posted is bounded by what posts: the worker pool's
//         queue, one request of the admin socket, one policy.

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/ring/ring.h"
#include "runtime/task/ready_list.h"
#include "runtime/task/timer_wheel.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace ebbgate::task {

// Called once a turn, after the completions: flush output, submit the commit group, and so on.
// Returns true when there is more to do at once.
class turn_hook {
public:
    virtual bool on_turn() noexcept = 0;

protected:
    ~turn_hook() = default;
};

class reactor {
public:
    [[nodiscard]] static result<std::unique_ptr<reactor>> open(const ring::options& options);
    ~reactor();
    reactor(const reactor&) = delete;
    reactor& operator=(const reactor&) = delete;

    void run(); // Until stop().

    void stop() noexcept { stopping_ = true; }

    void run_once(std::uint64_t wait_ms_max);
    // At the end, when everything was told to close: turns until nothing is left in the kernel or
    // in the queue, at most `wait_ms_max`. What frees itself has then done so.
    void settle(std::uint64_t wait_ms_max);

    void add_hook(turn_hook& hook) { hooks_.push_back(&hook); }

    [[nodiscard]] ring::ring& io() noexcept { return *ring_; }

    [[nodiscard]] timer_wheel& timers() noexcept { return *timers_; }

    [[nodiscard]] ready_list& ready() noexcept { return ready_; }

    // Of this turn, on a clock that never goes back.
    [[nodiscard]] std::uint64_t now_ms() const noexcept { return now_ms_; }

    // Wall clock of this turn: for stamps only, never for waiting.
    [[nodiscard]] std::int64_t unix_us() const noexcept { return unix_us_; }

    // Runs `work` on this reactor's thread, soon, in the order posted. From any thread, without a
    // lock; all that waits is taken as one batch a turn, and the thread is woken only when it
    // sleeps.
    void post(std::function<void()> work);

private:
    reactor() = default;
    void read_clocks() noexcept;
    void arm_wake() noexcept;
    bool take_posts(); // True: something ran.

    struct posted {
        std::function<void()> work;
        posted* next = nullptr;
    };

    struct wake_operation : ring::operation {
        reactor* owner = nullptr;
        std::uint64_t value = 0;
    };

    std::unique_ptr<ring::ring> ring_;
    std::unique_ptr<timer_wheel> timers_;
    std::vector<turn_hook*> hooks_;
    wake_operation wake_;
    int wake_fd_ = -1;
    std::atomic<bool> sleeping_ = false;
    std::atomic<posted*> posts_ = nullptr; // The newest first.
    ready_list ready_;
    std::uint64_t now_ms_ = 0;
    std::int64_t unix_us_ = 0;
    bool stopping_ = false;
};

} // namespace ebbgate::task
