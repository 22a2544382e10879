// Threads for what blocks: password hashing, name lookups, making segments.
//
// Input   Jobs from a reactor's thread.
// Output  The job's `finish`, run on the reactor that submitted it, after `work` ran on a worker.
// Owner   The daemon. It has stopped before the reactors that submit are gone: the end of a job is
//         posted to them. submit() is for any thread.
// Fails   submit() is false when queue_jobs_max jobs wait: the caller answers "try later".
// Bounds  thread_count threads, queue_jobs_max jobs.

#pragma once

#include "runtime/task/reactor.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ebbgate::shard {

class worker_pool {
public:
    worker_pool(std::size_t thread_count, std::size_t queue_jobs_max);
    // Lets running jobs end; jobs that still wait are dropped, their `finish` does not run.
    ~worker_pool();
    worker_pool(const worker_pool&) = delete;
    worker_pool& operator=(const worker_pool&) = delete;

    // Drops the jobs that wait, takes no more, and gives those that run so long to end. False: one
    // still runs, and may yet post to its reactor; the process can only exit without destructors.
    [[nodiscard]] bool stop(std::chrono::milliseconds wait_max);

    [[nodiscard]] bool
    submit(task::reactor& home, std::function<void()> work, std::function<void()> finish);

    [[nodiscard]] std::size_t waiting_jobs() const;

private:
    struct job {
        task::reactor* home = nullptr;
        std::function<void()> work;
        std::function<void()> finish;
    };

    void run();
    void drop_waiting();

    mutable std::mutex lock_;
    std::condition_variable more_;
    std::condition_variable ended_;
    std::deque<job> queue_;
    std::vector<std::thread> threads_;
    std::size_t queue_jobs_max_;
    std::size_t running_jobs_ = 0;
    bool stopping_ = false;
};

} // namespace ebbgate::shard
