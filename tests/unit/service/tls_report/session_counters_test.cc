// Counters from several threads, over a flush, a restart and a week.

#include "service/tls_report/session_counters.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace ebbgate::tls_report {
namespace {

constexpr std::int64_t now_s = 1'795'535'813; // 2026-11-24
constexpr std::int64_t today = now_s / 86'400;

class SessionCountersTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-tlsrpt-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        open();
    }

    void TearDown() override {
        counters_.reset();
        std::filesystem::remove_all(folder_);
    }

    void open() {
        counters_.reset();
        auto made = session_counters::open(folder_ + "/tls.sqlite");
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        counters_ = std::move(*made);
    }

    std::string report(const std::string& domain, std::int64_t day = today) {
        auto text = counters_->report({"Org", "a@b.test", "id", domain, day});
        EXPECT_TRUE(text.has_value());
        return text.value_or("");
    }

    static session good(const std::string& domain) {
        return {domain, policy_type::sts, result_type::success, "192.0.2.1", "mx.test"};
    }

    std::string folder_;
    std::unique_ptr<session_counters> counters_;
};

TEST_F(SessionCountersTest, adds_from_all_threads_are_counted_once) {
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([this] {
            for (int time = 0; time < 1000; ++time) {
                counters_->add(good("a.test"), now_s);
                counters_->add({"a.test",
                                policy_type::sts,
                                result_type::certificate_expired,
                                "192.0.2.1",
                                "mx.test"},
                               now_s);
                if (time % 100 == 0) {
                    static std::mutex one_flush; // It is for one thread at a time.
                    const std::lock_guard held(one_flush);
                    EXPECT_TRUE(counters_->flush(now_s).has_value());
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    ASSERT_TRUE(counters_->flush(now_s).has_value());
    EXPECT_NE(report("a.test").find(R"("total-successful-session-count":4000,)"
                                    R"("total-failure-session-count":4000)"),
              std::string::npos)
        << report("a.test");
    EXPECT_EQ(counters_->lost(), 0U);
}

TEST_F(SessionCountersTest, survive_a_restart_and_go_on) {
    counters_->add(good("a.test"), now_s);
    counters_->set_policy("a.test", {policy_type::sts, {"version: STSv1"}, {"mx.test"}}, now_s);
    ASSERT_TRUE(counters_->flush(now_s).has_value());
    open();
    counters_->add(good("a.test"), now_s + 1);
    counters_->add(good("b.test"), now_s + 1);
    ASSERT_TRUE(counters_->flush(now_s).has_value());
    EXPECT_NE(report("a.test").find(R"("total-successful-session-count":2,)"), std::string::npos);
    EXPECT_NE(
        report("a.test").find(R"("policy-string":["version: STSv1"],"policy-domain":"a.test",)"
                              R"("mx-host":["mx.test"])"),
        std::string::npos)
        << report("a.test");
    EXPECT_EQ(*counters_->domains(today), (std::vector<std::string>{"a.test", "b.test"}));
    EXPECT_TRUE(counters_->domains(today + 1)->empty());
}

TEST_F(SessionCountersTest, days_are_those_of_utc) {
    counters_->add(good("a.test"), (today + 1) * 86'400 - 1);
    counters_->add(good("a.test"), (today + 1) * 86'400);
    ASSERT_TRUE(counters_->flush(now_s).has_value());
    for (const std::int64_t day : {today, today + 1}) {
        EXPECT_NE(report("a.test", day).find(R"("total-successful-session-count":1,)"),
                  std::string::npos);
    }
}

TEST_F(SessionCountersTest, forget_what_is_old) {
    counters_->add(good("a.test"), now_s);
    ASSERT_TRUE(counters_->flush(now_s).has_value());
    ASSERT_TRUE(counters_->flush(now_s + (session_counters::days_kept - 1) * 86'400).has_value());
    EXPECT_EQ(counters_->domains(today)->size(), 1U);
    ASSERT_TRUE(counters_->flush(now_s + session_counters::days_kept * 86'400).has_value());
    EXPECT_TRUE(counters_->domains(today)->empty());
}

TEST_F(SessionCountersTest, are_bounded) {
    for (std::size_t at = 0; at < session_counters::waiting_max + 5; ++at) {
        counters_->add(good(std::to_string(at) + ".test"), now_s);
    }
    EXPECT_EQ(counters_->lost(), 5U);
    counters_->add(good("1.test"), now_s); // Known: only counted.
    EXPECT_EQ(counters_->lost(), 5U);
    ASSERT_TRUE(counters_->flush(now_s).has_value());
    counters_->add(good("more.test"), now_s);
    EXPECT_EQ(counters_->lost(), 5U);
}

TEST_F(SessionCountersTest, odd_bytes_in_names_stay_in_their_field) {
    counters_->add({std::string("a\0b.test", 8),
                    policy_type::tlsa,
                    result_type::tlsa_invalid,
                    "192.0.2.1",
                    "m\nx"},
                   now_s);
    ASSERT_TRUE(counters_->flush(now_s).has_value());
    EXPECT_NE(report("ab.test").find(R"("receiving-mx-hostname":"mx")"), std::string::npos);
}

} // namespace
} // namespace ebbgate::tls_report
