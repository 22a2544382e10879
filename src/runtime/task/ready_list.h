// Coroutines that go on in this turn, in the order in which what they waited for came.
//
// Owner   A reactor; its thread only.

#pragma once

#include <coroutine>
#include <utility>
#include <vector>

namespace ebbgate::task {

class ready_list {
public:
    void push(std::coroutine_handle<> flow) { waiting_.push_back(flow); }

    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }

    // What becomes ready meanwhile waits for the next call. True: something ran.
    bool run() {
        running_.clear();
        running_.swap(waiting_);
        for (const std::coroutine_handle<> flow : running_) {
            flow.resume();
        }
        return !running_.empty();
    }

private:
    std::vector<std::coroutine_handle<>> waiting_;
    std::vector<std::coroutine_handle<>> running_;
};

} // namespace ebbgate::task
