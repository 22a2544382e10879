// A job of the worker pool that a flow waits for.
//
// Owner   The flow's frame: a named local, awaited once. `work` runs on a worker, and may touch the
//         frame's locals: the flow rests meanwhile.
// Fails   `auto ran = co_await job;` is false when the pool's queue is full: the work did not run.

#pragma once

#include "runtime/shard/worker_pool.h"

#include <coroutine>
#include <functional>
#include <utility>

namespace ebbgate::shard {

class worker_job {
public:
    worker_job(worker_pool& pool, task::reactor& home, std::function<void()> work)
        : pool_(pool), home_(home), work_(std::move(work)) {}

    worker_job(const worker_job&) = delete;
    worker_job& operator=(const worker_job&) = delete;

    bool await_ready() const noexcept { return false; }

    bool await_suspend(std::coroutine_handle<> waiting) {
        // Before submit(): the job may be done before it returns, though not resumed.
        ran_ = true;
        if (!pool_.submit(home_, std::move(work_), [waiting] { waiting.resume(); })) {
            ran_ = false;
        }
        return ran_;
    }

    bool await_resume() const noexcept { return ran_; }

private:
    worker_pool& pool_;
    task::reactor& home_;
    std::function<void()> work_;
    bool ran_ = false;
};

} // namespace ebbgate::shard
