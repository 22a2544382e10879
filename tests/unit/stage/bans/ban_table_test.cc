// Strikes within the window ban, the white list never does, and no flood takes memory.

#include "ebbgate/base/bytes.h"

#include "recorder.h"
#include "stage/bans/ban_table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <random>
#include <unistd.h>

namespace ebbgate::bans {
namespace {

using told = std::vector<std::string>;

class ban_table_test : public ::testing::Test {
protected:
    void SetUp() override { table_.configure(settings_, now_); }

    verdict strike(std::string_view from, std::int64_t after_s = 0) {
        now_ += after_s * second_us;
        return table_.strike(address(from), strike_cause::login, now_);
    }

    verdict strike_until_banned(std::string_view from) {
        for (;;) {
            const verdict told = strike(from);
            if (told.kind != verdict_kind::counted) {
                return told;
            }
        }
    }

    settings settings_;
    recorder seen_;
    ban_table table_{seen_};
    std::int64_t now_ = start_us;
};

TEST_F(ban_table_test, the_third_strike_within_the_window_bans) {
    EXPECT_EQ(strike("192.0.2.1").kind, verdict_kind::counted);
    EXPECT_EQ(strike("192.0.2.2").kind, verdict_kind::counted);
    EXPECT_EQ(strike("192.0.2.1", 300).strikes, 2U);
    const verdict last = strike("192.0.2.1", 300); // The first is exactly find_time old.
    EXPECT_EQ(last.kind, verdict_kind::banned);
    EXPECT_EQ(last.strikes, 3U);
    EXPECT_EQ(last.ban,
              (ban{network("192.0.2.1"),
                   address("192.0.2.1"),
                   now_,
                   now_ + 600 * second_us,
                   1,
                   strike_cause::login}));
    EXPECT_EQ(strike("192.0.2.1", 599).kind, verdict_kind::already_banned);
    EXPECT_NE(table_.find(address("192.0.2.1")), nullptr);
    EXPECT_EQ(table_.find(address("192.0.2.2")), nullptr);
    EXPECT_EQ(strike("192.0.2.1", 1).strikes, 1U) << "it ended, and counting begins anew";
    EXPECT_EQ(seen_.told, (told{"banned 192.0.2.1", "expired 192.0.2.1"}));
}

TEST_F(ban_table_test, strikes_too_far_apart_never_ban) {
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(strike("192.0.2.1", 301).kind, verdict_kind::counted) << i;
    }
    now_ += 601 * second_us;
    table_.expire(now_);
    EXPECT_EQ(table_.striker_count(), 0U);
}

TEST_F(ban_table_test, a_clock_set_back_forgets_no_strike_and_invents_none) {
    strike("192.0.2.1");
    EXPECT_EQ(strike("192.0.2.1", -86'400).strikes, 2U);
    EXPECT_EQ(strike("192.0.2.1", 601).strikes, 1U) << "both count as of the day before";
}

TEST_F(ban_table_test, ipv6_counts_by_64_and_names_the_address) {
    strike("2001:db8:0:1::1");
    strike("2001:db8:0:1::2");
    EXPECT_EQ(strike("2001:db8:0:2::3").kind, verdict_kind::counted);
    const verdict last = strike("2001:db8:0:1:ffff::3");
    EXPECT_EQ(last.kind, verdict_kind::banned);
    EXPECT_EQ(config::to_text(last.ban.network), "2001:db8:0:1::/64");
    EXPECT_NE(table_.find(address("2001:db8:0:1::9")), nullptr);
    EXPECT_EQ(table_.find(address("2001:db8:0:2::9")), nullptr);
    EXPECT_EQ(seen_.told, told{"banned 2001:db8:0:1:ffff::3"});
}

TEST_F(ban_table_test, the_white_list_is_never_counted) {
    settings_.never = {network("198.51.100.0/24")};
    table_.configure(settings_, now_);
    ASSERT_TRUE(table_.add_ignore(network("2001:db8::/64")));
    EXPECT_FALSE(table_.add_ignore(network("2001:db8::/64")));
    for (int i = 0; i < 10; ++i) {
        for (const auto* from : {"127.0.0.1", "::1", "198.51.100.77", "2001:db8::5"}) {
            EXPECT_EQ(strike(from).kind, verdict_kind::ignored) << from;
        }
    }
    EXPECT_EQ(table_.striker_count(), 0U);
    EXPECT_EQ(seen_.white,
              (std::set{network("127.0.0.0/8"),
                        network("::1"),
                        network("198.51.100.0/24"),
                        network("2001:db8::/64")}));
    EXPECT_TRUE(table_.remove_ignore(network("2001:db8::/64")));
    EXPECT_FALSE(table_.remove_ignore(network("2001:db8::/64")));
    EXPECT_FALSE(table_.remove_ignore(network("::1"))) << "of the settings, not of run time";
    EXPECT_EQ(strike_until_banned("2001:db8::5").kind, verdict_kind::banned);
    EXPECT_EQ(table_.ban_by_hand(network("127.0.0.2"), {}, now_), ban_outcome::white_listed);
}

TEST_F(ban_table_test, a_white_list_entry_lifts_at_once_or_makes_a_hole) {
    strike_until_banned("192.0.2.1");
    strike_until_banned("192.0.2.200");
    strike_until_banned("2001:db8::1");
    strike_until_banned("2001:db8:0:1::1");
    seen_.told.clear();
    ASSERT_TRUE(table_.add_ignore(network("192.0.2.0/25")));
    ASSERT_TRUE(table_.add_ignore(network("2001:db8::1")));
    ASSERT_TRUE(table_.add_ignore(network("2001:db8:0:1::9")));
    EXPECT_EQ(seen_.told, (told{"lifted 192.0.2.1", "lifted 2001:db8::1"}));
    EXPECT_EQ(table_.find(address("2001:db8:0:1::9")), nullptr);
    EXPECT_NE(table_.find(address("2001:db8:0:1::8")), nullptr);
    EXPECT_EQ(strike("2001:db8:0:1::9").kind, verdict_kind::ignored);
    EXPECT_EQ(table_.white_list().within(network("2001:db8:0:1::/64")),
              std::vector{network("2001:db8:0:1::9")});
    // In the settings instead of by command.
    settings_.ignore.push_back(network("192.0.2.200"));
    table_.configure(settings_, now_);
    EXPECT_EQ(seen_.told.back(), "lifted 192.0.2.200");
    EXPECT_EQ(table_.ban_count(), 1U);
}

TEST_F(ban_table_test, by_hand_networks_too_and_for_ever) {
    EXPECT_EQ(table_.ban_by_hand(network("203.0.113.0/24"), forever, now_), ban_outcome::banned);
    EXPECT_EQ(table_.ban_by_hand(network("203.0.113.9"), std::chrono::seconds(5), now_),
              ban_outcome::banned);
    EXPECT_EQ(table_.ban_by_hand(network("203.0.113.9"), std::chrono::seconds(60), now_),
              ban_outcome::changed);
    EXPECT_EQ(table_.ban_by_hand(network("::/0"), {}, now_), ban_outcome::holds_all_v4);
    EXPECT_EQ(table_.ban_by_hand(network("2000::/3"), {}, now_), ban_outcome::banned);
    EXPECT_EQ(strike("203.0.113.77").kind, verdict_kind::already_banned);
    EXPECT_EQ(table_.list(1).at(0).network, network("203.0.113.9"));
    EXPECT_EQ(table_.list(10).back().until_us, never_ends);
    now_ += 61 * second_us;
    table_.expire(now_);
    EXPECT_EQ(seen_.told.back(), "expired 203.0.113.9");
    now_ += 1'000'000'000 * second_us;
    table_.expire(now_);
    EXPECT_EQ(table_.list(10).size(), 1U);
    EXPECT_EQ(table_.unban(network("203.0.113.5")), 1U) << "all that touches it";
    EXPECT_EQ(table_.find(address("203.0.113.5")), nullptr);
}

TEST_F(ban_table_test, unban_takes_what_lies_within_and_forgives) {
    settings_.ban_time_increment = true;
    table_.configure(settings_, now_);
    strike_until_banned("192.0.2.1");
    strike_until_banned("192.0.2.2");
    strike_until_banned("192.0.3.1");
    EXPECT_EQ(table_.unban(network("192.0.2.0/24")), 2U);
    EXPECT_EQ(strike_until_banned("192.0.2.1").ban.count, 1U);
    now_ += 601 * second_us;
    table_.expire(now_);
    EXPECT_EQ(table_.history_count(), 2U);
    EXPECT_EQ(table_.unban(network("192.0.3.1")), 0U);
    EXPECT_EQ(strike_until_banned("192.0.3.1").ban.count, 1U) << "forgiven after its end";
    EXPECT_EQ(strike_until_banned("192.0.2.1").ban.count, 2U);
    EXPECT_EQ(table_.unban_all(), 2U);
    EXPECT_TRUE(seen_.rows.empty());
}

TEST_F(ban_table_test, repeated_bans_double_up_to_the_cap_and_are_forgotten) {
    settings_.ban_time_increment = true;
    settings_.ban_time_max = std::chrono::seconds(4000);
    table_.configure(settings_, now_);
    for (const std::int64_t lasts_s : {600, 1200, 2400, 4000, 4000}) {
        const verdict last = strike_until_banned("192.0.2.1");
        EXPECT_EQ((last.ban.until_us - last.ban.since_us) / second_us, lasts_s);
        now_ = last.ban.until_us;
    }
    now_ += 86'399 * second_us;
    table_.expire(now_);
    EXPECT_EQ(table_.history_count(), 1U);
    now_ += 2 * second_us;
    table_.expire(now_);
    EXPECT_EQ(table_.history_count(), 0U);
    EXPECT_EQ(seen_.told.back(), "forgotten 192.0.2.1/32");
    EXPECT_EQ(strike_until_banned("192.0.2.1").ban.count, 1U);
}

TEST(Settings, DurationsAndBounds) {
    settings given;
    given.ban_time_increment = true;
    given.ban_time_max = std::chrono::hours(24 * 365 * 100);
    EXPECT_EQ(duration_of(given, 21).count(), 600LL << 20);
    EXPECT_EQ(duration_of(given, 4'000'000'000U).count(), 600LL << 20);
    given.ban_time_factor = 0.5;
    EXPECT_EQ(duration_of(given, 2).count(), 600);
    EXPECT_EQ(duration_of(given, 3).count(), 1200);
    given.ban_time_factor = 0.001;
    EXPECT_EQ(duration_of(given, 2).count(), 600) << "never shorter than the first";
    given.ban_time_factor = 1e300;
    EXPECT_EQ(duration_of(bounded(given), 2), settings::time_max);
    given.max_retry = 0;
    given.ban_time_factor = std::numeric_limits<double>::quiet_NaN();
    given.find_time = std::chrono::seconds::max();
    given.ban_time = std::chrono::seconds::min();
    const settings kept = bounded(given);
    EXPECT_EQ(kept.max_retry, 1U);
    EXPECT_EQ(kept.ban_time_factor, 1);
    EXPECT_EQ(kept.find_time, settings::time_max);
    EXPECT_EQ(kept.ban_time.count(), 1);
    EXPECT_EQ(end_of(start_us, forever), never_ends);
    EXPECT_EQ(end_of(never_ends - 5, std::chrono::seconds(1)), never_ends);
}

TEST_F(ban_table_test, a_reload_shortens_and_never_lengthens) {
    strike_until_banned("192.0.2.1");
    EXPECT_EQ(table_.ban_by_hand(network("192.0.2.2"), std::chrono::hours(1), now_),
              ban_outcome::banned);
    settings_.ban_time = std::chrono::seconds(6000);
    table_.configure(settings_, now_);
    EXPECT_EQ(table_.find(address("192.0.2.1"))->until_us, now_ + 600 * second_us);
    settings_.ban_time = std::chrono::seconds(60);
    table_.configure(settings_, now_);
    EXPECT_EQ(table_.find(address("192.0.2.1"))->until_us, now_ + 60 * second_us);
    EXPECT_EQ(table_.find(address("192.0.2.2"))->until_us, now_ + 3600 * second_us);
    EXPECT_EQ(seen_.rows.at(network("192.0.2.1")).until_us, now_ + 60 * second_us);
    now_ += 100 * second_us;
    settings_.ban_time = std::chrono::seconds(50);
    table_.configure(settings_, now_);
    EXPECT_EQ(seen_.told.back(), "expired 192.0.2.1");
    settings_.max_retry = 1;
    table_.configure(settings_, now_);
    EXPECT_EQ(strike("192.0.2.3").kind, verdict_kind::banned);
    settings_.max_retry = settings::max_retry_max;
    table_.configure(settings_, now_);
    for (std::uint32_t i = 1; i < settings::max_retry_max; ++i) {
        EXPECT_EQ(strike("192.0.2.4").strikes, i);
    }
    EXPECT_EQ(strike("192.0.2.4").kind, verdict_kind::banned);
}

TEST_F(ban_table_test, what_was_stored_is_restored) {
    const auto row = [this](std::string_view from, std::int64_t since_s, std::int64_t until_s) {
        return ban{counted_network(address(from)),
                   address(from),
                   now_ + since_s * second_us,
                   now_ + until_s * second_us,
                   3,
                   strike_cause::sender};
    };
    std::vector<ban> rows = {row("192.0.2.1", -100, 500),
                             row("192.0.2.2", -900, -300),
                             row("192.0.2.3", -100'000, -99'000),
                             row("127.0.0.1", -100, 500),
                             row("2001:db8::1", -100, 500),
                             row("192.0.2.5", -100, 10'000)};
    rows.push_back(rows[0]); // Stored twice.
    rows.push_back({network("203.0.113.0/24"),
                    address("203.0.113.0"),
                    now_,
                    never_ends,
                    1,
                    strike_cause::manual});
    restore_all(table_, rows, {network("2001:db8::/60")}, now_);
    EXPECT_EQ((std::multiset<std::string>(seen_.told.begin(), seen_.told.end())),
              (std::multiset<std::string>{"restored 203.0.113.0/24",
                                          "forgotten 2001:db8::/64",
                                          "restored 192.0.2.5",
                                          "restored 192.0.2.1",
                                          "forgotten 127.0.0.1/32",
                                          "forgotten 192.0.2.3/32"}));
    EXPECT_EQ(table_.find(address("192.0.2.5"))->until_us, now_ + 500 * second_us)
        << "longer than the settings give by now";
    EXPECT_EQ(strike_until_banned("192.0.2.2").ban.count, 4U);
    EXPECT_EQ(table_.run_time_ignore(), std::vector{network("2001:db8::/60")});
    now_ += 500 * second_us;
    table_.expire(now_);
    EXPECT_EQ(table_.ban_count(), 2U);
}

TEST(BanTable, StrikesAreToldUntilTheyStopToCount) {
    recorder seen;
    ban_table table(seen);
    table.configure({}, start_us);
    const auto at = [](std::int64_t s) { return start_us + s * second_us; };
    const config::ip_address from = address("192.0.2.1");
    EXPECT_EQ(table.strikes_of(from, at(0)).strikes, 0U);
    (void)table.strike(from, strike_cause::login, at(0));
    (void)table.strike(from, strike_cause::login, at(100));
    EXPECT_EQ(table.strikes_of(from, at(600)).strikes, 2U);
    EXPECT_EQ(table.strikes_of(from, at(600)).frees_us, at(600));
    EXPECT_EQ(table.strikes_of(from, at(601)).strikes, 1U);
    EXPECT_EQ(table.strikes_of(from, at(601)).frees_us, at(700));
    EXPECT_EQ(table.strikes_of(from, at(701)).strikes, 0U);
    (void)table.strike(from, strike_cause::login, at(200));
    EXPECT_EQ(table.strikes_of(from, at(200)).strikes, 0U) << "they became a ban";
}

TEST(BanTable, FullTablesLetTheOldestGo) {
    recorder seen;
    ban_table table(seen, {.bans = 3, .strikers = 2, .history = 2});
    settings settings;
    settings.max_retry = 2;
    table.configure(settings, start_us);
    const auto strike = [&table](std::string_view from, std::int64_t at_s) {
        return table.strike(address(from), strike_cause::login, start_us + at_s * second_us);
    };
    strike("192.0.2.1", 0);
    strike("192.0.2.2", 1);
    strike("192.0.2.3", 2);
    EXPECT_EQ(table.striker_count(), 2U);
    EXPECT_EQ(table.displaced_strikers(), 1U);
    EXPECT_EQ(strike("192.0.2.2", 3).kind, verdict_kind::banned);
    EXPECT_EQ(strike("192.0.2.1", 4).strikes, 1U) << "its first was displaced";
    EXPECT_EQ(strike("192.0.2.1", 5).kind, verdict_kind::banned);
    EXPECT_EQ(strike("192.0.2.3", 6).kind, verdict_kind::banned);
    strike("192.0.2.4", 7);
    EXPECT_EQ(strike("192.0.2.4", 8).kind, verdict_kind::banned);
    EXPECT_EQ(table.displaced_bans(), 1U);
    EXPECT_EQ(seen.told.at(3), "displaced 192.0.2.2");
    for (int i = 5; i < 8; ++i) {
        EXPECT_EQ(table.ban_by_hand(
                      network("192.0.2." + std::to_string(i)), forever, start_us + 9 * second_us),
                  ban_outcome::banned);
    }
    EXPECT_EQ(table.history_count(), 2U);
    EXPECT_EQ(table.ban_by_hand(network("192.0.2.8"), {}, start_us + 9 * second_us),
              ban_outcome::full);
    strike("192.0.2.9", 10);
    EXPECT_EQ(strike("192.0.2.9", 10).kind, verdict_kind::counted) << "no room for its ban";
    EXPECT_EQ(seen.rows.size(), table.ban_count() + table.history_count());
    // More stored than there is room for: the first of them stay.
    recorder restored;
    ban_table small(restored, {.bans = 2, .strikers = 2, .history = 1});
    small.configure(settings, start_us);
    std::vector<ban> rows;
    for (const auto& [of, row] : seen.rows) {
        rows.push_back(row);
    }
    std::sort(rows.begin(), rows.end(), [](const ban& a, const ban& b) {
        return a.until_us > b.until_us;
    });
    restore_all(small, rows, {}, start_us + 9 * second_us);
    EXPECT_EQ(small.ban_count(), 2U);
    EXPECT_EQ(small.list(2).at(0).until_us, never_ends);
}

std::size_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::size_t total = 0;
    std::size_t resident = 0;
    file >> total >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool memory_is_plain = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool memory_is_plain = false;
#else
constexpr bool memory_is_plain = true;
#endif
#else
constexpr bool memory_is_plain = true;
#endif

TEST(BanTable, AFloodOfAMillionAddressesTakesNoMemory) {
    recorder seen;
    seen.noting = false;
    ban_table table(seen);
    table.configure({}, start_us);
    const std::size_t before = resident_bytes();
    config::ip_address from = address("2001:db8::");
    std::int64_t now_us = start_us;
    for (std::uint32_t i = 0; i < 1'000'000; ++i) {
        for (int byte = 0; byte < 4; ++byte) {
            from.bytes[static_cast<std::size_t>(4 + byte)] =
                static_cast<std::uint8_t>(i >> (8 * byte));
        }
        ASSERT_EQ(table.strike(from, strike_cause::login, ++now_us).kind, verdict_kind::counted);
    }
    EXPECT_EQ(table.striker_count(), ban_table::capacity().strikers);
    EXPECT_EQ(table.displaced_strikers(), 1'000'000 - ban_table::capacity().strikers);
    if (memory_is_plain) {
        EXPECT_LT(resident_bytes() - before, 32 * mib);
    }
    table.expire(now_us + 601 * second_us);
    EXPECT_EQ(table.striker_count(), 0U);
}

TEST(BanTable, BanningAndLiftingAtOneMomentTakesNoMemory) {
    recorder seen;
    seen.noting = false;
    ban_table table(seen);
    table.configure({}, start_us);
    const std::size_t before = resident_bytes();
    for (int i = 0; i < 1'000'000; ++i) {
        ASSERT_EQ(table.ban_by_hand(network("192.0.2.1"), {}, start_us), ban_outcome::banned);
        ASSERT_EQ(table.unban(network("192.0.2.1")), 1U);
    }
    if (memory_is_plain) {
        EXPECT_LT(resident_bytes() - before, 8 * mib);
    }
}

// The rules said once more, slowly: every strike is kept, every question asks them all.
struct slow_model {
    struct event {
        config::ip_network key;
        std::int64_t at_us;
    };

    std::vector<event> strikes;
    std::map<config::ip_network, std::int64_t> ends;

    verdict_kind strike(const config::ip_address& from, std::int64_t now_us) {
        const config::ip_network key = counted_network(from);
        const auto end = ends.find(key);
        if (end != ends.end() && end->second > now_us) {
            return verdict_kind::already_banned;
        }
        strikes.push_back({key, now_us});
        int within = 0;
        for (const event& each : strikes) {
            within += each.key == key && now_us - each.at_us <= 600 * second_us ? 1 : 0;
        }
        if (within < 3) {
            return verdict_kind::counted;
        }
        std::erase_if(strikes, [&key](const event& each) { return each.key == key; });
        ends[key] = now_us + 600 * second_us;
        return verdict_kind::banned;
    }
};

TEST(BanTable, BehavesAsTheSlowModel) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        recorder seen;
        ban_table table(seen);
        table.configure({}, start_us);
        slow_model model;
        std::int64_t now_us = start_us;
        for (int i = 0; i < 2000; ++i) {
            now_us += static_cast<std::int64_t>(random() % 120) * second_us / 2;
            const auto host = random() % 8;
            const config::ip_address from = address(
                host < 4 ? "192.0.2." + std::to_string(host)
                         : "2001:db8:0:" + std::to_string(host % 2) + "::" + std::to_string(host));
            if (random() % 50 == 0) {
                (void)table.unban(counted_network(from));
                model.ends.erase(counted_network(from));
                std::erase_if(model.strikes, [&from](const slow_model::event& each) {
                    return each.key == counted_network(from);
                });
            }
            ASSERT_EQ(table.strike(from, strike_cause::login, now_us).kind,
                      model.strike(from, now_us))
                << "seed " << seed << ", strike " << i;
            ASSERT_EQ(seen.running.size(), table.ban_count());
            ASSERT_EQ(seen.rows.size(), table.ban_count() + table.history_count());
            for (const ban& running : table.list(100)) {
                ASSERT_EQ(seen.running.at(running.network), running);
            }
        }
    }
}

} // namespace
} // namespace ebbgate::bans
