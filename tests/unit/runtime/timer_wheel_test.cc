// A model of the wheel: whatever is set, cleared and waited for, a timer runs once, in the very
// tick that it is due in.

#include "runtime/task/timer_wheel.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace ebbgate::task {
namespace {

struct watched : timer {
    std::uint64_t ran = 0;
    std::uint64_t ran_at = 0;
    const std::uint64_t* clock = nullptr;
};

void note(timer& timer) noexcept {
    auto& self = static_cast<watched&>(timer);
    ++self.ran;
    self.ran_at = *self.clock;
}

TEST(TimerWheel, RunsEachTimerInTheTickItIsDue) {
    for (const std::uint64_t start : {0ULL, 255ULL, 65'535ULL, 16'777'215ULL, 1'234'567'890ULL}) {
        for (const std::uint64_t delay : {1ULL,
                                          2ULL,
                                          254ULL,
                                          255ULL,
                                          256ULL,
                                          257ULL,
                                          511ULL,
                                          65'536ULL,
                                          70'000ULL,
                                          300'000ULL}) {
            std::uint64_t clock = start;
            timer_wheel wheel(clock);
            watched one;
            one.on_expire = note;
            one.clock = &clock;
            wheel.set(one, start + delay);
            while (one.ran == 0 && clock < start + delay + 10) {
                const auto next = wheel.next_delay_ms();
                ASSERT_TRUE(next.has_value());
                ASSERT_GE(*next, 1U);
                ASSERT_LE(clock + *next, start + delay) << "would sleep past the timer";
                clock += *next;
                wheel.advance(clock);
            }
            EXPECT_EQ(one.ran, 1U);
            EXPECT_EQ(one.ran_at, start + delay) << "start " << start << " delay " << delay;
        }
    }
}

TEST(TimerWheel, AgreesWithAModelUnderRandomUse) {
    std::mt19937 random(20261124);
    std::uint64_t clock = 4'000'000;
    timer_wheel wheel(clock);
    std::vector<std::unique_ptr<watched>> timers;
    std::vector<std::uint64_t> due(500, 0);
    for (std::size_t index = 0; index < due.size(); ++index) {
        timers.push_back(std::make_unique<watched>());
        timers.back()->on_expire = note;
        timers.back()->clock = &clock;
    }
    for (int round = 0; round < 20'000; ++round) {
        const std::size_t index = random() % timers.size();
        watched& one = *timers[index];
        if (random() % 4 == 0) {
            wheel.clear(one);
            due[index] = 0;
        } else {
            due[index] = clock + 1 + random() % (random() % 8 == 0 ? 100'000 : 700);
            wheel.set(one, due[index]);
            one.ran = 0;
        }
        const std::uint64_t before = clock;
        clock += random() % 5;
        wheel.advance(clock);
        for (std::size_t k = 0; k < due.size(); ++k) {
            if (due[k] != 0 && due[k] > before && due[k] <= clock) {
                ASSERT_EQ(timers[k]->ran, 1U) << "round " << round;
                due[k] = 0;
            } else if (due[k] != 0) {
                ASSERT_EQ(timers[k]->ran, 0U) << "round " << round;
            }
        }
    }
}

TEST(TimerWheel, AHandlerMaySetItselfAgain) {
    struct repeating : timer {
        timer_wheel* wheel = nullptr;
        int left = 3;
    };

    timer_wheel wheel(10);
    repeating one;
    one.wheel = &wheel;
    one.on_expire = [](timer& timer) noexcept {
        auto& self = static_cast<repeating&>(timer);
        if (--self.left > 0) {
            self.wheel->set(self, self.due_ms + 1);
        }
    };
    wheel.set(one, 11);
    wheel.advance(20);
    EXPECT_EQ(one.left, 0);
    EXPECT_EQ(wheel.count(), 0U);
    EXPECT_FALSE(wheel.next_delay_ms().has_value());
}

} // namespace
} // namespace ebbgate::task
