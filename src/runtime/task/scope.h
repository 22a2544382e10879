// The flows that belong to one owner: it starts them, can ask them to stop, and outlives them.
//
// Owner   One shard thread. The owner keeps the scope alive until count() is 0, or
//         the process ends: what then still waits is left as it is.
// Bounds  None of its own: what starts flows limits them.

#pragma once

#include "runtime/task/flow.h"
#include "runtime/task/reactor.h"

#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace ebbgate::task {

class sleep;

class scope {
public:
    explicit scope(task::reactor& reactor) : reactor_(reactor) {}

    ~scope() = default;
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;

    // Runs the flow up to its first wait, at once.
    void start(flow<> started);

    // Every sleep ends now, those to come end at once; flows look at stopping() and leave.
    void stop() noexcept;

    [[nodiscard]] bool stopping() const noexcept { return stopping_; }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }

private:
    friend class sleep;
    struct root;

    static root drive(scope& owner, flow<> started);

    task::reactor& reactor_;
    sleep* sleepers_ = nullptr;
    std::size_t count_ = 0;
    bool stopping_ = false;
};

// `co_await` on a named one waits so long, or until the scope stops.
class sleep {
public:
    sleep(scope& owner, std::uint64_t for_ms);
    ~sleep();
    sleep(const sleep&) = delete;
    sleep& operator=(const sleep&) = delete;

    bool await_ready() const noexcept { return owner_.stopping_; }

    void await_suspend(std::coroutine_handle<> waiting) noexcept;

    void await_resume() const noexcept {}

private:
    friend class scope;

    struct due_timer : task::timer {
        sleep* owner = nullptr;
    };

    void wake() noexcept;

    scope& owner_;
    due_timer due_;
    std::coroutine_handle<> waiting_;
    sleep* next_ = nullptr;
    sleep** previous_link_ = nullptr; // Null: not asleep.
    std::uint64_t for_ms_;
};

// Set by a callback, awaited by one flow, which goes on in the next turn: never inside the
// callback.
class signal {
public:
    explicit signal(ready_list& ready) : ready_(ready) {}

    signal(const signal&) = delete;
    signal& operator=(const signal&) = delete;

    void set() noexcept {
        is_set_ = true;
        if (waiting_) {
            ready_.push(std::exchange(waiting_, nullptr));
        }
    }

    bool await_ready() const noexcept { return is_set_; }

    void await_suspend(std::coroutine_handle<> waiting) noexcept { waiting_ = waiting; }

    // Ready to be awaited again.
    void await_resume() noexcept { is_set_ = false; }

private:
    ready_list& ready_;
    std::coroutine_handle<> waiting_;
    bool is_set_ = false;
};

} // namespace ebbgate::task
