// Hands what one thread makes, in blocks, to a thread of its own: at start a million stored bans go
// from the disk to the table and on to the kernel's map, and each step costs as much as the others.
//
// Input   Items, from one thread at a time.
// Output  `work`, called with block after block, in order: on the worker's thread, or within
//         finish() when there is less than a block.
// Owner   What `work` touches is the worker's until finish() has returned.
// Bounds  blocks_max wait; beyond them give() does.

#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace ebbgate::bans {

template <typename item>
class block_worker {
public:
    explicit block_worker(std::function<void(std::span<const item>)> work)
        : work_(std::move(work)) {}

    block_worker(const block_worker&) = delete;
    block_worker& operator=(const block_worker&) = delete;

    ~block_worker() { finish(); }

    void give(const item& one) {
        next_.push_back(one);
        if (next_.size() == block_items) {
            hand_over(false);
            next_.reserve(block_items);
        }
    }

    // All of them are done when it returns.
    void finish() {
        if (thread_.joinable()) {
            hand_over(true);
            thread_.join();
        } else if (!next_.empty()) {
            work_(std::exchange(next_, {}));
        }
    }

private:
    using block = std::vector<item>;

    static constexpr std::size_t block_items = 16'384;
    static constexpr std::size_t blocks_max = 4;

    void hand_over(bool last) {
        {
            std::unique_lock hold(lock_);
            room_.wait(hold, [this] { return given_.size() < blocks_max; });
            given_.push_back(std::exchange(next_, {}));
            last_given_ = last;
        }
        more_.notify_one();
        if (!thread_.joinable()) {
            thread_ = std::thread([this] { run(); });
        }
    }

    void run() {
        for (;;) {
            block taken;
            {
                std::unique_lock hold(lock_);
                more_.wait(hold, [this] { return !given_.empty() || last_given_; });
                if (given_.empty()) {
                    return;
                }
                taken = std::move(given_.front());
                given_.pop_front();
            }
            room_.notify_one();
            if (!taken.empty()) {
                work_(taken);
            }
        }
    }

    std::function<void(std::span<const item>)> work_;
    block next_;
    std::mutex lock_;
    std::condition_variable more_;
    std::condition_variable room_;
    std::deque<block> given_; // With lock_.
    bool last_given_ = false; // With lock_.
    std::thread thread_;      // Started with the first full block: few items need none.
};

} // namespace ebbgate::bans
