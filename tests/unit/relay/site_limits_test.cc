// One count for all shards: limits hold under concurrency, rates are even, who waits is told.

#include "relay/site_limits.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ebbgate::relay {
namespace {

constexpr std::uint32_t many = 1000;

constexpr std::int64_t start_ms = 1'000'000;
constexpr std::int64_t later_ms = start_ms + site_limit::ceiling_hold_ms;

bool enter(site_limit& site) {
    if (!site.enter(0, many)) {
        return false;
    }
    site.begin_work();
    return true;
}

void leave(site_limit& site, std::int64_t now_ms = start_ms) {
    site.end_work(now_ms);
    site.leave(0);
}

// Which shards are told of room, as they are.
void note_room(site_limits& limits, std::uint32_t shards, std::vector<std::uint32_t>& told) {
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
        limits.set_listener(shard, [&told, shard](const std::string&, site_limits::news what) {
            if (what == site_limits::news::room) {
                told.push_back(shard);
            }
        });
    }
}

// One more message, by a site that has all the connections that it may have.
void succeed_with_all(site_limit& site, std::int64_t now_ms = start_ms) {
    while (enter(site)) {
    }
    site.succeeded(many, now_ms);
}

int successes_until(site_limit& site, std::uint32_t window, std::int64_t now_ms) {
    int count = 0;
    while (site.window() < window && count < 100'000) {
        succeed_with_all(site, now_ms);
        ++count;
    }
    return count;
}

TEST(SiteLimits, AWindowGrowsWithSuccessAndHalvesWhenItIsPushedBack) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    site->begin(true); // Too late: it has begun.
    std::uint32_t entered = 0;
    while (enter(*site)) {
        ++entered;
    }
    EXPECT_EQ(entered, site_limit::window_first);
    for (std::uint32_t more = 0; more < 500; ++more) {
        succeed_with_all(*site);
    }
    EXPECT_GT(site->window(), 25U);
    EXPECT_LT(site->window(), 40U);
    while (site->connections() > 12) {
        leave(*site);
    }
    EXPECT_FALSE(site->enter(0, 12)) << "the limit stands over the window";
    EXPECT_FALSE(site->is_over(12));
    site->pushed_back(start_ms);
    EXPECT_EQ(site->window(), 6U);
    EXPECT_TRUE(site->is_over(12));
    for (int again = 0; again < 10; ++again) {
        site->pushed_back(start_ms);
    }
    EXPECT_EQ(site->window(), 1U);
}

TEST(SiteLimits, WhereItWasPushedBackTheWindowGrowsSlowlyAndInTheEndPast) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    for (int entered = 0; entered < 4; ++entered) {
        EXPECT_TRUE(enter(*site));
    }
    site->pushed_back(start_ms); // By a reply to the fourth.
    EXPECT_EQ(site->window(), 2U);
    leave(*site);
    leave(*site);
    EXPECT_LT(successes_until(*site, 3, start_ms), 5);
    for (int more = 0; more < 1000; ++more) {
        succeed_with_all(*site, later_ms - 1);
    }
    EXPECT_EQ(site->window(), 3U) << "it was told that four are too many, and not long ago";
    const int slow = successes_until(*site, 4, later_ms);
    EXPECT_LT(slow, 200);
    for (int more = 0; more < 1000; ++more) {
        site->succeeded(many, later_ms);
    }
    EXPECT_EQ(site->window(), 4U) << "the fourth has not come yet";
    EXPECT_LT(successes_until(*site, 6, later_ms), 15) << "four are not too many any more";
}

TEST(SiteLimits, NearWhatWasTooManyEachPlaceTakesManySuccesses) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    for (int entered = 0; entered < 4; ++entered) {
        EXPECT_TRUE(enter(*site));
    }
    site->pushed_back(start_ms);
    leave(*site);
    leave(*site);
    (void)successes_until(*site, 3, later_ms);
    EXPECT_GT(successes_until(*site, 4, later_ms), 60);
}

TEST(SiteLimits, OneThatIsTurnedAwayLeavesThoseThatWork) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    for (int entered = 0; entered < 5; ++entered) {
        EXPECT_TRUE(site->enter(0, many));
    }
    site->turned_away(3, start_ms); // The host takes two, which it greets later.
    site->turned_away(4, start_ms);
    site->turned_away(5, start_ms);
    EXPECT_EQ(site->window(), 1U);
    for (int gone = 0; gone < 3; ++gone) {
        site->leave(0);
    }
    site->begin_work();
    site->begin_work();
    for (int more = 0; more < 1000; ++more) {
        site->succeeded(many, start_ms + 1);
    }
    EXPECT_EQ(site->window(), 2U) << "as many as work";
    EXPECT_LT(successes_until(*site, 3, later_ms), 100);
    ASSERT_TRUE(site->enter(0, many));
    site->turned_away(3, later_ms);
    site->leave(0);
    EXPECT_EQ(site->window(), 2U) << "not half of them";
    EXPECT_FALSE(site->is_over(many));
    for (int more = 0; more < 1000; ++more) {
        site->succeeded(many, later_ms + 1);
    }
    EXPECT_FALSE(site->enter(0, many)) << "a third was tried a moment ago";
}

TEST(SiteLimits, AWindowGrowsOnlyWhileItIsFullAndItsConnectionsWork) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    for (std::uint32_t entered = 0; entered < site_limit::window_first - 1; ++entered) {
        EXPECT_TRUE(enter(*site));
    }
    for (int more = 0; more < 1000; ++more) {
        site->succeeded(many, start_ms);
    }
    EXPECT_EQ(site->window(), site_limit::window_first)
        << "four that work say nothing of how twenty would";
    EXPECT_TRUE(enter(*site));
    for (int more = 0; more < 1000; ++more) {
        site->succeeded(many, start_ms);
    }
    EXPECT_EQ(site->window(), site_limit::window_first + 1) << "the sixth has not come yet";
    for (int hanging = 0; hanging < 100; ++hanging) {
        (void)site->enter(0, many);
        for (int more = 0; more < 100; ++more) {
            site->succeeded(many, start_ms);
        }
    }
    EXPECT_LE(site->window(), 4 * (site_limit::window_first + 1)) << "those that hang do not count";
}

TEST(SiteLimits, HowManyWereTooManyIsNotForgottenWhenOneLeavesMeanwhile) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    for (int entered = 0; entered < 4; ++entered) {
        EXPECT_TRUE(enter(*site));
    }
    leave(*site);
    site->turned_away(4, start_ms);
    for (int more = 0; more < 1000; ++more) {
        succeed_with_all(*site, later_ms - 1);
    }
    EXPECT_EQ(site->window(), 3U);
}

TEST(SiteLimits, ASiteWorksWhileAConnectionDoesAndShortlyAfter) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    EXPECT_FALSE(site->works(0));
    ASSERT_TRUE(site->enter(0, many));
    EXPECT_FALSE(site->works(start_ms));
    site->begin_work();
    EXPECT_TRUE(site->works(start_ms));
    leave(*site);
    EXPECT_TRUE(site->works(start_ms + site_limit::worked_lately_ms - 1));
    EXPECT_FALSE(site->works(start_ms + site_limit::worked_lately_ms));
}

TEST(SiteLimits, WhoWaitsForRoomIsMadeKnownOnce) {
    site_limits limits;
    int wanted = 0;
    limits.set_listener(0, [&](const std::string&, site_limits::news what) {
        wanted += what == site_limits::news::wanted ? 1 : 0;
    });
    const auto site = limits.find("mx");
    site->begin(true);
    ASSERT_TRUE(site->enter(0, 1));
    site->wait(1);
    EXPECT_EQ(wanted, 1) << "what is idle there is for the one that waits";
    site->wait(1);
    EXPECT_EQ(wanted, 1);
}

TEST(SiteLimits, AHostOfOurOwnHasAllItMayAtOnce) {
    site_limits limits;
    const auto site = limits.find("relay:25");
    site->begin(true);
    std::uint32_t entered = 0;
    while (site->enter(0, 20)) {
        ++entered;
    }
    EXPECT_EQ(entered, 20U);
    site->succeeded(20, start_ms);
    site->pushed_back(start_ms);
    EXPECT_EQ(site->window(), 10U) << "half of what it had";
}

TEST(SiteLimits, WhoWasRefusedIsToldWhenThereIsRoom) {
    site_limits limits;
    std::vector<std::string> told;
    limits.set_listener(
        0, [&](const std::string& name, site_limits::news) { told.push_back("0 " + name); });
    limits.set_listener(
        1, [&](const std::string& name, site_limits::news) { told.push_back("1 " + name); });
    const auto site = limits.find("mx");
    site->begin(true);
    EXPECT_TRUE(site->enter(0, 1));
    EXPECT_FALSE(site->enter(1, 1));
    const std::vector<std::string> once = {"0 mx"};
    EXPECT_EQ(told, once) << "it may have an idle one";
    EXPECT_FALSE(site->enter(1, 1));
    EXPECT_EQ(told, once) << "it knows";
    EXPECT_TRUE(site->is_wanted());
    EXPECT_EQ(site->contenders(0), 2U);
    EXPECT_EQ(site->contenders(1), 1U);
    site->leave(0);
    const std::vector<std::string> both = {"0 mx", "1 mx"};
    EXPECT_EQ(told, both);
    EXPECT_FALSE(site->is_wanted());
    EXPECT_TRUE(site->enter(1, 1));
    site->leave(0);
    EXPECT_EQ(told, both) << "nobody waits";
}

TEST(SiteLimits, WhoHasHadItsShareLeavesToOthers) {
    site_limits limits;
    std::vector<std::uint32_t> told;
    note_room(limits, 3, told);
    const auto site = limits.find("mx");
    site->begin(true);
    ASSERT_TRUE(site->enter(1, 1));
    ASSERT_FALSE(site->enter(1, 1));
    ASSERT_FALSE(site->enter(2, 1));
    site->leave_to_others(1);
    EXPECT_EQ(told, (std::vector<std::uint32_t>{2}));
    EXPECT_TRUE(site->is_wanted()) << "by the one that left";
    ASSERT_TRUE(site->enter(2, 1));
    site->leave(0);
    EXPECT_EQ(told, (std::vector<std::uint32_t>{2, 1}));
    EXPECT_FALSE(site->is_wanted());
}

TEST(SiteLimits, WhoLeavesTellsTheNextShardFirst) {
    site_limits limits;
    std::vector<std::uint32_t> told;
    note_room(limits, 4, told);
    const auto site = limits.find("mx");
    site->begin(true);
    ASSERT_TRUE(site->enter(1, 1));
    for (const std::uint32_t shard : {0U, 1U, 3U}) {
        ASSERT_FALSE(site->enter(shard, 1));
    }
    site->leave(1);
    EXPECT_EQ(told, (std::vector<std::uint32_t>{3, 0, 1}));
}

TEST(SiteLimits, RatesAreEven) {
    site_limits limits;
    const auto site = limits.find("mx");
    const config::rate slow{100, std::chrono::minutes(1)};
    std::int64_t now_us = 5'000'000;
    int sent = 0;
    for (const std::int64_t end_us = now_us + 60'000'000; now_us < end_us;) {
        const std::int64_t due_us = site->take_message(slow, now_us);
        sent += due_us == 0 ? 1 : 0;
        EXPECT_TRUE(due_us == 0 || (due_us > now_us && due_us <= now_us + 600'000));
        now_us = due_us == 0 ? now_us : due_us;
    }
    EXPECT_EQ(sent, 100);
    const config::rate fast{1000, std::chrono::seconds(1)};
    sent = 0;
    now_us += 10'000'000;
    for (const std::int64_t end_us = now_us + 1'000'000; now_us < end_us; now_us += 8000) {
        while (site->take_connection(fast, now_us) == 0) {
            ++sent;
        }
    }
    EXPECT_GE(sent, 990);
    EXPECT_LE(sent, 1101) << "with a burst of a tenth of a second";
    EXPECT_EQ(site->take_message(config::unlimited_rate, now_us), 0);
}

TEST(SiteLimits, ALimitHoldsUnderConcurrency) {
    site_limits limits;
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    std::vector<std::thread> threads;
    for (std::uint32_t shard = 0; shard < 4; ++shard) {
        threads.emplace_back([&, shard] {
            for (int turn = 0; turn < 20'000; ++turn) {
                const auto site = limits.find(turn % 2 == 0 ? "a" : "b");
                site->begin(true);
                if (turn % 2 == 0 && site->enter(shard, 3)) {
                    const int now = ++inside;
                    int seen = most;
                    while (now > seen && !most.compare_exchange_weak(seen, now)) {
                    }
                    --inside;
                    site->leave(0);
                }
            }
        });
    }
    for (std::thread& one : threads) {
        one.join();
    }
    EXPECT_LE(most, 3);
    EXPECT_EQ(limits.find("a")->connections(), 0U);
}

TEST(SiteLimits, NamesThatNobodyHoldsAreForgotten) {
    site_limits limits;
    for (int number = 0; number < 300'000; ++number) {
        (void)limits.find("site" + std::to_string(number));
    }
    EXPECT_LT(limits.size(), 64 * 1030U);
}

} // namespace
} // namespace ebbgate::relay
