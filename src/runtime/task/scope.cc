#include "runtime/task/scope.h"

#include "ebbgate/base/assert.h"

#include <exception>
#include <utility>

namespace ebbgate::task {

// The frame at the bottom of a flow: it frees itself at its end.
struct scope::root {
    struct promise_type : pooled_frame {
        root get_return_object() const noexcept { return {}; }

        std::suspend_never initial_suspend() const noexcept { return {}; }

        std::suspend_never final_suspend() const noexcept { return {}; }

        void return_void() const noexcept {}

        void unhandled_exception() const noexcept { std::terminate(); }
    };
};

scope::root scope::drive(scope& owner, flow<> started) {
    {
        flow<> running = std::move(started);
        co_await running;
    }
    --owner.count_;
}

void scope::start(flow<> started) {
    ++count_;
    drive(*this, std::move(started));
}

void scope::stop() noexcept {
    stopping_ = true;
    while (sleepers_ != nullptr) {
        sleepers_->wake();
    }
}

sleep::sleep(scope& owner, std::uint64_t for_ms) : owner_(owner), for_ms_(for_ms) {
    due_.owner = this;
    due_.on_expire = [](task::timer& timer) noexcept {
        static_cast<due_timer&>(timer).owner->wake();
    };
}

sleep::~sleep() {
    EBBGATE_ASSERT(previous_link_ == nullptr);
}

void sleep::await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    next_ = owner_.sleepers_;
    previous_link_ = &owner_.sleepers_;
    if (next_ != nullptr) {
        next_->previous_link_ = &next_;
    }
    owner_.sleepers_ = this;
    owner_.reactor_.timers().set(due_, owner_.reactor_.now_ms() + for_ms_);
}

void sleep::wake() noexcept {
    owner_.reactor_.timers().clear(due_);
    *previous_link_ = next_;
    if (next_ != nullptr) {
        next_->previous_link_ = previous_link_;
    }
    previous_link_ = nullptr;
    owner_.reactor_.ready().push(std::exchange(waiting_, nullptr));
}

} // namespace ebbgate::task
