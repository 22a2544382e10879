// What was changed by command: what of it is in force, and what is left out with a note.

#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ebbgate::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view hash = "$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./";
constexpr std::string_view new_hash = "$6$saltsalt$another-hash-of-enough-length...";

std::string text() {
    return fmt::format(R"({{"routes":[{{"match":"*","relay":"hold"}}],"tenants":[
        {{"name":"acme","domains":["acme.example"],
         "authorized_senders":["ceo@acme.example","@news.acme.example"],
         "limits":{{"messages_per_sender":"500/day","messages_per_account":"9/day"}},
         "accounts":[{{"login":"a","password":"{0}"}},{{"login":"b","password":"{0}"}},
           {{"login":"c","password":"{0}","authorized_senders":["ceo@acme.example"]}}]}},
        {{"name":"beta","domains":["beta.example"],
         "accounts":[{{"login":"z","password":"{0}"}}]}}]}})",
                       hash);
}

loaded merged(const overlay& changes) {
    auto made = parse(text(), "p.json", changes);
    EXPECT_TRUE(made.has_value()) << (made ? "" : config::to_text(made.error()));
    return made ? std::move(*made) : loaded{};
}

TEST(Overlay, WithoutChangesNothingIsDifferent) {
    const loaded made = merged({});
    EXPECT_THAT(made.notes, IsEmpty());
    EXPECT_EQ(made.policy->fingerprint(), (*parse(text(), "p.json"))->fingerprint());
}

TEST(Overlay, AccountsAreAddedChangedAndTakenAway) {
    const loaded made = merged({{{"acme", "new", std::string(new_hash), false},
                                 {"acme", "a", "", true},
                                 {"acme", "b", std::string(new_hash), false}},
                                {},
                                {}});
    EXPECT_THAT(made.notes, IsEmpty());
    const snapshot& policy = *made.policy;
    EXPECT_EQ(policy.find_account("a"), nullptr);
    ASSERT_NE(policy.find_account("b"), nullptr);
    EXPECT_EQ(policy.find_account("b")->password_hash, new_hash);
    ASSERT_NE(policy.find_account("new"), nullptr);
    EXPECT_EQ(policy.find_account("new")->login, "new");
    EXPECT_EQ(policy.tenant_of(*policy.find_account("new")).name, "acme");
    // What stands behind the one that was taken away keeps its own place in the file.
    const account& c = *policy.find_account("c");
    EXPECT_EQ(c.login, "c");
    EXPECT_EQ(policy.place_of(c).pointer, "/tenants/0/accounts/2");
    EXPECT_TRUE(policy.may_send(c, "ceo@acme.example").allowed);
    EXPECT_EQ(policy.may_send(c, "x@news.acme.example").refusal, sender_refusal::account);
    EXPECT_EQ(policy.place_of(*policy.find_account("new")).pointer, "");
    EXPECT_EQ(policy.tenants()[0].accounts.size(), 3U);
}

TEST(Overlay, AnAccountMayGoAndComeBack) {
    const loaded made = merged({{{"acme", "a", "", true},
                                 {"acme", "a", std::string(new_hash), false},
                                 {"acme", "n", std::string(new_hash), false},
                                 {"acme", "n", "", true}},
                                {},
                                {}});
    EXPECT_THAT(made.notes, IsEmpty());
    ASSERT_NE(made.policy->find_account("a"), nullptr);
    EXPECT_EQ(made.policy->find_account("a")->password_hash, new_hash);
    EXPECT_EQ(made.policy->find_account("n"), nullptr);
    for (const account& one : made.policy->tenants()[0].accounts) {
        EXPECT_EQ(made.policy->find_account(one.login), &one);
    }
}

TEST(Overlay, SendersAreAddedAndTakenAway) {
    const loaded made = merged({{},
                                {{"acme", "cfo@ACME.example", false},
                                 {"acme", "@*.shop.acme.example", false},
                                 {"acme", "ceo@acme.example", true}},
                                {}});
    EXPECT_THAT(made.notes, IsEmpty());
    const snapshot& policy = *made.policy;
    const tenant& acme = policy.tenants()[0];
    const auto verdict = policy.may_send(acme, "cfo@acme.example");
    EXPECT_TRUE(verdict.allowed);
    const rule_place place = policy.place_of_sender(verdict.rule);
    EXPECT_EQ(place.file, "");
    EXPECT_EQ(place.text, "cfo@acme.example");
    EXPECT_TRUE(policy.may_send(acme, "x@a.shop.acme.example").allowed);
    EXPECT_TRUE(policy.may_send(acme, "x@news.acme.example").allowed);
    EXPECT_FALSE(policy.may_send(acme, "ceo@acme.example").allowed);
    const auto listed = policy.senders_of(acme);
    ASSERT_EQ(listed.size(), 3U);
    EXPECT_EQ(listed[0].pattern, "@news.acme.example");
    EXPECT_FALSE(listed[0].by_command);
    EXPECT_EQ(listed[1].pattern, "cfo@acme.example");
    EXPECT_TRUE(listed[1].by_command);
}

TEST(Overlay, LimitsAreOverridden) {
    const loaded made = merged({{},
                                {},
                                {{"messages_per_sender", "ceo@ACME.example", "2000/day", 1000},
                                 {"messages_per_account", "a", "3/hour", 0},
                                 {"messages_per_tenant", "acme", "7/day", 0}}});
    EXPECT_THAT(made.notes, IsEmpty());
    ASSERT_EQ(made.overrides.size(), 3U);
    const rate_override& of_sender = made.overrides[0];
    EXPECT_EQ(of_sender.rule, rate_rule::messages_per_sender);
    EXPECT_EQ(of_sender.subject, "ceo@acme.example"); // As the counters know it.
    EXPECT_EQ(of_sender.rate, (config::rate{2000, std::chrono::hours(24)}));
    EXPECT_EQ(of_sender.expires_unix_s, 1000);
    EXPECT_EQ(made.overrides[1].subject, "a");
    EXPECT_EQ(made.overrides[1].rate, (config::rate{3, std::chrono::hours(1)}));
    EXPECT_EQ(made.overrides[1].expires_unix_s, 0);
    EXPECT_EQ(made.overrides[2].rule, rate_rule::messages_per_tenant);
    const auto unlimited =
        made.policy->judge_override({"messages_per_tenant", "acme", "unlimited", 0});
    ASSERT_TRUE(unlimited.has_value());
    EXPECT_TRUE(unlimited->rate.is_unlimited());
    EXPECT_FALSE(made.policy->judge_override({"messages_per_tenant", "acme", "0/day", 0}));
}

TEST(Overlay, WhatCannotBeIsLeftOutAndTold) {
    const loaded made = merged({{{"gone", "x", std::string(new_hash), false},
                                 {"acme", "z", std::string(new_hash), false},
                                 {"acme", "y", "s3cret", false},
                                 {"acme", "y\n", std::string(new_hash), false},
                                 {"acme", "y", "", true}},
                                {{"gone", "x@acme.example", false},
                                 {"acme", "x@beta.example", false},
                                 {"acme", "acme.example", false},
                                 {"acme", "ceo@acme.example", false},
                                 {"acme", "x@acme.example", true}},
                                {{"messages_per_day", "acme", "1/day", 0},
                                 {"messages_per_tenant", "gone", "1/day", 0},
                                 {"messages_per_account", "gone", "1/day", 0},
                                 {"messages_per_sender", "x@gone.example", "1/day", 0},
                                 {"messages_per_tenant", "acme", "often", 0}}});
    EXPECT_THAT(
        made.notes,
        ElementsAre(
            "account \"x\" of tenant \"gone\": left out, there is no such tenant",
            "account \"z\" of tenant \"acme\": left out, the login is another tenant's",
            "account \"y\" of tenant \"acme\": left out, expected a crypt(3) hash",
            "account \"y?\" of tenant \"acme\": left out, expected a login of 1 to 255 bytes "
            "without control characters",
            "account \"y\" of tenant \"acme\": left out, there is no such account to take away",
            "sender \"x@acme.example\" of tenant \"gone\": left out, there is no such tenant",
            "sender \"x@beta.example\" of tenant \"acme\": left out, \"beta.example\" is not in "
            "the tenant's domains",
            "sender \"acme.example\" of tenant \"acme\": left out, expected an address, "
            "\"@domain\" or \"@*.domain\" (international domains in UTF-8 or as A-labels)",
            "sender \"ceo@acme.example\" of tenant \"acme\": left out, the policy file has it",
            "sender \"x@acme.example\" of tenant \"acme\": left out, there is no such sender to "
            "take away",
            "messages_per_day of \"acme\": left out, there is no such rule",
            "messages_per_tenant of \"gone\": left out, there is no such tenant",
            "messages_per_account of \"gone\": left out, there is no such account",
            "messages_per_sender of \"x@gone.example\": left out, the sender is in no tenant's "
            "domains",
            "messages_per_tenant of \"acme\": left out, expected a rate such as \"500/day\", "
            "found \"often\""));
    EXPECT_FALSE(made.policy->may_send(made.policy->tenants()[0], "x@beta.example").allowed);
    EXPECT_EQ(made.policy->tenant_of(*made.policy->find_account("z")).name, "beta");
}

TEST(Overlay, AChangeByCommandChangesTheFingerprint) {
    const auto before = merged({}).policy->fingerprint();
    EXPECT_NE(merged({{}, {{"acme", "x@acme.example", false}}, {}}).policy->fingerprint(), before);
    EXPECT_NE(merged({{{"acme", "a", "", true}}, {}, {}}).policy->fingerprint(), before);
}

} // namespace
} // namespace ebbgate::policy
