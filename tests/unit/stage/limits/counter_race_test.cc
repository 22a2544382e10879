// Threads against each other, with a clock of the test's own, so that windows end in the middle.

#include "stage/limits/counter_table.h"
#include "table_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ebbgate::limits {
namespace {

using config::rate;
using std::chrono::hours;
using std::chrono::seconds;

constexpr int thread_count = 4; // More than the cores of the machine that checks.

template <typename body_type>
void race(const body_type& body) {
    std::barrier start(thread_count);
    std::vector<std::jthread> threads;
    for (int i = 0; i < thread_count; ++i) {
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            body(i);
        });
    }
}

class counter_race_test : public table_fixture {};

TEST_F(counter_race_test, exactly_the_limit_is_taken_of_one_subject) {
    const auto table = open(16384);
    for (int round = 0; round < 1500; ++round) {
        // Few, so that the racing insert weighs; many, so that the count does.
        const rate limit{round % 2 == 0 ? 3U : 500U, hours(1)};
        const key sender = table->key_of("r", std::to_string(round));
        std::atomic<std::uint32_t> taken{0};
        std::atomic<std::uint32_t> odd{0};
        race([&](int) {
            for (;;) {
                const auto got = table->take(sender, limit, 1, after(round));
                if (!got) {
                    odd += got.error().used != limit.count ||
                           got.error().frees != after(round) + hours(1);
                    return;
                }
                ++taken;
            }
        });
        ASSERT_EQ(taken, limit.count) << round;
        ASSERT_EQ(odd, 0U) << round;
    }
    EXPECT_EQ(table->statistics().opened, 1500U);
    expect_no_key_twice();
}

TEST_F(counter_race_test, amounts_fill_a_window_and_never_more) {
    const auto table = open(1024);
    for (std::uint32_t round = 0; round < 300; ++round) {
        const rate limit{1000, hours(1)};
        const key sender = table->key_of("r", std::to_string(round));
        std::atomic<std::uint32_t> taken{0};
        race([&](int thread) {
            const auto amount = static_cast<std::uint32_t>(thread) * 3 + 1;
            while (table->take(sender, limit, amount, test_start)) {
                taken += amount;
            }
        });
        // The thread that takes single units fills what the others leave.
        ASSERT_EQ(taken, 1000U);
    }
}

// What one thread saw of one key.
struct log_of_key {
    std::map<time_point, std::uint32_t> taken_by_opening;
    std::set<time_point> refused_by_opening;
};

TEST_F(counter_race_test, every_window_is_exact_while_windows_end_and_slots_are_reused) {
    constexpr int key_count = 40; // Of 16 slots: most claims reuse another key's slot.
    const rate limit{5, seconds(1)};
    const auto table = open(16);
    std::atomic<std::int64_t> clock_ms{0};
    std::vector<std::vector<log_of_key>> logs(thread_count, std::vector<log_of_key>(key_count));
    std::atomic<std::uint64_t> full{0};
    race([&](int thread) {
        std::mt19937 random(static_cast<unsigned>(thread) + 1);
        for (int i = 0; i < 150'000; ++i) {
            // Read, and used later: the clocks of threads differ by as much as they are delayed.
            const std::int64_t step = random() % 8 == 0 ? static_cast<int>(random() % 40) : 0;
            const time_point now = after(clock_ms.fetch_add(step));
            // Few keys at a time, which change as time passes.
            const auto number = static_cast<std::size_t>((now - test_start).count() / 700 +
                                                         static_cast<std::int64_t>(random() % 6)) %
                                key_count;
            const auto got = table->take(table->key_of("r", std::to_string(number)), limit, 1, now);
            log_of_key& log = logs[static_cast<std::size_t>(thread)][number];
            if (got) {
                ++log.taken_by_opening[got->window.opened];
            } else if (got.error().reason == refusal_reason::exceeded) {
                log.refused_by_opening.insert(*got.error().frees - limit.period);
            } else {
                ++full;
            }
        }
    });
    std::uint64_t windows = 0;
    for (std::size_t number = 0; number < key_count; ++number) {
        std::map<time_point, std::uint32_t> taken;
        std::set<time_point> refused;
        for (const auto& of_thread : logs) {
            for (const auto& [opened, count] : of_thread[number].taken_by_opening) {
                taken[opened] += count;
            }
            refused.insert(of_thread[number].refused_by_opening.begin(),
                           of_thread[number].refused_by_opening.end());
        }
        windows += taken.size();
        time_point last{};
        for (const auto& [opened, count] : taken) {
            ASSERT_LE(count, limit.count);
            ASSERT_GE(opened - last, limit.period) << "windows overlap";
            last = opened;
        }
        for (const time_point opened : refused) {
            ASSERT_EQ(taken[opened], limit.count) << "refused too early";
        }
    }
    EXPECT_GT(windows, 500U);
    EXPECT_GT(table->statistics().reclaimed, 100U);
    expect_no_key_twice();
    RecordProperty("windows", static_cast<int>(windows));
    RecordProperty("full", static_cast<int>(full.load()));
}

TEST_F(counter_race_test, what_is_given_back_can_be_taken_again_and_no_more_is_out_than_the_limit) {
    // A window that is given back whole is closed, so slots change hands all the time.
    constexpr std::size_t key_count = 6;
    const rate limit{2, hours(1)};
    const auto table = open(16);
    std::vector<key> keys;
    for (std::size_t i = 0; i < key_count; ++i) {
        keys.push_back(table->key_of("r", std::to_string(i)));
    }
    std::vector<std::atomic<int>> out(key_count);
    std::atomic<std::uint64_t> too_many{0};
    std::atomic<std::uint64_t> odd{0};
    std::atomic<std::uint64_t> taken{0};
    race([&](int thread) {
        std::mt19937 random(static_cast<unsigned>(thread) + 7);
        for (int i = 0; i < 200'000; ++i) {
            const std::size_t number = random() % key_count;
            const auto got = table->take(keys[number], limit, 1, test_start);
            if (!got) {
                odd += got.error().reason != refusal_reason::exceeded ||
                       got.error().used != limit.count;
                continue;
            }
            ++taken;
            too_many += ++out[number] > static_cast<int>(limit.count);
            odd += got->window.used > limit.count;
            --out[number];
            odd += !table->give_back(got->ticket);
        }
    });
    EXPECT_EQ(too_many, 0U);
    EXPECT_EQ(odd, 0U);
    EXPECT_GT(taken, 100'000U);
    EXPECT_GT(table->statistics().opened, 1000U);
    EXPECT_TRUE(keys_in(3).empty()) << "units were lost";
    expect_no_key_twice();
}

TEST_F(counter_race_test, many_keys_at_once_in_a_nearly_full_table) {
    constexpr std::size_t key_count = 250; // Of 256 slots, with paths of 128.
    const rate one{1, hours(1)};
    for (int round = 0; round < 40; ++round) {
        std::filesystem::remove(path_);
        const auto table = open(256);
        std::vector<std::atomic<int>> taken(key_count);
        std::vector<std::atomic<int>> full(key_count);
        race([&](int thread) {
            std::vector<std::size_t> order(key_count);
            std::iota(order.begin(), order.end(), std::size_t{0});
            // Two threads in the same order, so that they meet.
            std::shuffle(order.begin(),
                         order.end(),
                         std::mt19937(static_cast<unsigned>(round * 10 + thread / 2)));
            for (const std::size_t number : order) {
                const auto got =
                    table->take(table->key_of("r", std::to_string(number)), one, 1, test_start);
                taken[number] += got.has_value();
                full[number] += !got && got.error().reason == refusal_reason::table_full;
            }
        });
        std::size_t placed = 0;
        for (std::size_t number = 0; number < key_count; ++number) {
            ASSERT_EQ(taken[number] + (full[number] == thread_count ? 1 : 0), 1) << number;
            placed += static_cast<std::size_t>(taken[number]);
        }
        EXPECT_GE(placed, key_count - 4);
        EXPECT_EQ(keys_in(3).size(), placed);
        expect_no_key_twice();
    }
}

TEST_F(counter_race_test, a_look_never_misses_a_window_that_is_open) {
    // The key has its window the whole time, while its neighbours come and go.
    const rate limit{1'000'000, hours(1)};
    const rate brief{1, seconds(1)};
    const auto table = open(16);
    for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(table->take(table->key_of("n", std::to_string(i)), brief, 1, test_start));
    }
    const key held = table->key_of("r", "held");
    ASSERT_TRUE(table->take(held, limit, 1, test_start));
    std::atomic<std::int64_t> clock_ms{0};
    std::atomic<std::uint64_t> missed{0};
    race([&](int thread) {
        std::uint32_t last = 0;
        for (int i = 0; i < 40'000; ++i) {
            const time_point now = after(clock_ms.fetch_add(10));
            if (thread == 0) {
                (void)table->take(held, limit, 1, now);
            } else if (thread == 1) {
                const auto seen = table->peek(held, limit, now);
                missed += !seen || seen->used < last;
                last = seen ? seen->used : last;
            } else {
                (void)table->take(table->key_of("n", std::to_string(i % 17)), brief, 1, now);
            }
            // Of an hour, as far as the key is concerned.
            if (clock_ms > 3'000'000) {
                break;
            }
        }
    });
    EXPECT_EQ(missed, 0U);
    EXPECT_GT(table->statistics().reclaimed, 100U);
    expect_no_key_twice();
}

} // namespace
} // namespace ebbgate::limits
