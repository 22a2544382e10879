// One count for all shards: limits hold under concurrency, rates are even, who waits is told.

#include "relay/site_limits.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ebbgate::relay {
namespace {

constexpr std::uint32_t many = 1000;

// One more message, by a site that has all the connections that it may have.
void succeed_with_all(site_limit& site) {
    while (site.enter(0, many)) {
    }
    site.succeeded(many);
}

TEST(SiteLimits, AWindowGrowsWithSuccessAndHalvesWhenItIsPushedBack) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    site->begin(true); // Too late: it has begun.
    std::uint32_t entered = 0;
    while (site->enter(0, many)) {
        ++entered;
    }
    EXPECT_EQ(entered, site_limit::window_first);
    for (std::uint32_t more = 0; more < 500; ++more) {
        succeed_with_all(*site);
    }
    EXPECT_GT(site->window(), 25U);
    EXPECT_LT(site->window(), 40U);
    while (site->connections() > 12) {
        site->leave();
    }
    EXPECT_FALSE(site->enter(0, 12)) << "the limit stands over the window";
    EXPECT_FALSE(site->is_over(12));
    site->pushed_back();
    EXPECT_EQ(site->window(), 6U);
    EXPECT_TRUE(site->is_over(12));
    for (int again = 0; again < 10; ++again) {
        site->pushed_back();
    }
    EXPECT_EQ(site->window(), 1U);
}

TEST(SiteLimits, WhereItWasPushedBackTheWindowGrowsSlowlyAndInTheEndPast) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    const auto successes_until = [&](std::uint32_t window) {
        int count = 0;
        while (site->window() < window && count < 100'000) {
            succeed_with_all(*site);
            ++count;
        }
        return count;
    };
    for (int entered = 0; entered < 4; ++entered) {
        EXPECT_TRUE(site->enter(0, many));
    }
    site->pushed_back(); // By the fourth.
    EXPECT_EQ(site->window(), 2U);
    EXPECT_LT(successes_until(3), 5);
    const int slow = successes_until(4);
    EXPECT_GT(slow, 60) << "it was told that four are too many";
    EXPECT_LT(slow, 200);
    EXPECT_LT(successes_until(5), 10) << "four are not too many any more";
}

TEST(SiteLimits, AWindowGrowsOnlyWhileItIsFull) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    for (std::uint32_t entered = 0; entered < site_limit::window_first - 1; ++entered) {
        EXPECT_TRUE(site->enter(0, many));
    }
    for (int more = 0; more < 1000; ++more) {
        site->succeeded(many);
    }
    EXPECT_EQ(site->window(), site_limit::window_first)
        << "four that work say nothing of how twenty would";
    EXPECT_TRUE(site->enter(0, many));
    for (std::uint32_t more = 0; more < site_limit::window_first + 1; ++more) {
        site->succeeded(many);
    }
    EXPECT_EQ(site->window(), site_limit::window_first + 1);
    for (int more = 0; more < 1000; ++more) {
        site->succeeded(many);
    }
    EXPECT_EQ(site->window(), site_limit::window_first + 1) << "the sixth has not come yet";
}

TEST(SiteLimits, HowManyWereTooManyIsNotForgottenWhenOneLeavesMeanwhile) {
    site_limits limits;
    const auto site = limits.find("mx");
    site->begin(false);
    for (int entered = 0; entered < 4; ++entered) {
        EXPECT_TRUE(site->enter(0, many));
    }
    site->leave();
    site->pushed_back(4);
    int count = 0;
    while (site->window() < 4 && count < 100'000) {
        succeed_with_all(*site);
        ++count;
    }
    EXPECT_GT(count, 60);
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
    site->succeeded(20);
    site->pushed_back();
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
    site->leave();
    const std::vector<std::string> both = {"0 mx", "1 mx"};
    EXPECT_EQ(told, both);
    EXPECT_FALSE(site->is_wanted());
    EXPECT_TRUE(site->enter(1, 1));
    site->leave();
    EXPECT_EQ(told, both) << "nobody waits";
}

TEST(SiteLimits, WhoHasHadItsShareLeavesToOthers) {
    site_limits limits;
    std::vector<std::uint32_t> told;
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
        limits.set_listener(shard, [&told, shard](const std::string&, site_limits::news what) {
            if (what == site_limits::news::room) {
                told.push_back(shard);
            }
        });
    }
    const auto site = limits.find("mx");
    site->begin(true);
    ASSERT_TRUE(site->enter(1, 1));
    ASSERT_FALSE(site->enter(1, 1));
    ASSERT_FALSE(site->enter(2, 1));
    site->leave_to_others(1);
    EXPECT_EQ(told, (std::vector<std::uint32_t>{2}));
    EXPECT_TRUE(site->is_wanted()) << "by the one that left";
    ASSERT_TRUE(site->enter(2, 1));
    site->leave();
    EXPECT_EQ(told, (std::vector<std::uint32_t>{2, 1}));
    EXPECT_FALSE(site->is_wanted());
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
                    site->leave();
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
