// A thread of low priority for work of the management thread that takes a core for a second or
// two: a policy of a million senders is read there, and freed there.
//
// Input   Work, in order.
// Owner   The management thread gives work; one thread does all of it, so that what was allocated
//         there is freed there.
// Fails   Never. Where the priority cannot be lowered the work is done all the same.
// Bounds  None: whoever gives work without waiting for it bounds it.

#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace ebbgate::program {

class background {
public:
    background() = default;
    background(const background&) = delete;
    background& operator=(const background&) = delete;
    ~background(); // Does what was given first.

    // Returns when it is done.
    void run(const std::function<void()>& work);
    // Returns at once.
    void post(std::function<void()> work);

private:
    // Shards with work to do go first, but a reload still ends while they are busy.
    static constexpr int niceness = 10;

    void work_off();

    std::mutex lock_;
    std::condition_variable more_;
    std::deque<std::function<void()>> given_; // With lock_.
    bool ending_ = false;                     // With lock_.
    std::thread thread_;                      // Started with the first work.
};

} // namespace ebbgate::program
