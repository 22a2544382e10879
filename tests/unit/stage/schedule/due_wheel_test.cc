// Random operations against a multimap: what is due, when the next is, and that it lets go of what
// is withdrawn.

#include "stage/schedule/due_wheel.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::schedule {
namespace {

constexpr std::size_t plenty = std::numeric_limits<std::size_t>::max();

class DueWheel : public ::testing::Test {
protected:
    std::uint32_t push(std::int64_t time) {
        const std::uint32_t number = slots_.make();
        wheel_.push(static_cast<tick>(time), number, static_cast<tick>(now_));
        const auto [entry, fresh] = model_.emplace(number, time);
        EXPECT_TRUE(fresh);
        return number;
    }

    void remove(std::uint32_t number) {
        ASSERT_EQ(wheel_.time_at(slots_[number].place), static_cast<tick>(model_.at(number)));
        wheel_.remove(number);
        ASSERT_EQ(slots_[number].place, no_place);
        model_.erase(number);
        slots_.free(number);
    }

    [[nodiscard]] std::int64_t soonest() const {
        std::int64_t least = std::numeric_limits<std::int64_t>::max();
        for (const auto& [number, time] : model_) {
            least = std::min(least, time);
        }
        return least;
    }

    // Everything that is due comes, earliest first, and nothing else.
    void drain() {
        std::size_t moves = plenty;
        for (;;) {
            const std::uint32_t number = wheel_.next_due(static_cast<tick>(now_), moves);
            if (number == no_slot) {
                break;
            }
            const std::int64_t time = model_.at(number);
            ASSERT_LE(time, now_) << "early";
            // What was late already when it came is due with what is due now.
            ASSERT_LE(time, std::max(soonest(), drained_)) << "not in order";
            remove(number);
        }
        drained_ = now_;
        ASSERT_TRUE(model_.empty() || soonest() > now_);
        ASSERT_EQ(wheel_.size(), model_.size());
        ASSERT_EQ(wheel_.empty(), model_.empty());
    }

    void drain_unordered() {
        std::size_t moves = plenty;
        for (;;) {
            const std::uint32_t number = wheel_.next_due(static_cast<tick>(now_), moves);
            if (number == no_slot) {
                return;
            }
            wheel_.remove(number);
            slots_.free(number);
        }
    }

    void run(std::uint32_t seed, int steps);

    slot_store slots_;
    due_wheel wheel_{slots_};
    std::map<std::uint32_t, std::int64_t> model_;
    std::int64_t now_ = 0;
    std::int64_t drained_ = 0;
};

void DueWheel::run(std::uint32_t seed, int steps) {
    std::mt19937 random(seed);
    const auto up_to = [&random](std::int64_t end) {
        return static_cast<std::int64_t>(random()) % end;
    };
    // Spans around the ends of the levels, and the 90 days that ticks.h allows.
    constexpr std::int64_t spans[] = {
        1, 3, 40, 2048, 2100, 60'000, 2048 * 2048, 5'000'000, 972'000'000};
    for (int step = 0; step < steps && !HasFailure(); ++step) {
        const std::int64_t span = spans[up_to(std::ssize(spans))];
        switch (up_to(8)) {
        case 0:
            now_ += up_to(up_to(20) == 0 ? span + 1 : 600);
            drain();
            break;
        case 1:
        case 2:
            if (!model_.empty()) {
                auto chosen = model_.lower_bound(static_cast<std::uint32_t>(up_to(400)));
                remove(chosen == model_.end() ? model_.begin()->first : chosen->first);
            }
            break;
        case 3:
            push(now_ - up_to(2)); // Late already, by a tick.
            break;
        default:
            push(now_ + up_to(span));
        }
        ASSERT_EQ(wheel_.next_time().has_value(), !model_.empty());
        if (!model_.empty()) {
            const auto ahead =
                static_cast<std::int32_t>(*wheel_.next_time() - static_cast<tick>(now_));
            ASSERT_LE(now_ + ahead, soonest()) << "it would come late";
        }
    }
    // From one time to the next: each is reached, with one stop too many for a bucket at most.
    for (std::size_t stops = 0; !model_.empty() && !HasFailure(); ++stops) {
        ASSERT_LE(stops, 100'000U);
        now_ +=
            std::max(static_cast<std::int32_t>(*wheel_.next_time() - static_cast<tick>(now_)), 0);
        drain();
    }
    EXPECT_FALSE(wheel_.next_time().has_value());
}

TEST_F(DueWheel, RandomOperationsAgreeWithAMap) {
    for (std::uint32_t seed = 1; seed <= 20 && !HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        // Some of the runs pass the tick where 32 bits wrap.
        now_ = drained_ = 0xffff'ffff - static_cast<std::int64_t>(seed % 4) * 1'000'000'000 - 5000;
        run(seed, 4000);
    }
}

TEST_F(DueWheel, TellsTheNextTimeExactlyAtEachLevel) {
    now_ = 12'345;
    for (const std::int64_t ahead : {900'000'000, 5'000'000, 70'000, 2048, 2047, 1}) {
        push(now_ + ahead);
        EXPECT_EQ(wheel_.next_time(), static_cast<tick>(now_ + ahead));
        std::size_t moves = plenty;
        EXPECT_EQ(wheel_.next_due(static_cast<tick>(now_), moves), no_slot);
        EXPECT_EQ(wheel_.next_time(), static_cast<tick>(now_ + ahead));
    }
}

TEST_F(DueWheel, OneTimeOfManyIsMovedInParts) {
    constexpr std::size_t count = 10'000;
    for (std::size_t i = 0; i < count; ++i) {
        push(100'000);
    }
    now_ = 100'000;
    std::size_t calls = 0;
    for (;; ++calls) {
        std::size_t moves = 1000;
        if (wheel_.next_due(static_cast<tick>(now_), moves) != no_slot) {
            break;
        }
        ASSERT_LT(calls, count / 1000);
        ASSERT_EQ(moves, 0U);
        ASSERT_LE(*wheel_.next_time(), static_cast<tick>(now_)) << "nobody would call again";
    }
    EXPECT_EQ(calls, count / 1000 - 1);
    drain_unordered();
    EXPECT_TRUE(wheel_.empty());
}

TEST_F(DueWheel, AJumpOverAllLevelsLosesNothing) {
    for (std::int64_t time = 1; time < 900'000'000; time = time * 3 / 2 + 1) {
        push(time);
        push(time);
    }
    now_ = 1'000'000'000;
    drain();
    EXPECT_TRUE(model_.empty());
}

// What waits in one bucket behind other blocks is told before it is handed out.
TEST_F(DueWheel, TellsWhoIsSoonDue) {
    std::set<std::uint64_t> told;
    wheel_.set_soon_due([&told](std::span<const std::uint64_t> ids) {
        ASSERT_FALSE(ids.empty());
        told.insert(ids.begin(), ids.end());
    });
    for (std::uint64_t id = 1; id <= 10'000; ++id) {
        slots_[push(now_ + 1 + static_cast<std::int64_t>(id % 100))].message_id = id;
    }
    now_ += 200;
    std::size_t moves = plenty;
    std::size_t early = 0;
    for (;;) {
        const std::uint32_t number = wheel_.next_due(static_cast<tick>(now_), moves);
        if (number == no_slot) {
            break;
        }
        early += told.contains(slots_[number].message_id) ? 1 : 0;
        remove(number);
    }
    EXPECT_TRUE(model_.empty());
    EXPECT_GE(early, 9'900U); // All but the first block.
    EXPECT_LE(*told.rbegin(), 10'000U);
}

TEST_F(DueWheel, BlocksAreUsedAgain) {
    std::size_t at_first = 0;
    for (int round = 0; round < 20; ++round) {
        for (std::int64_t i = 0; i < 50'000; ++i) {
            wheel_.push(static_cast<tick>(now_ + 1 + i * 7 % 450'000),
                        slots_.make(),
                        static_cast<tick>(now_));
        }
        if (round == 0) {
            at_first = wheel_.footprint_bytes();
            EXPECT_LE(at_first, 50'000 * 9 + std::size_t{2048} * 256 + 100'000);
        }
        now_ += 450'000;
        drain_unordered();
        ASSERT_TRUE(wheel_.empty());
    }
    EXPECT_LE(wheel_.footprint_bytes(), at_first + std::size_t{2 * 2048} * 256);
}

} // namespace
} // namespace ebbgate::schedule
