#include "stage/limits/limiter.h"
#include "table_fixture.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace ebbgate::limits {
namespace {

using std::chrono::hours;

const rule per_sender{"messages_per_sender", unit::messages, {3, hours(24)}};
const rule per_account{"recipients_per_account", unit::recipients, {10, hours(1)}};
const rule per_tenant{"messages_per_tenant", unit::messages, {5, hours(24)}};

class limiter_test : public table_fixture {
protected:
    void SetUp() override {
        table_fixture::SetUp();
        table_ = open(1024);
        limiter_ = std::make_unique<limiter>(*table_);
    }

    std::array<charge, 3> charges_{charge{&per_sender, "a@acme.example"},
                                   charge{&per_account, "mailer@acme.example"},
                                   charge{&per_tenant, "acme"}};

    [[nodiscard]] std::uint32_t used(const rule& rule, std::string_view subject) const {
        return limiter_->read(rule, subject, test_start).used;
    }

    std::unique_ptr<counter_table> table_;
    std::unique_ptr<limiter> limiter_;
};

TEST_F(limiter_test, all_rules_count_or_none) {
    ASSERT_TRUE(limiter_->take({charges_, 4, test_start}));
    ASSERT_TRUE(limiter_->take({charges_, 4, test_start}));
    EXPECT_EQ(used(per_sender, "a@acme.example"), 2U);
    EXPECT_EQ(used(per_account, "mailer@acme.example"), 8U);
    EXPECT_EQ(used(per_tenant, "acme"), 2U);

    const auto refused = limiter_->take({charges_, 3, after(5)});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().charged.rule, &per_account);
    EXPECT_EQ(refused.error().charged.subject, "mailer@acme.example");
    EXPECT_EQ(refused.error().rate, per_account.rate);
    EXPECT_EQ(refused.error().used, 8U);
    EXPECT_EQ(refused.error().frees, after(3'600'000));
    EXPECT_EQ(refused.error().reason, refusal_reason::exceeded);
    EXPECT_EQ(used(per_sender, "a@acme.example"), 2U);
    EXPECT_EQ(used(per_tenant, "acme"), 2U);

    const auto last = limiter_->take({charges_, 2, test_start});
    ASSERT_TRUE(last);
    EXPECT_EQ(limiter_->take({charges_, 0, test_start}).error().charged.rule, &per_sender);
    limiter_->give_back(*last);
    EXPECT_EQ(used(per_sender, "a@acme.example"), 2U);
    EXPECT_EQ(used(per_account, "mailer@acme.example"), 8U);
    EXPECT_EQ(used(per_tenant, "acme"), 2U);
}

TEST_F(limiter_test, what_was_taken_is_given_back_when_the_table_has_no_room_for_the_rest) {
    limiter_.reset();
    table_.reset();
    std::filesystem::remove(path_);
    table_ = open(16);
    limiter_ = std::make_unique<limiter>(*table_);
    ASSERT_TRUE(limiter_->take({std::span(charges_).first(1), 1, test_start}));
    for (int i = 0; i < 15; ++i) {
        ASSERT_TRUE(
            table_->take(table_->key_of("x", std::to_string(i)), per_sender.rate, 1, test_start));
    }
    const auto refused = limiter_->take({charges_, 1, test_start});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, refusal_reason::table_full);
    EXPECT_EQ(refused.error().charged.rule, &per_account);
    EXPECT_EQ(used(per_sender, "a@acme.example"), 1U);
}

TEST_F(limiter_test, a_look_says_what_a_take_would) {
    for (std::uint32_t recipients = 1; recipients <= 12; ++recipients) {
        EXPECT_EQ(limiter_->check({charges_, recipients, test_start}).has_value(), recipients > 10);
    }
    EXPECT_FALSE(limiter_->check({charges_, 11, test_start})->frees) << "waiting does not help";
    for (int i = 0; i < 3; ++i) {
        EXPECT_FALSE(limiter_->check({charges_, 1, test_start}));
        ASSERT_TRUE(limiter_->take({charges_, 1, test_start}));
    }
    const auto refused = limiter_->check({charges_, 1, test_start});
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->charged.rule, &per_sender);
    EXPECT_EQ(refused->used, 3U);
    EXPECT_EQ(refused->frees, after(86'400'000));
    EXPECT_FALSE(limiter_->check({charges_, 1, after(86'400'000)}));
}

TEST_F(limiter_test, an_override_is_in_force_at_once_and_keeps_the_count) {
    const auto sender = std::span(charges_).first(1);
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(limiter_->take({sender, 1, test_start}));
    }
    ASSERT_FALSE(limiter_->take({sender, 1, test_start}));
    const raised more{
        "messages_per_sender", "a@acme.example", {5, hours(24)}, after(2 * 3'600'000)};
    ASSERT_TRUE(limiter_->replace({more}, test_start));
    EXPECT_EQ(used(per_sender, "a@acme.example"), 3U);
    EXPECT_EQ(limiter_->read(per_sender, "a@acme.example", test_start).raised_until, more.until);
    EXPECT_FALSE(limiter_->read(per_sender, "b@acme.example", test_start).raised_until);
    ASSERT_TRUE(limiter_->take({sender, 1, test_start}));
    ASSERT_TRUE(limiter_->take({sender, 1, test_start}));
    const auto refused = limiter_->take({sender, 1, test_start});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().rate, more.rate);
    EXPECT_TRUE(refused.error().is_raised);
    EXPECT_EQ(refused.error().used, 5U);
    // Over: the rule's own again, with what was sent meanwhile.
    const auto later = limiter_->take({sender, 1, more.until});
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().rate, per_sender.rate);
    EXPECT_FALSE(later.error().is_raised);
    EXPECT_EQ(later.error().used, 5U);
    EXPECT_TRUE(limiter_->has_overrides());
    EXPECT_TRUE(limiter_->replace({}, test_start));
    EXPECT_FALSE(limiter_->has_overrides());
    EXPECT_EQ(limiter_->take({sender, 1, test_start}).error().rate, per_sender.rate);
}

TEST_F(limiter_test, unlimited_for_a_while_goes_on_counting) {
    const auto sender = std::span(charges_).first(1);
    const raised free{
        "messages_per_sender", "a@acme.example", config::unlimited_rate, after(3'600'000)};
    ASSERT_TRUE(limiter_->replace({free}, test_start));
    for (int i = 0; i < 100; ++i) {
        ASSERT_FALSE(limiter_->check({sender, 1, test_start}));
        ASSERT_TRUE(limiter_->take({sender, 1, test_start}));
    }
    EXPECT_TRUE(limiter_->read(per_sender, "a@acme.example", test_start).rate.is_unlimited());
    EXPECT_EQ(limiter_->take({sender, 1, free.until}).error().used, 100U);

    const rule none{"unlimited", unit::messages, config::unlimited_rate};
    const charge unlimited{&none, "a"};
    ASSERT_TRUE(limiter_->take({std::span(&unlimited, 1), 1, test_start}));
    EXPECT_EQ(limiter_->take({std::span(&unlimited, 1), 1, test_start})->count, 0U);
    const raised fewer{"unlimited", "a", {1, hours(1)}, after(3'600'000)};
    ASSERT_TRUE(limiter_->replace({fewer}, test_start));
    EXPECT_TRUE(limiter_->take({std::span(&unlimited, 1), 1, test_start}));
    EXPECT_FALSE(limiter_->take({std::span(&unlimited, 1), 1, test_start}));
}

TEST_F(limiter_test, faulty_overrides_are_refused_whole) {
    const raised good{"r", "a", {1, hours(1)}, after(1000)};
    std::vector<raised> bad(5, good);
    bad[0].rule = "";
    bad[1].subject = std::string(override_text_bytes_max, 'x');
    bad[2].rate.count = config::rate_count_max + 1;
    bad[3].rate.period = std::chrono::seconds(-1);
    bad[4].rate.period = config::rate_period_max + std::chrono::seconds(1);
    for (const raised& each : bad) {
        const auto refused = limiter_->replace({good, each}, test_start);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().kind, failure_kind::bad_input);
        EXPECT_FALSE(limiter_->has_overrides());
    }
    std::vector<raised> many(overrides_max + 1, good);
    for (std::size_t i = 0; i < many.size(); ++i) {
        many[i].subject = std::to_string(i);
    }
    EXPECT_EQ(limiter_->replace(many, test_start).error().kind, failure_kind::no_space);
    EXPECT_FALSE(limiter_->has_overrides());
    many.pop_back();
    EXPECT_TRUE(limiter_->replace(many, test_start));
    many.push_back(good);
    EXPECT_FALSE(limiter_->replace(many, test_start));
    many.back().until = test_start; // Over: it takes no room.
    EXPECT_TRUE(limiter_->replace(many, test_start));
}

TEST_F(limiter_test, what_is_over_or_not_named_again_is_not_in_force) {
    const rule counted{"r", unit::messages, {9, hours(1)}};
    const raised a{"r", "a", {1, hours(1)}, after(1000)};
    const raised b{"r", "b", {2, hours(1)}, after(5000)};
    const auto count = [&](std::string_view subject, time_point now) {
        return limiter_->read(counted, subject, now).rate.count;
    };
    ASSERT_TRUE(limiter_->replace({a, b}, test_start));
    EXPECT_EQ(count("a", test_start), 1U);
    EXPECT_EQ(count("b", test_start), 2U);
    ASSERT_TRUE(limiter_->replace({a, b}, after(1000)));
    EXPECT_EQ(count("a", after(1000)), 9U);
    EXPECT_EQ(count("b", after(1000)), 2U);
    ASSERT_TRUE(limiter_->replace({a}, test_start));
    EXPECT_EQ(count("a", test_start), 1U);
    EXPECT_EQ(count("b", test_start), 9U);
}

TEST_F(limiter_test, threads_take_exactly_what_the_narrowest_rule_has) {
    for (int round = 0; round < 200; ++round) {
        const std::string tenant = "acme" + std::to_string(round);
        const rule wide{"wide", unit::messages, {1000, hours(1)}};
        const rule narrow{"narrow", unit::messages, {50, hours(1)}};
        std::atomic<std::uint32_t> taken{0};
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&, thread] {
                const std::string sender = tenant + std::to_string(thread % 2);
                const std::array<charge, 2> charges{charge{&wide, sender}, charge{&narrow, tenant}};
                for (int i = 0; i < 60; ++i) {
                    const auto got = limiter_->take({charges, 1, test_start});
                    if (got && i % 3 == 0) {
                        limiter_->give_back(*got);
                    } else {
                        taken += got.has_value();
                    }
                }
            });
        }
        threads.clear();
        ASSERT_LE(taken, 50U);
        ASSERT_EQ(used(narrow, tenant), taken);
        ASSERT_EQ(used(wide, tenant + "0") + used(wide, tenant + "1"), taken);
    }
}

TEST_F(limiter_test, overrides_change_while_threads_take) {
    const auto sender = std::span(charges_).first(1);
    std::atomic<std::uint32_t> taken{0};
    std::atomic<bool> ended{false};
    {
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 3; ++thread) {
            threads.emplace_back([&] {
                while (!ended) {
                    taken += limiter_->take({sender, 1, test_start}).has_value();
                }
            });
        }
        for (std::uint32_t limit = 3; limit <= 600; ++limit) {
            const raised more{
                "messages_per_sender", "a@acme.example", {limit, hours(24)}, after(1)};
            ASSERT_TRUE(limiter_->replace({more}, test_start));
            if (limit % 100 == 0) {
                ASSERT_TRUE(limiter_->replace({}, test_start));
                ASSERT_TRUE(limiter_->replace({more}, test_start));
            }
        }
        while (taken < 600) {
            std::this_thread::yield();
        }
        ended = true;
    }
    EXPECT_EQ(taken, 600U);
    EXPECT_EQ(used(per_sender, "a@acme.example"), 600U);
}

} // namespace
} // namespace ebbgate::limits
