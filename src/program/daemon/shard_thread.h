// A thread that is led through a start step by step, and then goes its own way.
//
// A ring belongs to the thread that opened it, so all steps of a shard's start are taken there;
// some of them one shard after another, the long ones at once.
//
// Owner   The management thread.
// Fails   A step's failure is in its future; the thread waits for the next one all the same.

#pragma once

#include "ebbgate/base/result.h"

#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <queue>
#include <thread>

namespace ebbgate::program {

class shard_thread {
public:
    shard_thread();
    shard_thread(const shard_thread&) = delete;
    shard_thread& operator=(const shard_thread&) = delete;
    // join() was called, or the process ends without destructors.
    ~shard_thread() = default;

    [[nodiscard]] std::future<result<void>> tell(std::function<result<void>()> step);
    // Its last step, and nobody waits for it.
    void let_go(std::function<void()> rest);
    void join();

private:
    void follow();

    std::mutex lock_;
    std::condition_variable told_;
    std::queue<std::packaged_task<result<void>()>> steps_;
    bool is_let_go_ = false;
    std::thread thread_; // Last: it uses the others.
};

} // namespace ebbgate::program
