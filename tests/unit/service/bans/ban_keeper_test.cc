// A strike that bans is in force everywhere when it returns, and after a restart.

#include "service/bans/ban_keeper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace ebbgate::bans {
namespace {

constexpr std::int64_t second_us = 1'000'000;
constexpr std::int64_t start_us = 1'795'500'000 * second_us; // 2026-11-24 06:00:00 UTC.

config::ip_address address(std::string_view text) {
    return config::parse_ip_address(text).value();
}

config::ip_network network(std::string_view text) {
    return config::parse_ip_network(text).value();
}

class ban_keeper_test : public ::testing::Test {
protected:
    void SetUp() override {
        setenv("TZ", "UTC0", 1);
        tzset();
        char name[] = "/tmp/ebbgate-bans-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::unique_ptr<ban_keeper> make(std::unique_ptr<net::refusal> refusal = nullptr) {
        ban_keeper::parts parts;
        parts.refusal = std::move(refusal);
        parts.why_reset = "no privilege";
        auto store = ban_store::open(folder_ + "/bans.db");
        EXPECT_TRUE(store);
        parts.store = std::move(*store);
        parts.log = [this](std::string lines) { log_ += lines; };
        parts.cut = [this](const config::ip_network& network,
                           const std::vector<config::ip_network>& spared) {
            cut_ += config::to_text(network);
            for (const config::ip_network& each : spared) {
                cut_ += " not " + config::to_text(each);
            }
            cut_ += '\n';
        };
        parts.pid = 7;
        return std::make_unique<ban_keeper>(std::move(parts));
    }

    std::string folder_;
    std::string log_;
    std::string cut_;
};

TEST_F(ban_keeper_test, the_third_strike_is_in_force_when_it_returns) {
    const auto keeper = make();
    ASSERT_TRUE(keeper->start({}, start_us));
    for (int i = 0; i < 3; ++i) {
        EXPECT_FALSE(keeper->is_banned(address("192.0.2.1")));
        keeper->strike(address("192.0.2.1"), strike_cause::login, start_us + i * second_us);
    }
    EXPECT_TRUE(keeper->is_banned(address("192.0.2.1")));
    EXPECT_EQ(cut_, "192.0.2.1/32\n");
    keeper->strike(address("127.0.0.1"), strike_cause::login, start_us + 2 * second_us);
    keeper->strike(address("192.0.2.1"), strike_cause::login, start_us + 9 * second_us);
    const auto values = keeper->status();
    EXPECT_FALSE(values.refused_by_kernel);
    EXPECT_EQ(values.why_reset, "no privilege");
    EXPECT_EQ(values.bans, 1U);
    EXPECT_EQ(values.found, 4U);
    EXPECT_EQ(values.ignored, 1U);
    EXPECT_EQ(values.not_yet_durable, 1U);
    keeper->tick(start_us + 602 * second_us);
    EXPECT_FALSE(keeper->is_banned(address("192.0.2.1")));
    EXPECT_EQ(keeper->status().not_yet_durable, 0U);
    EXPECT_EQ(log_,
              "2026-11-24 06:00:00,000 fail2ban.filter         [7]: INFO    [smtp] Found "
              "192.0.2.1 - 2026-11-24 06:00:00\n"
              "2026-11-24 06:00:01,000 fail2ban.filter         [7]: INFO    [smtp] Found "
              "192.0.2.1 - 2026-11-24 06:00:01\n"
              "2026-11-24 06:00:02,000 fail2ban.filter         [7]: INFO    [smtp] Found "
              "192.0.2.1 - 2026-11-24 06:00:02\n"
              "2026-11-24 06:00:02,000 fail2ban.actions        [7]: NOTICE  [smtp] Ban "
              "192.0.2.1\n"
              "2026-11-24 06:00:02,000 fail2ban.filter         [7]: INFO    [smtp] Ignore "
              "127.0.0.1 by ip\n"
              "2026-11-24 06:00:09,000 fail2ban.filter         [7]: INFO    [smtp] Found "
              "192.0.2.1 - 2026-11-24 06:00:09\n"
              "2026-11-24 06:00:09,000 fail2ban.actions        [7]: NOTICE  [smtp] 192.0.2.1 "
              "already banned\n"
              "2026-11-24 06:10:02,000 fail2ban.actions        [7]: NOTICE  [smtp] Unban "
              "192.0.2.1\n");
}

TEST_F(ban_keeper_test, a_restart_keeps_bans_history_and_the_white_list) {
    settings settings;
    settings.ban_time_increment = true;
    {
        const auto keeper = make();
        ASSERT_TRUE(keeper->start(settings, start_us));
        for (const auto* from : {"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.4"}) {
            for (int i = 0; i < 3; ++i) {
                keeper->strike(address(from), strike_cause::sender, start_us);
            }
        }
        EXPECT_EQ(keeper->unban(network("192.0.2.2"), start_us), 1U);
        EXPECT_TRUE(keeper->add_ignore(network("2001:db8::2"), start_us));
        EXPECT_FALSE(keeper->add_ignore(network("2001:db8::2"), start_us));
        EXPECT_TRUE(keeper->add_ignore(network("192.0.2.4"), start_us));
        EXPECT_EQ(keeper->ban_by_hand(network("203.0.113.0/24"), forever, start_us),
                  ban_outcome::banned);
    } // Flushed at the end.
    log_.clear();
    cut_.clear();
    const auto keeper = make();
    ASSERT_TRUE(keeper->start(settings, start_us + second_us));
    EXPECT_TRUE(keeper->is_banned(address("192.0.2.1")));
    EXPECT_FALSE(keeper->is_banned(address("192.0.2.2")));
    EXPECT_FALSE(keeper->is_banned(address("192.0.2.4")));
    EXPECT_TRUE(keeper->is_banned(address("2001:db8::1")));
    EXPECT_FALSE(keeper->is_banned(address("2001:db8::2")));
    EXPECT_TRUE(keeper->is_banned(address("203.0.113.200")));
    for (const auto* name : {"203.0.113.0/24", "2001:db8::1", "192.0.2.1"}) {
        const std::string line =
            "2026-11-24 06:00:01,000 fail2ban.actions        [7]: NOTICE  [smtp] Restore Ban " +
            std::string(name) + '\n';
        EXPECT_NE(log_.find(line), std::string::npos) << name;
    }
    EXPECT_EQ(std::count(log_.begin(), log_.end(), '\n'), 3);
    EXPECT_EQ(cut_, "");
    EXPECT_EQ(keeper->run_time_ignore().size(), 2U);
    EXPECT_TRUE(keeper->remove_ignore(network("192.0.2.4"), start_us));
    // The second ban of an address that was banned before the restart lasts twice as long.
    log_.clear();
    keeper->tick(start_us + 1000 * second_us);
    for (int i = 0; i < 3; ++i) {
        keeper->strike(address("2001:db8::9"), strike_cause::login, start_us + 1000 * second_us);
    }
    EXPECT_NE(log_.find("[smtp] Found 2001:db8::9 - 2026-11-24 06:16:40\n"), std::string::npos);
    EXPECT_NE(log_.find("[smtp] Ban 2001:db8::9\n"), std::string::npos);
    EXPECT_EQ(cut_, "2001:db8::/64 not 2001:db8::2/128\n");
    for (int i = 0; i < 3; ++i) {
        keeper->strike(address("192.0.2.1"), strike_cause::login, start_us + 1000 * second_us);
    }
    EXPECT_TRUE(log_.ends_with(
        "2026-11-24 06:16:40,000 fail2ban.actions        [7]: NOTICE  [smtp] Ban 192.0.2.1\n"
        "2026-11-24 06:16:40,000 fail2ban.observer       [7]: NOTICE  [smtp] Increase Ban "
        "192.0.2.1 (2 # 20m -> 2026-11-24 06:36:40)\n"))
        << log_;
    EXPECT_EQ(keeper->unban_all(start_us + 1001 * second_us), 3U);
}

TEST_F(ban_keeper_test, the_kernel_knows_what_the_table_knows) {
    auto refusal = net::refusal::open(10'000);
    if (!refusal) {
        GTEST_SKIP() << refusal.error().detail;
    }
    net::refusal* const kernel = refusal->get();
    const auto keeper = make(std::move(*refusal));
    ASSERT_TRUE(keeper->start({}, start_us));
    EXPECT_EQ(kernel->count_entries(), 2U) << "the white list: loopback";
    for (int i = 0; i < 3; ++i) {
        keeper->strike(address("192.0.2.1"), strike_cause::login, start_us);
        keeper->strike(address("2001:db8::1"), strike_cause::login, start_us);
    }
    EXPECT_EQ(kernel->count_entries(), 4U);
    EXPECT_TRUE(keeper->add_ignore(network("192.0.2.0/24"), start_us));
    EXPECT_EQ(kernel->count_entries(), 4U) << "one lifted, one let through";
    EXPECT_TRUE(keeper->remove_ignore(network("192.0.2.0/24"), start_us));
    EXPECT_EQ(kernel->count_entries(), 3U);
    keeper->tick(start_us + 600 * second_us);
    EXPECT_EQ(kernel->count_entries(), 2U);
    EXPECT_TRUE(keeper->status().refused_by_kernel);
    EXPECT_EQ(keeper->status().kernel_faults, 0U);
    EXPECT_FALSE(keeper->attach(-1));
    EXPECT_EQ(keeper->status().kernel_faults, 1U);
}

// More than a block for each thread of the start, and then more than the table may hold.
TEST_F(ban_keeper_test, many_stored_bans_are_in_force_everywhere_and_the_last_to_end_stay) {
    constexpr std::uint32_t stored = 50'000;
    constexpr std::uint32_t room = 40'000;
    const auto nth = [](std::uint32_t i) {
        config::ip_network each = network("10.0.0.0");
        each.address.bytes[14] = static_cast<std::uint8_t>(i >> 8);
        each.address.bytes[15] = static_cast<std::uint8_t>(i);
        return each;
    };
    {
        auto store = ban_store::open(folder_ + "/bans.db");
        ASSERT_TRUE(store);
        ASSERT_TRUE(store->replace_all(
            [&nth](const ban_store::give_row& give) {
                for (std::uint32_t i = 0; i < stored; ++i) {
                    give({nth(i),
                          nth(i).address,
                          start_us,
                          start_us + (1 + (i * 7919 % stored)) * second_us,
                          1,
                          strike_cause::manual});
                }
            },
            {}));
    }
    for (const std::uint32_t kept : {stored, room}) {
        auto refusal = net::refusal::open(100'000);
        net::refusal* const kernel = refusal ? refusal->get() : nullptr;
        ban_keeper::parts parts;
        parts.store = std::move(*ban_store::open(folder_ + "/bans.db"));
        parts.refusal = refusal ? std::move(*refusal) : nullptr;
        parts.capacity.bans = kept;
        std::string restored;
        parts.log_restored = [&restored](const std::string& lines) { restored += lines; };
        parts.log = parts.log_restored;
        ban_keeper keeper(std::move(parts));
        ASSERT_TRUE(keeper.start({}, start_us));
        std::size_t wrong = 0;
        for (std::uint32_t i = 0; i < stored; ++i) {
            const bool stays = i * 7919 % stored >= stored - kept;
            wrong += keeper.is_banned(nth(i).address) == stays &&
                             (keeper.find(nth(i).address) != nullptr) == stays
                         ? 0
                         : 1;
        }
        EXPECT_EQ(wrong, 0U);
        EXPECT_EQ(std::count(restored.begin(), restored.end(), '\n'), std::ptrdiff_t{kept});
        EXPECT_EQ(keeper.status().kernel_faults, 0U);
        if (kernel != nullptr) {
            EXPECT_EQ(kernel->count_entries(), kept + 2) << "and the white list: loopback";
        }
    }
}

TEST_F(ban_keeper_test, a_store_that_fails_stops_no_ban) {
    const auto keeper = make();
    ASSERT_TRUE(keeper->start({}, start_us));
    auto other = store::database::open(folder_ + "/bans.db");
    ASSERT_TRUE(other);
    ASSERT_TRUE(other->execute("CREATE TRIGGER broken BEFORE INSERT ON bans "
                               "BEGIN SELECT RAISE(FAIL, 'the disk is tired'); END"));
    for (int i = 0; i < 3; ++i) {
        keeper->strike(address("192.0.2.1"), strike_cause::login, start_us);
    }
    keeper->tick(start_us + second_us);
    EXPECT_TRUE(keeper->is_banned(address("192.0.2.1")));
    EXPECT_EQ(keeper->status().store_faults, 1U);
    EXPECT_EQ(keeper->status().not_yet_durable, 1U);
    EXPECT_NE(keeper->status().last_fault.find("the disk is tired"), std::string::npos);
    // So many changes that they are not kept one by one any more.
    for (std::uint32_t i = 0; i <= ban_store::pending_max; ++i) {
        config::ip_network each = network("10.0.0.0");
        each.address.bytes[13] = static_cast<std::uint8_t>(i >> 16);
        each.address.bytes[14] = static_cast<std::uint8_t>(i >> 8);
        each.address.bytes[15] = static_cast<std::uint8_t>(i);
        ASSERT_EQ(keeper->ban_by_hand(each, {}, start_us + second_us), ban_outcome::banned);
        if (i == 0) {
            ASSERT_TRUE(other->execute("BEGIN IMMEDIATE; DELETE FROM bans; COMMIT"));
        }
    }
    ASSERT_TRUE(other->execute("DROP TRIGGER broken"));
    EXPECT_TRUE(keeper->flush());
    EXPECT_EQ(keeper->status().not_yet_durable, 0U);
    const auto again = ban_store::open(folder_ + "/bans.db");
    ASSERT_TRUE(again);
    auto rows = other->prepare("SELECT count(*) FROM bans");
    ASSERT_TRUE(rows->step().value());
    EXPECT_EQ(rows->number(0), static_cast<std::int64_t>(ban_store::pending_max) + 2);
}

} // namespace
} // namespace ebbgate::bans
