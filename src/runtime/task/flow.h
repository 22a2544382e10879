// A coroutine of one shard: what a flow of several waits looks like when it is written down in
// order. It begins when it is awaited, and is awaited once.
//
// Owner   The flow<T> object owns the frame; a top-level one is given to a scope (scope.h).
// Fails   Results are values (result<T>); an exception that leaves a coroutine ends the process.
// Bounds  Frames come from the thread's pool; buffers do not belong into frames.
// Specs   The rules for co_await that g++ 12 needs are in docs/architecture.md, "Coroutines".

#pragma once

#include "runtime/task/frame_pool.h"

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace ebbgate::task {

namespace details {

struct promise_base : pooled_frame {
    std::coroutine_handle<> continuation; // Null: the flow has not suspended its parent.

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }

        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
            const std::coroutine_handle<> parent = ended.promise().continuation;
            return parent ? parent : std::noop_coroutine();
        }

        void await_resume() const noexcept {}
    };

    std::suspend_always initial_suspend() const noexcept { return {}; }

    final_awaiter final_suspend() const noexcept { return {}; }

    void unhandled_exception() const noexcept { std::terminate(); }
};

template <class Value>
struct promise : promise_base {
    std::optional<Value> value;

    void return_value(Value returned) { value.emplace(std::move(returned)); }

    Value take() { return std::move(*value); }
};

template <>
struct promise<void> : promise_base {
    void return_void() const noexcept {}

    void take() const noexcept {}
};

} // namespace details

template <class Value = void>
class [[nodiscard]] flow {
public:
    struct promise_type : details::promise<Value> {
        flow get_return_object() noexcept {
            return flow(std::coroutine_handle<promise_type>::from_promise(*this));
        }
    };

    flow(flow&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}

    flow& operator=(flow&&) = delete;

    ~flow() {
        if (frame_) {
            frame_.destroy();
        }
    }

    bool await_ready() const noexcept { return false; }

    // A child that ends without waiting continues its parent here, on the same stack depth.
    bool await_suspend(std::coroutine_handle<> parent) noexcept {
        frame_.resume();
        if (frame_.done()) {
            return false;
        }
        frame_.promise().continuation = parent;
        return true;
    }

    Value await_resume() { return frame_.promise().take(); }

private:
    explicit flow(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

    std::coroutine_handle<promise_type> frame_;
};

} // namespace ebbgate::task
