// The clock of the counters: wall time once, and from there on only forward.
//
// Output  Milliseconds since 1970 as they were when the clock was made, plus what has passed since,
//         sleep of the machine included. Setting the wall clock moves no window of a running
//         process; a restart takes the new wall time.
// Owner   Any thread; one clock for all users of a counter table.
// Specs   clock_gettime(2), CLOCK_BOOTTIME.

#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace ebbgate::limits {

using time_point = std::chrono::sys_time<std::chrono::milliseconds>;

class clock {
public:
    clock() noexcept
        : wall_at_start_(
              std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now())),
          started_(since_boot()) {}

    [[nodiscard]] time_point now() const noexcept {
        return wall_at_start_ + (since_boot() - started_);
    }

private:
    static std::chrono::milliseconds since_boot() noexcept {
        timespec at{};
        (void)::clock_gettime(CLOCK_BOOTTIME, &at); // Cannot fail on a kernel we run on.
        return std::chrono::floor<std::chrono::milliseconds>(std::chrono::seconds(at.tv_sec) +
                                                             std::chrono::nanoseconds(at.tv_nsec));
    }

    time_point wall_at_start_;
    std::chrono::milliseconds started_;
};

} // namespace ebbgate::limits
