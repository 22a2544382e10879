// What a caller is told, and when, with a source of policies that answers when the test says so.

#include "service/mta_sts/policy_finder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace ebbgate::mta_sts {
namespace {

constexpr std::int64_t day_s = 86'400;

// Keeps what is asked until the test answers.
struct slow_source final : policy_source {
    std::map<std::string, fetch_done> asked;
    int times = 0;

    void fetch(const std::string& domain, fetch_done done) override {
        ++times;
        asked[domain] = std::move(done);
    }

    void answer(const std::string& domain, fetch_answer with) {
        auto node = asked.extract(domain);
        node.mapped()(std::move(with));
    }

    void give(const std::string& domain, std::int64_t max_age_s, const std::string& mx) {
        answer(domain, policy{mode::enforce, {mx}, max_age_s});
    }

    void fail(const std::string& domain) {
        answer(domain, std::unexpected(fetch_fault{{}, "timed out"}));
    }
};

class PolicyFinderTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-sts-finder-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        reactor_ = std::move(*task::reactor::open({}));
        settings_.path = folder_ + "/sts.db";
        settings_.now_s = [this] { return now_s_.load(); };
        open();
    }

    void TearDown() override {
        EXPECT_TRUE(workers_.stop(std::chrono::seconds(5)));
        finder_.reset();
        std::filesystem::remove_all(folder_);
    }

    void open() {
        finder_.reset();
        auto made = policy_finder::open(settings_, workers_, source_);
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        finder_ = std::move(*made);
    }

    static std::string text_of(const found_policy& found) {
        return found.is_unknown          ? "unknown"
               : found.policy == nullptr ? "none"
                                         : found.policy->mx.front();
    }

    // What it is told at once; "" when it waits.
    std::string find(const std::string& domain) {
        told_.clear();
        finder_->find(
            domain,
            *reactor_,
            [](const std::string&, const std::function<void(txt_answer)>& done) {
                done({false, {"v=STSv1; id=1;"}});
            },
            [this](const found_policy& found) { told_ = text_of(found); });
        return told_;
    }

    // What the last find() is told in the end.
    std::string later() {
        for (int turns = 0; told_.empty() && turns < 500; ++turns) {
            reactor_->run_once(10);
        }
        return told_;
    }

    // Until the source has been asked about it.
    void wait_for_fetch(const std::string& domain) {
        for (int turns = 0; !source_.asked.contains(domain) && turns < 500; ++turns) {
            reactor_->run_once(10);
        }
        ASSERT_TRUE(source_.asked.contains(domain)) << domain;
    }

    // A policy that is there from then on.
    void learn(const std::string& domain, std::int64_t max_age_s) {
        ASSERT_EQ(find(domain), "");
        wait_for_fetch(domain);
        source_.give(domain, max_age_s, "mx." + domain);
        ASSERT_EQ(later(), "mx." + domain);
    }

    std::string folder_;
    std::atomic<std::int64_t> now_s_ = 1'000'000; // Read by workers.
    std::string told_;
    finder_settings settings_;
    slow_source source_;
    shard::worker_pool workers_{1, 1000};
    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<policy_finder> finder_;
};

TEST_F(PolicyFinderTest, a_policy_that_holds_is_told_at_once_and_fetched_again_behind_it) {
    learn("a.test", 2000);
    now_s_ += 1500;
    EXPECT_EQ(find("a.test"), "mx.a.test");
    EXPECT_EQ(source_.times, 2) << "past half of its time";
    EXPECT_EQ(find("a.test"), "mx.a.test") << "nobody waits for a fetch that is under way";
    EXPECT_EQ(source_.times, 2);
    source_.fail("a.test");
    now_s_ += 400;
    EXPECT_EQ(find("a.test"), "mx.a.test");
    source_.give("a.test", 2000, "new.a.test");
    for (int turns = 0; find("a.test") != "new.a.test" && turns < 500; ++turns) {
        reactor_->run_once(10);
    }
    EXPECT_EQ(find("a.test"), "new.a.test");
    EXPECT_EQ(source_.times, 3);
}

TEST_F(PolicyFinderTest, want_of_a_place_is_not_the_absence_of_a_policy) {
    ASSERT_EQ(find("a.test"), "");
    source_.answer("a.test", std::nullopt);
    EXPECT_EQ(later(), "unknown");
    EXPECT_EQ(find("a.test"), "") << "asked for again at once";
    source_.fail("a.test");
    EXPECT_EQ(later(), "none") << "a host that does not answer is: RFC 8461 5";
    learn("b.test", 2000);
    now_s_ += 1500;
    EXPECT_EQ(find("b.test"), "mx.b.test");
    source_.answer("b.test", std::nullopt);
    EXPECT_EQ(find("b.test"), "mx.b.test") << "what is there holds";
}

TEST_F(PolicyFinderTest, more_callers_than_may_wait_are_told_that_nothing_is_known) {
    for (std::size_t n = 0; n < policy_finder::waiting_max; ++n) {
        ASSERT_EQ(find("a.test"), "");
    }
    EXPECT_EQ(find("a.test"), "unknown");
    EXPECT_EQ(find("b.test"), "unknown");
    told_.clear();
    source_.give("a.test", 2000, "mx.a.test");
    EXPECT_EQ(later(), "mx.a.test");
}

TEST_F(PolicyFinderTest, a_short_policy_is_followed_by_the_next_without_a_gap) {
    learn("a.test", 100);
    now_s_ += 60;
    EXPECT_EQ(find("a.test"), "mx.a.test");
    EXPECT_EQ(source_.times, 2) << "before its end";
    source_.answer("a.test", std::nullopt);
    now_s_ += 40;
    EXPECT_EQ(find("a.test"), "") << "it has ended: waited for, not gone without";
    EXPECT_EQ(source_.times, 3);
    source_.give("a.test", 100, "next.a.test");
    EXPECT_EQ(later(), "next.a.test");
}

TEST_F(PolicyFinderTest, those_in_use_stay_in_memory_and_the_others_are_read_again) {
    settings_.domains_max = 5;
    open();
    learn("used.test", 7 * day_s);
    learn("rare.test", 7 * day_s);
    for (int n = 0; n < 20; ++n) {
        learn("d" + std::to_string(n) + ".test", 365 * day_s);
        ASSERT_EQ(find("used.test"), "mx.used.test") << n;
        ASSERT_LE(finder_->size(), 5U);
    }
    EXPECT_EQ(find("rare.test"), "") << "from the disk";
    EXPECT_EQ(later(), "mx.rare.test");
    EXPECT_EQ(source_.times, 22) << "and not fetched again";
    EXPECT_EQ(find("new.test"), "") << "the disk has none";
    wait_for_fetch("new.test");
    source_.give("new.test", 100, "mx.new.test");
    EXPECT_EQ(later(), "mx.new.test");
}

TEST_F(PolicyFinderTest, those_in_use_stay_on_the_disk) {
    settings_.rows_max = 5;
    open();
    learn("used.test", 7 * day_s);
    for (int n = 0; n < 20; ++n) {
        now_s_ += 200;
        ASSERT_EQ(find("used.test"), "mx.used.test");
        learn("d" + std::to_string(n) + ".test", 365 * day_s);
    }
    open();
    EXPECT_EQ(find("used.test"), "mx.used.test");
    EXPECT_EQ(find("d0.test"), "");
}

} // namespace
} // namespace ebbgate::mta_sts
