// Limits: what is inherited from whom, which rule is named, and the reply that a client reads.

#include "stage/policy/limit.h"
#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ebbgate::policy {
namespace {

using std::chrono::seconds;

constexpr std::string_view hash = "$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./";

std::expected<snapshot_pointer, config::faults> parse_with(std::string_view extra,
                                                           std::string_view tenants) {
    return parse(fmt::format(R"({{"routes":[{{"match":"*","relay":"hold"}}]{},"tenants":[{}]}})",
                             extra,
                             tenants),
                 "p.json");
}

std::string faults_of(std::string_view extra, std::string_view tenants) {
    const auto made = parse_with(extra, tenants);
    return made ? "" : config::to_text(made.error());
}

TEST(Limits, EachLevelOverridesTheOneAbove) {
    const auto made = parse_with(
        R"(,"defaults":{"check_header_from":false,"limits":{"messages_per_sender":"500/day",
            "messages_per_account":"5000/day","message_size":"1MB","connections":7,
            "limit_reply":{"code":550}}})",
        fmt::format(R"({{"name":"plain","accounts":[{{"login":"p","password":"{0}"}}]}},
            {{"name":"own","check_header_from":true,"limits":{{"messages_per_sender":"50/hour",
              "recipients_per_tenant":"9/minute","connections":"unlimited",
              "message_size":"2MB","limit_reply":{{"text":"No, {{sender}}."}}}},
             "accounts":[{{"login":"a","password":"{0}"}},
               {{"login":"b","password":"{0}","limits":{{"messages_per_sender":"unlimited",
                 "recipients_per_message":3,"upload_size":"8MB"}}}}]}})",
                    hash));
    ASSERT_TRUE(made.has_value()) << config::to_text(made.error());
    const snapshot& policy = **made;
    const tenant& plain = policy.tenants()[0];
    const tenant& own = policy.tenants()[1];
    EXPECT_FALSE(plain.check_header_from);
    EXPECT_TRUE(own.check_header_from);
    const account& p = *policy.find_account("p");
    const account& a = *policy.find_account("a");
    const account& b = *policy.find_account("b");
    const config::rate daily{500, seconds(86'400)};
    const config::rate hourly{50, seconds(3'600)};
    EXPECT_EQ(plain.limits.rate_of(rate_rule::messages_per_sender), daily);
    EXPECT_EQ(policy.limits_of(p).rate_of(rate_rule::messages_per_sender), daily);
    EXPECT_EQ(policy.limits_of(a).rate_of(rate_rule::messages_per_sender), hourly);
    EXPECT_EQ(policy.limits_of(b).rate_of(rate_rule::messages_per_sender).count, 0U);
    EXPECT_EQ(policy.limits_of(b).rate_of(rate_rule::messages_per_account).count, 5000U);
    EXPECT_EQ(own.limits.rate_of(rate_rule::recipients_per_tenant).period, seconds(60));
    EXPECT_EQ(plain.limits.connections, 7U);
    EXPECT_EQ(own.limits.connections, 0U);
    EXPECT_EQ(policy.limits_of(b).recipients_per_message, 3U);
    EXPECT_EQ(policy.limits_of(a).recipients_per_message, 1000U);
    // upload_size follows message_size until somebody gives it.
    EXPECT_EQ(plain.limits.upload_bytes, 1'000'000U);
    EXPECT_EQ(own.limits.upload_bytes, 2'000'000U);
    EXPECT_EQ(policy.limits_of(b).upload_bytes, 8'000'000U);
    EXPECT_EQ(policy.limits_of(b).message_bytes, 2'000'000U);
    EXPECT_EQ(policy.largest_upload_bytes(), 8'000'000U);
    EXPECT_EQ(plain.limits.reply->code(), 550);
    EXPECT_EQ(plain.limits.reply->text(), limit_reply::text_default);
    EXPECT_EQ(own.limits.reply->code(), 550);
    EXPECT_EQ(own.limits.reply->text(), "No, {sender}.");

    const auto pointer = [&](const tenant& of, const account* by, limit_key key) {
        const rule_place place = policy.place_of_limit(of, by, key);
        EXPECT_EQ(place.file.empty(), place.pointer.empty());
        return place.pointer;
    };
    EXPECT_EQ(pointer(plain, &p, limit_key::messages_per_sender),
              "/defaults/limits/messages_per_sender");
    EXPECT_EQ(pointer(own, &a, limit_key::messages_per_sender),
              "/tenants/1/limits/messages_per_sender");
    EXPECT_EQ(pointer(own, &b, limit_key::messages_per_sender),
              "/tenants/1/accounts/1/limits/messages_per_sender");
    EXPECT_EQ(pointer(own, &b, limit_key::message_size), "/tenants/1/limits/message_size");
    EXPECT_EQ(pointer(own, &b, limit_key::limit_reply), "/tenants/1/limits/limit_reply");
    EXPECT_EQ(pointer(own, nullptr, limit_key::connections), "/tenants/1/limits/connections");
    EXPECT_EQ(pointer(own, nullptr, limit_key::recipients_per_sender), "");
}

TEST(Limits, WithoutAnyKeyNothingIsCounted) {
    const auto made = parse_with("", R"({"name":"a"})");
    ASSERT_TRUE(made.has_value());
    const limit_settings& limits = (*made)->tenants()[0].limits;
    for (const config::rate& rate : limits.rates) {
        EXPECT_EQ(rate.count, 0U);
    }
    EXPECT_EQ(limits.connections, 0U);
    EXPECT_EQ(limits.message_bytes, 25'000'000U);
    EXPECT_TRUE((*made)->tenants()[0].check_header_from);
    EXPECT_FALSE((*made)->tenants()[0].null_sender);
}

TEST(Limits, AreRefusedWithTheirPlace) {
    EXPECT_EQ(faults_of(R"(,"defaults":{"limits":{"upload_size":"1MB","message_size":"1MB"}})",
                        R"({"name":"a","limits":{"message_size":"2MB"}})"),
              "p.json:1: /tenants/0/limits/message_size: is larger than the upload_size in force, "
              "1000000 "
              "bytes; expected a larger \"upload_size\" beside it\n");
    EXPECT_EQ(faults_of("",
                        fmt::format(R"({{"name":"a","accounts":[{{"login":"l","password":"{}",
"limits":{{"messages_per_tenant":"1/day"}}}}]}})",
                                    hash)),
              "p.json:2: /tenants/0/accounts/0/limits/messages_per_tenant: has no meaning for one "
              "account; expected in the limits of the tenant\n");
    for (const char* bad : {"0/day", "-1/day", "1/0s", "1/", "/day", "1/400 days", "x", ""}) {
        EXPECT_NE(
            faults_of(
                "", fmt::format(R"({{"name":"a","limits":{{"messages_per_sender":"{}"}}}})", bad)),
            "")
            << bad;
    }
    EXPECT_NE(faults_of("", R"({"name":"a","limits":{"messages_per_sender":500}})"), "");
    EXPECT_NE(faults_of("", R"({"name":"a","limits":{"connections":0}})"), "");
    EXPECT_NE(faults_of("", R"({"name":"a","limits":{"connections":"many"}})"), "");
}

reply_values values_of(std::string_view sender, std::string_view recipient) {
    return {recipient, sender, "Acme", rate_rule::messages_per_sender, {500, seconds(86'400)}};
}

TEST(LimitReply, TheDefaultIsTheOneThatUsersKnow) {
    const smtp::reply reply =
        limit_reply::standard()->to_reply(values_of("ceo@acme.example", "a@b.example"));
    EXPECT_EQ(
        smtp::to_wire(reply),
        "450 4.7.1 <a@b.example>... ceo@acme.example has exceeded 500 messages per 1 day.\r\n");
    // At the final dot there is no recipient.
    EXPECT_EQ(smtp::to_wire(limit_reply::standard()->to_reply(values_of("ceo@acme.example", ""))),
              "450 4.7.1 <>... ceo@acme.example has exceeded 500 messages per 1 day.\r\n");
    reply_values recipients = values_of("s@a.example", "");
    recipients.rule = rate_rule::recipients_per_tenant;
    recipients.rate = {10, seconds(7'200)};
    EXPECT_EQ(smtp::to_wire(limit_reply::standard()->to_reply(recipients)),
              "450 4.7.1 <>... s@a.example has exceeded 10 recipients per 2 hours.\r\n");
}

TEST(LimitReply, EveryVariableIsFilledIn) {
    const auto made =
        limit_reply::make(550, "{company}: {sender}>{recipient} {count}{unit}/{period}!");
    ASSERT_TRUE(made.has_value()) << made.error();
    EXPECT_EQ(smtp::to_wire(made->to_reply(values_of("s@a", "r@b"))),
              "550 5.7.1 Acme: s@a>r@b 500messages/1 day!\r\n");
}

TEST(LimitReply, ValuesCannotAddALineOrAVariable) {
    const std::string wire = smtp::to_wire(limit_reply::standard()->to_reply(
        values_of("a\r\n250 2.0.0 Ok@{recipient}\x1b[2J\xc3\xbc", "{sender}\n")));
    EXPECT_EQ(
        wire,
        "450 4.7.1 <{sender}?>... a??250 2.0.0 Ok@{recipient}?[2J?? has exceeded 500 messages "
        "per 1 day.\r\n");
    const std::string huge(100'000, 'x');
    const std::string long_wire =
        smtp::to_wire(limit_reply::standard()->to_reply(values_of(huge, huge)));
    EXPECT_LE(long_wire.size(), 512U);
    EXPECT_TRUE(long_wire.ends_with("\r\n"));
}

TEST(LimitReply, ABadTemplateIsRefused) {
    for (const std::string& bad : {std::string(),
                                   std::string("{"),
                                   std::string("}"),
                                   std::string("{}"),
                                   std::string("{sender"),
                                   std::string("sender}"),
                                   std::string("{{sender}}"),
                                   std::string("{Sender}"),
                                   std::string("two\nlines"),
                                   std::string("r\xc3\xa9ponse"),
                                   std::string(401, 'x')}) {
        EXPECT_FALSE(limit_reply::make(450, bad).has_value()) << bad;
    }
    EXPECT_TRUE(limit_reply::make(450, std::string(400, 'x')).has_value());
    EXPECT_TRUE(limit_reply::make(450, "{sender}{sender}").has_value());
}

TEST(Limits, RulesHaveTheNamesOfTheirKeys) {
    for (std::size_t index = 0; index < rate_rules; ++index) {
        const auto rule = static_cast<rate_rule>(index);
        EXPECT_EQ(rate_rule_named(name_of(rule)), rule);
        EXPECT_EQ(name_of(static_cast<limit_key>(index)), name_of(rule));
        EXPECT_EQ(counts_recipients(rule), name_of(rule).starts_with("recipients"));
    }
    EXPECT_FALSE(rate_rule_named("recipients_per_message").has_value());
    EXPECT_FALSE(rate_rule_named("").has_value());
}

} // namespace
} // namespace ebbgate::policy
