#include "stage/limits/counter_table.h"
#include "table_fixture.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <random>
#include <set>
#include <string>

namespace ebbgate::limits {
namespace {

using config::rate;
using std::chrono::hours;
using std::chrono::seconds;

class counter_table_test : public table_fixture {};

TEST(CounterSlot, AWordKeepsItsParts) {
    const slot_word word{slot_state::live, 63, generation_mask, 0xffff'ffff};
    EXPECT_EQ(pack(word), ~std::uint64_t{0});
    const slot_word other = unpack(pack({slot_state::trying, 5, 77, 1'234'567}));
    EXPECT_EQ(other.state, slot_state::trying);
    EXPECT_EQ(other.period_code, 5);
    EXPECT_EQ(other.generation, 77U);
    EXPECT_EQ(other.count, 1'234'567U);
}

TEST(CounterSlot, APeriodIsKeptForAtLeastItsLengthAndAtMostHalfAsLongAgain) {
    const auto check = [](std::uint64_t period) {
        const std::uint8_t code = period_code_for(period);
        EXPECT_LT(code, 64);
        EXPECT_GE(kept_seconds(code), period);
        EXPECT_LE(kept_seconds(code), period + period / 2);
        if (code > 0) {
            EXPECT_LT(kept_seconds(static_cast<std::uint8_t>(code - 1)), period);
        }
    };
    for (std::uint64_t period = 1; period < 10'000; ++period) {
        check(period);
    }
    for (int bits = 13; bits < 32; ++bits) {
        for (const int beside : {-1, 0, 1}) {
            check((std::uint64_t{1} << bits) + static_cast<std::uint64_t>(beside));
            check((std::uint64_t{3} << (bits - 1)) + static_cast<std::uint64_t>(beside));
        }
    }
    check(static_cast<std::uint64_t>(config::rate_period_max.count()));
}

TEST(CounterSlot, AllPlacesOfAPathDiffer) {
    for (const std::uint64_t capacity : {16U, 128U, 1024U}) {
        std::set<std::uint64_t> seen;
        for (std::uint64_t place = 0; place < path_slots(capacity); ++place) {
            seen.insert(slot_on_path(11, place, capacity));
        }
        EXPECT_EQ(seen.size(), path_slots(capacity));
    }
}

TEST_F(counter_table_test, a_window_opens_with_the_first_message_and_lasts_the_period) {
    const auto table = open(64);
    const key sender = table->key_of("messages_per_sender", "a@acme.example");
    const rate three{3, seconds(10)};
    EXPECT_FALSE(table->peek(sender, three, after(0)));
    for (std::uint32_t used = 1; used <= 3; ++used) {
        const auto got = table->take(sender, three, 1, after(4000 + used));
        ASSERT_TRUE(got);
        EXPECT_EQ(got->window.used, used);
        EXPECT_EQ(got->window.opened, after(4001));
        EXPECT_EQ(got->window.ends, after(14'001));
    }
    const auto refused = table->take(sender, three, 1, after(14'000));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, refusal_reason::exceeded);
    EXPECT_EQ(refused.error().used, 3U);
    EXPECT_EQ(refused.error().frees, after(14'001));
    EXPECT_EQ(table->peek(sender, three, after(14'000))->used, 3U);
    EXPECT_FALSE(table->peek(sender, three, after(14'001)));
    const auto next = table->take(sender, three, 2, after(14'001));
    ASSERT_TRUE(next);
    EXPECT_EQ(next->window.used, 2U);
    EXPECT_EQ(next->window.opened, after(14'001));
    expect_no_key_twice();
}

TEST_F(counter_table_test, an_amount_is_taken_whole_or_not_at_all) {
    const auto table = open(64);
    const key sender = table->key_of("recipients", "a");
    const rate ten{10, hours(1)};
    const auto never = table->take(sender, ten, 11, after(0));
    ASSERT_FALSE(never);
    EXPECT_FALSE(never.error().frees);
    EXPECT_FALSE(table->peek(sender, ten, after(0))) << "a refusal opened a window";
    ASSERT_TRUE(table->take(sender, ten, 8, after(0)));
    EXPECT_FALSE(table->take(sender, ten, 3, after(1)));
    EXPECT_TRUE(table->take(sender, ten, 2, after(2)));
    EXPECT_FALSE(table->take(sender, {0, hours(1)}, 1, after(3)));
    const rate most{config::rate_count_max, hours(1)};
    ASSERT_TRUE(table->take(sender, most, config::rate_count_max - 10, after(4)));
    EXPECT_FALSE(table->take(sender, most, 1, after(5)));
    EXPECT_FALSE(table->take(sender, most, config::rate_count_max, after(5)));
    EXPECT_EQ(table->peek(sender, most, after(5))->used, config::rate_count_max);
}

TEST_F(counter_table_test, given_back_into_the_same_window_only) {
    const auto table = open(64);
    const key sender = table->key_of("r", "a");
    const rate two{2, seconds(10)};
    const auto first = table->take(sender, two, 1, after(0));
    const auto second = table->take(sender, two, 1, after(1));
    ASSERT_TRUE(first && second);
    EXPECT_TRUE(table->give_back(second->ticket));
    EXPECT_EQ(table->peek(sender, two, after(2))->used, 1U);
    const auto again = table->take(sender, two, 1, after(3));
    ASSERT_TRUE(again);
    EXPECT_FALSE(table->take(sender, two, 1, after(3)));
    ASSERT_TRUE(table->take(sender, two, 2, after(10'000)));
    EXPECT_FALSE(table->give_back(first->ticket));
    EXPECT_FALSE(table->give_back(again->ticket));
    EXPECT_EQ(table->peek(sender, two, after(10'001))->used, 2U);
}

TEST_F(counter_table_test, a_window_given_back_whole_is_closed) {
    const auto table = open(64);
    const key sender = table->key_of("r", "a");
    const rate two{2, seconds(10)};
    const auto only = table->take(sender, two, 2, after(0));
    ASSERT_TRUE(only && table->give_back(only->ticket));
    EXPECT_FALSE(table->peek(sender, two, after(1)));
    EXPECT_TRUE(keys_in(3).empty());
    const auto later = table->take(sender, two, 1, after(9000));
    ASSERT_TRUE(later);
    EXPECT_EQ(later->window.ends, after(19'000));
    EXPECT_FALSE(table->give_back(only->ticket));
}

TEST_F(counter_table_test, another_rate_finds_the_same_count) {
    const auto table = open(64);
    const key sender = table->key_of("r", "a");
    ASSERT_TRUE(table->take(sender, {50, hours(1)}, 50, after(0)));
    EXPECT_FALSE(table->take(sender, {50, hours(1)}, 1, after(1)));
    EXPECT_EQ(table->take(sender, {60, hours(24)}, 1, after(2))->window.used, 51U);
    // Back to the old one: the hour ends when it would have.
    EXPECT_EQ(table->take(sender, {50, hours(1)}, 1, after(3)).error().frees, after(3'600'000));
    // Kept for the day, although an hour was asked with last.
    const auto day = table->take(sender, {60, hours(24)}, 1, after(20 * 3'600'000));
    ASSERT_TRUE(day);
    EXPECT_EQ(day->window.used, 52U);
    EXPECT_EQ(table->take(sender, {50, hours(1)}, 1, after(20 * 3'600'000))->window.used, 1U);
}

TEST_F(counter_table_test, windows_that_are_over_make_room_and_live_ones_do_not) {
    const auto table = open(16);
    const rate one{1, seconds(1)};
    for (int round = 0; round < 3; ++round) {
        const time_point now = after(round * 1000);
        for (int i = 0; i < 16; ++i) {
            const key each = table->key_of("r", std::to_string(round * 100 + i));
            ASSERT_TRUE(table->take(each, one, 1, now)) << round << ' ' << i;
        }
        EXPECT_EQ(table->count_live(now), 16U);
        const auto more = table->take(table->key_of("r", "more"), one, 1, now);
        ASSERT_FALSE(more);
        EXPECT_EQ(more.error().reason, refusal_reason::table_full);
        // Those that have a place are not touched.
        const auto held = table->take(table->key_of("r", std::to_string(round * 100)), one, 1, now);
        EXPECT_EQ(held.error().reason, refusal_reason::exceeded);
    }
    const counter_statistics statistics = table->statistics();
    EXPECT_EQ(statistics.opened, 48U);
    EXPECT_EQ(statistics.reclaimed, 32U);
    EXPECT_EQ(statistics.refused_full, 3U);
    expect_no_key_twice();
}

TEST_F(counter_table_test, a_window_is_kept_for_the_longest_period_it_was_asked_with) {
    const auto table = open(16);
    const key sender = table->key_of("r", "a");
    ASSERT_TRUE(table->take(sender, {5, hours(24)}, 1, after(0)));
    ASSERT_TRUE(table->take(sender, {5, hours(1)}, 1, after(1)));
    int taken = 0;
    for (int i = 0; i < 16; ++i) {
        const key other = table->key_of("x", std::to_string(i));
        taken += table->take(other, {1, hours(24)}, 1, after(2 * 3'600'000)).has_value();
    }
    EXPECT_EQ(taken, 15);
    EXPECT_EQ(table->peek(sender, {5, hours(24)}, after(23 * 3'600'000))->used, 2U);
}

TEST_F(counter_table_test, a_clock_that_one_thread_read_earlier_opens_no_overlapping_window) {
    const auto table = open(16);
    const rate one{1, seconds(1)};
    const key sender = table->key_of("r", "a");
    ASSERT_TRUE(table->take(sender, one, 1, after(0)));
    // Everything is reclaimed at 1000 by other keys; then some thread comes with an older time.
    for (int i = 0; i < 15; ++i) {
        ASSERT_TRUE(table->take(table->key_of("x", std::to_string(i)), one, 1, after(0)));
    }
    for (int i = 0; i < 15; ++i) {
        ASSERT_TRUE(table->take(table->key_of("y", std::to_string(i)), one, 1, after(1000)));
    }
    const auto late = table->take(sender, one, 1, after(900));
    if (late) { // Its old window was reclaimed too.
        EXPECT_EQ(late->window.opened, after(1000));
    } else {
        EXPECT_EQ(late.error().frees, after(1000));
    }
}

TEST_F(counter_table_test, rule_and_subject_are_told_apart) {
    const auto table = open(16);
    EXPECT_NE(table->key_of("ab", "c"), table->key_of("a", "bc"));
    EXPECT_NE(table->key_of("", "abc"), table->key_of("abc", ""));
    EXPECT_NE(table->key_of("a", "b"), table->key_of("b", "a"));
    EXPECT_EQ(table->key_of("a", "b"), table->key_of("a", "b"));
    const std::string long_subject(100'000, 'x');
    EXPECT_NE(table->key_of("a", long_subject), table->key_of("a", long_subject + "x"));
    const key here = table->key_of("a", "b");
    path_ += "2";
    EXPECT_NE(open(16)->key_of("a", "b"), here) << "keys are the same in every file";
}

class counter_file_test : public table_fixture {
protected:
    static constexpr rate limit_{100, hours(1)};

    // Key number i has i + 1 units, so that no two are alike.
    static void fill(counter_table& table, std::uint32_t keys) {
        for (std::uint32_t i = 0; i < keys; ++i) {
            ASSERT_TRUE(table.take(table.key_of("r", std::to_string(i)), limit_, i + 1, after(0)));
        }
    }

    static std::uint32_t used(const counter_table& table, std::uint32_t i) {
        const auto found = table.peek(table.key_of("r", std::to_string(i)), limit_, after(1));
        return found ? found->used : 0;
    }

    [[nodiscard]] std::string refusal(failure_kind kind, std::uint64_t slots = 64) const {
        const std::string before = bytes();
        const auto opened = counter_table::open(path_, slots, after(1));
        EXPECT_FALSE(opened);
        if (opened) {
            return "";
        }
        EXPECT_EQ(opened.error().kind, kind);
        EXPECT_TRUE(bytes() == before) << "the file was changed";
        return opened.error().detail;
    }
};

TEST_F(counter_file_test, counts_survive_a_restart_and_another_size) {
    fill(*open(64), 40);
    for (const std::uint64_t slots : {64U, 4096U, 1000U, 64U}) {
        const auto table = open(slots, after(1));
        EXPECT_EQ(table->slots(), slots == 1000 ? 1024 : slots);
        EXPECT_EQ(table->carried().live, 40U);
        EXPECT_EQ(table->carried().damaged, 0U);
        for (std::uint32_t i = 0; i < 40; ++i) {
            ASSERT_EQ(used(*table, i), i + 1) << slots;
        }
        EXPECT_FALSE(table->take(table->key_of("r", "0"), {1, hours(1)}, 1, after(1)));
        EXPECT_TRUE(table->flush());
    }
    const std::string told = refusal(failure_kind::no_space, 16);
    EXPECT_NE(told.find("40 live windows"), std::string::npos) << told;
    EXPECT_EQ(used(*open(64, after(1)), 39), 40U);
    EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(counter_file_test, windows_that_are_over_are_left_behind) {
    fill(*open(64), 40);
    const auto table = open(64, after(2 * 3'600'000));
    EXPECT_EQ(table->carried().live, 0U);
    EXPECT_EQ(table->carried().expired, 40U);
}

TEST_F(counter_file_test, a_clock_set_back_between_two_runs_ends_no_window_later_than_its_period) {
    fill(*open(64), 3);
    const time_point now = after(-1'000'000'000);
    const auto table = open(64, now);
    EXPECT_EQ(table->carried().from_future, 3U);
    const auto refused = table->take(table->key_of("r", "2"), {3, hours(1)}, 1, now);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().used, 3U);
    EXPECT_EQ(refused.error().frees, now + hours(1));
}

TEST_F(counter_file_test, one_process_at_a_time) {
    const auto table = open(64);
    const auto second = counter_table::open(path_, 64, test_start);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, failure_kind::unavailable);
}

TEST_F(counter_file_test, a_file_of_another_kind_is_refused_and_left_alone) {
    fill(*open(64), 3);
    const std::string good = bytes();
    ASSERT_EQ(good.size(), 4096U + 64 * 64);

    for (const std::size_t length : {std::size_t{0}, std::size_t{223}}) {
        write(good.substr(0, length));
        EXPECT_NE(refusal(failure_kind::corrupt).find("too short"), std::string::npos);
    }
    for (const std::size_t length : {std::size_t{224}, good.size() - 1, good.size() - 64}) {
        write(good.substr(0, length));
        EXPECT_NE(refusal(failure_kind::corrupt).find("64 slots"), std::string::npos);
    }
    write(good + "x");
    EXPECT_NE(refusal(failure_kind::corrupt).find("64 slots"), std::string::npos);

    std::string other = good;
    other[8] = 2;
    write(other);
    EXPECT_NE(refusal(failure_kind::corrupt).find("version 2, this program reads version 1"),
              std::string::npos);
    // Every bit of the header is checked.
    for (std::size_t at = 0; at < 224; ++at) {
        other = good;
        other[at] = static_cast<char>(other[at] ^ (1 << at % 8));
        write(other);
        EXPECT_NE(refusal(failure_kind::corrupt), "") << at;
    }
    std::filesystem::remove(path_);
    std::filesystem::create_directory(path_);
    EXPECT_FALSE(counter_table::open(path_, 64, test_start));
    EXPECT_EQ(counter_table::open(path_ + "2", slots_max + 1, test_start).error().kind,
              failure_kind::bad_input);
}

TEST_F(counter_file_test, a_damaged_slot_is_dropped_and_counted_and_the_others_stay) {
    fill(*open(64), 20);
    const std::string good = bytes();
    std::uint64_t damaged = 0;
    for (std::size_t at = 4096; at < good.size(); at += 64) {
        if ((good[at] & 3) != 3) {
            continue;
        }
        // Key, opening time, seal; and the generation, as of a torn slot.
        for (const std::size_t inside : {8U, 16U, 24U, 32U, 39U, 1U}) {
            std::string other = good;
            other[at + inside] = static_cast<char>(other[at + inside] ^ 1);
            write(other);
            const auto table = open(64, after(1));
            EXPECT_EQ(table->carried().damaged, 1U);
            EXPECT_EQ(table->carried().live, 19U);
            ++damaged;
        }
    }
    EXPECT_EQ(damaged, 20U * 6);
}

TEST_F(counter_file_test, any_bytes_for_slots_are_opened_and_bounded) {
    fill(*open(64), 1);
    const std::string good = bytes();
    std::mt19937_64 random(1);
    for (int round = 0; round < 60; ++round) {
        std::string other = good;
        for (std::size_t at = 4096; at < other.size(); at += 8) {
            const std::uint64_t word = random();
            std::memcpy(&other[at], &word, 8);
        }
        write(other);
        const auto table = open(64, after(1));
        EXPECT_EQ(table->carried().live, 0U);
        EXPECT_GT(table->carried().damaged, 0U);
        EXPECT_TRUE(table->take(table->key_of("r", "new"), limit_, 1, after(1)));
    }
}

TEST_F(counter_file_test, of_a_key_that_is_there_twice_the_later_window_counts) {
    // As after a power cut, when the page of an older window was written later.
    fill(*open(64), 1);
    std::string older = bytes();
    const std::size_t at = [&] {
        for (std::size_t slot = 4096; slot < older.size(); slot += 64) {
            if ((older[slot] & 3) == 3) {
                return slot;
            }
        }
        return std::size_t{0};
    }();
    ASSERT_NE(at, 0U);
    for (const bool later_first : {false, true}) {
        counter_slot slot{};
        std::memcpy(&slot, &older[at], sizeof slot);
        slot_word word = unpack(slot.word);
        word.count = 77;
        word.generation = 9;
        slot.word = pack(word);
        slot.opened_ms += 500;
        slot.seal = seal_of(slot, word.generation);
        // The older one in the middle, wherever the key's hash had put it: the seed is random.
        std::string both = older;
        const std::size_t middle = 4096 + 32 * 64;
        const std::string kept = both.substr(at, 64);
        both.replace(at, 64, 64, '\0');
        both.replace(middle, 64, kept);
        const std::size_t beside = later_first ? std::size_t{4096} : both.size() - 64;
        std::memcpy(&both[beside], &slot, sizeof slot);
        write(both);
        const auto table = open(64, after(1000));
        EXPECT_EQ(used(*table, 0), 77U);
        EXPECT_EQ(table->count_live(after(1000)), 1U);
    }
}

} // namespace
} // namespace ebbgate::limits
