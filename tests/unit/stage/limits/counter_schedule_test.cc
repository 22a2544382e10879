// The counter table under schedules of the test's own: one thread runs at a time, and before each
// access to shared words the scheduler may let another one go on, or stall one for long. So the
// rare orders, in which a thread is held up between two instructions, come by the thousand; and a
// seed repeats them.

namespace ebbgate::limits {
namespace {
void step();
} // namespace
} // namespace ebbgate::limits

#define EBBGATE_COUNTER_STEP() ::ebbgate::limits::step()
#include "stage/limits/counter_table.cc" // NOLINT(bugprone-suspicious-include): with the steps
#include "table_fixture.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace ebbgate::limits {
namespace {

constexpr std::size_t thread_count = 3;
constexpr std::size_t nobody = thread_count;

class scheduler {
public:
    explicit scheduler(std::uint32_t seed)
        : random_(seed), keep_of_16_(std::array{0U, 8U, 14U, 15U}[seed % 4]) {
        // One thread sleeps for long, somewhere within the first accesses: now and then until all
        // others have ended, who may not wait for it.
        stalled_ = random_() % thread_count;
        stall_from_ = random_() % 200;
        stall_until_ = seed % 3 == 0 ? for_good : stall_from_ + random_() % 1500;
    }

    template <typename body_type>
    void run(const body_type& body) {
        std::vector<std::jthread> threads;
        for (std::size_t number = 0; number < thread_count; ++number) {
            threads.emplace_back([this, number, &body] {
                turns_[number].acquire();
                current = this;
                self = number;
                body(number);
                current = nullptr;
                ended_[number] = true;
                if (const std::size_t next = choose(nobody); next != nobody) {
                    turns_[next].release();
                }
            });
        }
        turns_[choose(nobody)].release();
    }

    void step(std::size_t from) {
        if (++steps_ == steps_max) {
            ADD_FAILURE() << "the others wait for the thread that sleeps";
            stall_until_ = 0;
        }
        const std::size_t next = choose(from);
        if (next != from) {
            turns_[next].release();
            turns_[from].acquire();
        }
    }

    [[nodiscard]] std::uint32_t number() { return static_cast<std::uint32_t>(random_()); }

    static thread_local scheduler* current;
    static thread_local std::size_t self;

private:
    // Only the one whose turn it is calls this.
    std::size_t choose(std::size_t from) {
        const bool is_stall = steps_ >= stall_from_ && steps_ < stall_until_;
        std::array<std::size_t, thread_count> ready{};
        std::size_t count = 0;
        std::size_t sleeper = nobody;
        for (std::size_t number = 0; number < thread_count; ++number) {
            if (ended_[number]) {
                continue;
            }
            if (is_stall && number == stalled_) {
                sleeper = number;
                continue;
            }
            if (number == from && random_() % 16 < keep_of_16_) {
                return from;
            }
            ready[count++] = number;
        }
        return count == 0 ? sleeper : ready[random_() % count];
    }

    static constexpr std::uint64_t for_good = ~std::uint64_t{0};
    static constexpr std::uint64_t steps_max = 200'000; // Some 2,000 are usual.

    std::mt19937 random_;
    std::uint32_t keep_of_16_;
    std::size_t stalled_ = 0;
    std::uint64_t stall_from_ = 0;
    std::uint64_t stall_until_ = 0;
    std::uint64_t steps_ = 0;
    std::array<bool, thread_count> ended_{};
    std::array<std::binary_semaphore, thread_count> turns_{
        std::binary_semaphore(0), std::binary_semaphore(0), std::binary_semaphore(0)};
};

thread_local scheduler* scheduler::current = nullptr;
thread_local std::size_t scheduler::self = 0;

void step() {
    if (scheduler::current != nullptr) {
        scheduler::current->step(scheduler::self);
    }
}

struct unit_out {
    limits::ticket ticket;
    time_point opened;
};

class counter_schedule_test : public table_fixture {
protected:
    static constexpr std::size_t key_count = 2;
    static constexpr config::rate limit_{2, std::chrono::seconds(1)};

    // One schedule, from a time at which all that was before is over.
    void run_schedule(counter_table& table, std::uint32_t seed) {
        scheduler order(seed);
        std::array<key, key_count> keys;
        for (std::size_t i = 0; i < key_count; ++i) {
            keys[i] = table.key_of("r", std::to_string(seed * key_count + i));
        }
        clock_ms_ += 10'000;
        // Other keys hold some of the slots, for various times.
        const std::uint32_t others = order.number() % 14;
        for (std::uint32_t i = 0; i < others; ++i) {
            (void)table.take(table.key_of("o", std::to_string(i)),
                             {1, std::chrono::seconds(1 + order.number() % 3)},
                             1,
                             after(clock_ms_));
        }
        std::array<std::vector<unit_out>, key_count> out;
        order.run([&](std::size_t) {
            for (int turn = 0; turn < 5; ++turn) {
                const std::array steps{0, 0, 0, 1, 300, 1000, 1500};
                clock_ms_ += steps[order.number() % steps.size()];
                const time_point now = after(clock_ms_);
                if (order.number() % 8 == 0) {
                    (void)table.take(table.key_of("n", std::to_string(order.number() % 9)),
                                     {1, std::chrono::seconds(1)},
                                     1,
                                     now);
                }
                const std::size_t number = order.number() % key_count;
                const auto got = table.take(keys[number], limit_, 1, now);
                if (!got) {
                    EXPECT_TRUE(got.error().reason == refusal_reason::table_full ||
                                got.error().used == limit_.count)
                        << "refused too early";
                    continue;
                }
                // Nobody else runs between two steps, so this needs no lock.
                out[number].push_back({got->ticket, got->window.opened});
                check(out[number]);
                if (order.number() % 3 == 0) {
                    const unit_out back = out[number].front();
                    out[number].erase(out[number].begin());
                    (void)table.give_back(back.ticket);
                }
            }
        });
        expect_no_key_twice();
    }

    static void check(const std::vector<unit_out>& out) {
        std::map<std::tuple<time_point, std::uint32_t, std::uint32_t>, std::uint32_t> windows;
        for (const unit_out& unit : out) {
            ++windows[{unit.opened, unit.ticket.slot, unit.ticket.generation}];
        }
        time_point last{};
        for (const auto& [window, count] : windows) {
            EXPECT_LE(count, limit_.count);
            EXPECT_GE(std::get<0>(window) - last, limit_.period) << "windows overlap";
            last = std::get<0>(window);
        }
    }

    std::int64_t clock_ms_ = 0;
};

TEST_F(counter_schedule_test, every_window_is_exact_in_every_order) {
    constexpr std::uint32_t schedules = 1600;
    std::uint64_t opened = 0;
    for (std::uint32_t seed = 0; seed < schedules;) {
        const auto table = open(16, after(clock_ms_));
        for (const std::uint32_t until = seed + 200; seed < until; ++seed) {
            run_schedule(*table, seed);
            ASSERT_FALSE(HasFailure()) << "seed " << seed;
        }
        opened += table->statistics().opened;
    }
    EXPECT_GT(opened, schedules);
}

TEST_F(counter_schedule_test, a_slot_that_is_being_renewed_is_not_taken_for_a_full_table) {
    const auto table = open(16);
    const config::rate day{1, std::chrono::hours(24)};
    for (int i = 0; i < 15; ++i) {
        ASSERT_TRUE(table->take(table->key_of("o", std::to_string(i)), day, 1, after(0)));
    }
    const key last = table->key_of("r", "last");
    for (std::uint32_t seed = 1; seed < 300; ++seed) {
        if (seed % 3 == 0) {
            continue; // There a thread may sleep for good, and the path is full of its claim.
        }
        clock_ms_ += 10'000;
        scheduler order(seed);
        order.run([&](std::size_t) {
            for (int turn = 0; turn < 3; ++turn) {
                clock_ms_ += order.number() % 4 == 0 ? 1000 : 0;
                const auto got = table->take(last, limit_, 1, after(clock_ms_));
                EXPECT_TRUE(got || got.error().reason == refusal_reason::exceeded);
            }
        });
        ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
    EXPECT_EQ(table->statistics().refused_full, 0U);
    expect_no_key_twice();
}

} // namespace
} // namespace ebbgate::limits
