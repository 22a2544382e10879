#include "stage/limits/clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ebbgate::limits {
namespace {

TEST(LimitsClock, BeginsAtWallTimeAndOnlyGoesForward) {
    const auto before =
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const limits::clock clock;
    time_point last = clock.now();
    EXPECT_GE(last, before - std::chrono::milliseconds(2));
    EXPECT_LE(last, before + std::chrono::seconds(10));
    for (int i = 0; i < 1000; ++i) {
        const time_point next = clock.now();
        EXPECT_GE(next, last);
        last = next;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_GE(clock.now() - last, std::chrono::milliseconds(18));
}

} // namespace
} // namespace ebbgate::limits
