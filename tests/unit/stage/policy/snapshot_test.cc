// The policy is judged by its lookups and by the exact text of its faults.

#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

namespace ebbgate::policy {
namespace {

constexpr std::string_view hash = "$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./";

std::string good_text() {
    return fmt::format(R"({{
  "routes": [
    {{"match": "*.slow.example", "relay": "Relay.Example:2525", "tls": "required"}},
    {{"match": "exact.slow.example", "relay": "127.0.0.1:25", "tls": "off"}},
    {{"match": "exact.example", "relay": "[::1]:25"}},
    {{"match": "*.example", "relay": "hold"}},
    {{"match": "*", "relay": "discard"}}],
  "delivery": {{"retry": {{"first": "2m", "factor": 1.5, "max": "1h", "max_age": "2d"}},
               "connections_per_destination": 7, "messages_per_connection": 8, "idle_timeout": "9s",
               "timeouts": {{"connect": "1s", "greeting": "2s", "command": "3s", "data": "4s",
                            "body": "5s", "final": "6s"}},
               "chunking": false, "eight_bit": "bounce"}},
  "tenants": [
    {{"name": "acme", "company": "Acme", "hostname": "SMTP.acme.example",
      "accounts": [{{"login": "mailer@acme.example", "password": "{0}"}},
                   {{"login": "Mailer@acme.example", "password": "{0}"}}],
      "relay_hosts": ["203.0.113.0/24", "2001:db8::/32"],
      "limits": {{"recipients_per_message": 100, "upload_size": "2GB", "message_size": "25MB"}}}},
    {{"name": "beta", "relay_hosts": ["203.0.113.128/25", "10.0.0.1"],
      "accounts": [{{"login": "beta", "password": "{0}"}}], "limits": {{"message_size": "1MB"}}}}
  ]
}})",
                       hash);
}

class PolicySnapshot : public ::testing::Test {
protected:
    void SetUp() override {
        auto parsed = parse(good_text(), "policy.json");
        ASSERT_TRUE(parsed.has_value()) << config::to_text(parsed.error());
        policy_ = *parsed;
    }

    snapshot_pointer policy_;
};

TEST_F(PolicySnapshot, AnUnknownLoginHasOneStandInOfThoseThatExist) {
    std::set<std::string_view> seen;
    for (int i = 0; i < 100; ++i) {
        const std::string login = fmt::format("nobody{}", i);
        const account* stand_in = policy_->stand_in_for(login);
        ASSERT_NE(stand_in, nullptr);
        EXPECT_EQ(policy_->find_account(stand_in->login), stand_in);
        EXPECT_EQ(policy_->stand_in_for(login), stand_in);
        seen.insert(stand_in->login);
    }
    EXPECT_GT(seen.size(), 1U); // Of kinds that cost differently not only one is shown.
    const auto empty =
        parse(R"({"routes": [{"match": "*", "relay": "hold"}], "tenants": []})", "p");
    ASSERT_TRUE(empty.has_value());
    EXPECT_EQ((*empty)->stand_in_for("nobody"), nullptr);
}

TEST_F(PolicySnapshot, EveryKeyIsRead) {
    EXPECT_EQ(policy_->delivery().retry.first, std::chrono::seconds(120));
    EXPECT_EQ(policy_->delivery().retry.factor, 1.5);
    EXPECT_EQ(policy_->delivery().retry.max, std::chrono::seconds(3600));
    EXPECT_EQ(policy_->delivery().retry.max_age, std::chrono::seconds(172'800));
    EXPECT_EQ(policy_->delivery().connections_per_destination, 7U);
    EXPECT_EQ(policy_->delivery().messages_per_connection, 8U);
    EXPECT_EQ(policy_->delivery().idle_timeout, std::chrono::seconds(9));
    using std::chrono::seconds;
    EXPECT_EQ(policy_->delivery().timeouts,
              (delivery_timeouts{
                  seconds(1), seconds(2), seconds(3), seconds(4), seconds(5), seconds(6)}));
    EXPECT_FALSE(policy_->delivery().chunking);
    EXPECT_EQ(policy_->delivery().eight_bit, eight_bit_mode::bounce);
    const tenant* acme = policy_->find_tenant("acme");
    ASSERT_NE(acme, nullptr);
    EXPECT_EQ(acme->hostname, "smtp.acme.example");
    EXPECT_EQ(acme->limits.recipients_per_message, 100U);
    EXPECT_EQ(acme->limits.upload_bytes, 2'000'000'000U);
    EXPECT_EQ(acme->limits.message_bytes, 25'000'000U);
    const tenant* beta = policy_->find_tenant("beta");
    ASSERT_NE(beta, nullptr);
    EXPECT_EQ(beta->company, "beta");
    EXPECT_EQ(beta->limits.upload_bytes, 1'000'000U);
    EXPECT_EQ(policy_->find_tenant("gamma"), nullptr);
}

TEST_F(PolicySnapshot, LoginsAreFoundExactly) {
    const account* found = policy_->find_account("mailer@acme.example");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->login, "mailer@acme.example");
    EXPECT_EQ(found->password_hash, hash);
    EXPECT_EQ(policy_->tenant_of(*found).name, "acme");
    EXPECT_EQ(policy_->find_account("Mailer@acme.example")->login, "Mailer@acme.example");
    EXPECT_EQ(policy_->tenant_of(*policy_->find_account("beta")).name, "beta");
    EXPECT_EQ(policy_->find_account("MAILER@acme.example"), nullptr);
    EXPECT_EQ(policy_->find_account(""), nullptr);
}

TEST_F(PolicySnapshot, TheLongestPrefixDecidesTheTenant) {
    EXPECT_EQ(policy_->tenant_for_address("203.0.113.1")->name, "acme");
    EXPECT_EQ(policy_->tenant_for_address("203.0.113.200")->name, "beta");
    EXPECT_EQ(policy_->tenant_for_address("::ffff:203.0.113.200")->name, "beta");
    EXPECT_EQ(policy_->tenant_for_address("10.0.0.1")->name, "beta");
    EXPECT_EQ(policy_->tenant_for_address("2001:db8:1::1")->name, "acme");
    EXPECT_EQ(policy_->tenant_for_address("10.0.0.2"), nullptr);
    EXPECT_EQ(policy_->tenant_for_address("2001:db9::1"), nullptr);
    EXPECT_EQ(policy_->tenant_for_address("not an address"), nullptr);
}

struct route_case {
    const char* domain;
    const char* destination;
};

constexpr route_case routed[] = {
    {"a.slow.example", "relay.example:2525/required"},
    {"A.B.SLOW.Example.", "relay.example:2525/required"},
    {"exact.slow.example", "relay.example:2525/required"}, // The earlier route wins.
    {"slow.example", "hold"},                              // "*.d" is not d itself.
    {"exact.example", "[::1]:25/opportunistic"},
    {"x.exact.example", "hold"},
    {"example", "discard"},
    {"elsewhere.test", "discard"},
    {"", "discard"},
    {"notexample", "discard"},
};

TEST_F(PolicySnapshot, TheFirstRouteThatMatchesWins) {
    for (const route_case& c : routed) {
        const route* found = policy_->route_for(c.domain);
        ASSERT_NE(found, nullptr) << c.domain;
        EXPECT_EQ(found->destination, c.destination) << c.domain;
    }
    const std::string long_domain = std::string(1000, 'a') + ".example";
    EXPECT_EQ(policy_->route_for(long_domain)->destination, "discard");
}

TEST(PolicyParse, WithoutACatchAllSomeDomainsHaveNoRoute) {
    const auto parsed =
        parse(R"({"routes":[{"match":"a.example","relay":"hold"}],"tenants":[]})", "p");
    ASSERT_TRUE(parsed.has_value()) << config::to_text(parsed.error());
    EXPECT_NE((*parsed)->route_for("a.example"), nullptr);
    EXPECT_EQ((*parsed)->route_for("b.example"), nullptr);
}

TEST(PolicyParse, PastTheHoldTheFirstRouteThatDoesNotHoldWins) {
    const auto parsed = parse(R"({"routes":[{"match":"a.example","relay":"hold"},
        {"match":"*.example","relay":"h:25"},{"match":"b.test","relay":"hold"}],"tenants":[]})",
                              "p");
    ASSERT_TRUE(parsed.has_value()) << config::to_text(parsed.error());
    EXPECT_EQ((*parsed)->route_for("A.example.")->relay, relay_kind::hold);
    const route* past = (*parsed)->route_past_hold_for("A.example.");
    ASSERT_NE(past, nullptr);
    EXPECT_EQ(past->match, "*.example");
    EXPECT_EQ((*parsed)->route_past_hold_for("b.test"), nullptr);
}

struct fault_case {
    const char* name;
    std::string_view routes;
    std::string_view tenant;
    std::string_view extra;
    std::string_view faults;
};

constexpr fault_case refused[] = {
    {"unreachable",
     R"({"match":"*","relay":"hold"},{"match":"a.b","relay":"hold"})",
     "",
     "",
     "/routes/1: is never reached; expected before the route that matches \"*\""},
    {"twice",
     R"({"match":"a.b","relay":"hold"},{"match":"A.B","relay":"hold"})",
     "",
     "",
     "/routes/1: \"a.b\" is matched by an earlier route; expected each match once"},
    {"no port",
     R"({"match":"*","relay":"mx.example"})",
     "",
     "",
     "/routes/0/relay: expected \"mx\", \"HOST:PORT\", \"[IPV6]:PORT\", \"discard\" or \"hold\", "
     "found "
     "\"mx.example\""},
    {"tls of hold",
     R"({"match":"*","relay":"hold","tls":"off"})",
     "",
     "",
     "/routes/0/tls: has no meaning here; expected only with \"mx\" or \"HOST:PORT\""},
    {"tls typo",
     R"({"match":"*","relay":"a.b:25","tls":"of"})",
     "",
     "",
     "/routes/0/tls: expected \"off\" or \"opportunistic\" or \"required\" or \"verify\", "
     "found \"of\""},
    {"verify of an address",
     R"({"match":"*","relay":"192.0.2.1:25","tls":"verify"})",
     "",
     "",
     "/routes/0/tls: \"verify\" checks a name; expected a relay by its name, not by its address"},
    {"bans",
     "",
     "",
     R"(,"bans":{"max_retry":0})",
     "/bans/max_retry: expected a whole number from 1 to 100, found 0"},
    {"ban_time_max",
     "",
     "",
     R"(,"bans":{"ban_time":"2h","ban_time_max":"1h"})",
     "/bans/ban_time_max: is shorter than ban_time; expected at least as long"},
    {"ignore",
     "",
     "",
     R"(,"bans":{"ignore":["10.0.0.1/8"]})",
     "/bans/ignore/0: expected an address or a network such as \"203.0.113.0/24\" without host "
     "bits, found \"10.0.0.1/8\""},
    {"ban log",
     "",
     "",
     R"(,"bans":{"log":"a\nb"})",
     "/bans/log: expected the name of a file, at most 1024 bytes without control characters"},
    {"defaults",
     "",
     "",
     R"(,"defaults":{"null_sender":true})",
     "/defaults/null_sender: unknown key; expected one of: limits, check_header_from, "
     "attachments, filelink, unsigned"},
    {"factor",
     "",
     "",
     R"(,"delivery":{"retry":{"factor":0.5}})",
     "/delivery/retry/factor: expected a number from 1 to 100, found 0.5"},
    {"bcc", "", R"("bcc":{})", "", "/tenants/0/bcc: not implemented yet"},
    {"sender",
     "",
     R"("domains":["a.example"],"authorized_senders":["a.example"])",
     "",
     "/tenants/0/authorized_senders/0: expected an address, \"@domain\" or \"@*.domain\" "
     "(international domains in UTF-8 or as A-labels), found \"a.example\""},
    {"foreign sender",
     "",
     R"("domains":["a.example"],"authorized_senders":["ceo@b.example"])",
     "",
     "/tenants/0/authorized_senders/0: is not in the tenant's domains; expected a sender in one "
     "of them, or \"b.example\" among its \"domains\""},
    {"sender twice",
     "",
     R"("domains":["a.example"],"authorized_senders":["@a.example","@A.example"])",
     "",
     "/tenants/0/authorized_senders/1: is in this list already; expected each once"},
    {"domain twice",
     "",
     R"("domains":["a.example","A.EXAMPLE"])",
     "",
     "/tenants/0/domains/1: the domain is in this list already; expected each in one tenant, "
     "once"},
    {"bad domain",
     "",
     R"("domains":["*.a.example"])",
     "",
     "/tenants/0/domains/0: expected a domain such as \"acme.example\" (international ones in "
     "UTF-8 or as A-labels), found \"*.a.example\""},
    {"tls without a name",
     "",
     R"("tls":{"certificate":"c","key":"k"})",
     "",
     "/tenants/0/tls: is chosen by the name that a client asks for; expected a \"hostname\" "
     "beside it"},
    {"tls without a key",
     "",
     R"("hostname":"a.example","tls":{"certificate":"c"})",
     "",
     "/tenants/0/tls: \"key\" is missing; expected the path of a file"},
    {"flag",
     "",
     R"("null_sender":"yes")",
     "",
     "/tenants/0/null_sender: expected true or false, found \"yes\""},
    {"rate",
     "",
     R"("limits":{"messages_per_sender":"500 a day"})",
     "",
     "/tenants/0/limits/messages_per_sender: expected a rate such as \"500/day\" or \"50/hour\" "
     "(a period of at most 366 days), or \"unlimited\", found \"500 a day\""},
    {"reply code",
     "",
     R"("limits":{"limit_reply":{"code":451}})",
     "",
     "/tenants/0/limits/limit_reply/code: expected 450 (try again later) or 550 (never), found "
     "451"},
    {"reply variable",
     "",
     R"("limits":{"limit_reply":{"text":"no {senders}"}})",
     "",
     "/tenants/0/limits/limit_reply/text: expected {recipient} {sender} {count} {unit} {period} "
     "{company} after the text \"no \""},
    {"sizes",
     "",
     R"("limits":{"message_size":"2MB","upload_size":"1MB"})",
     "",
     "/tenants/0/limits/upload_size: is smaller than message_size; expected at least as large"},
    {"clear password",
     "",
     R"("accounts":[{"login":"a","password":"hunter2"}])",
     "",
     "/tenants/0/accounts/0/password: expected a crypt(3) hash as mkpasswd makes it: yescrypt "
     "($y$), bcrypt ($2b$), sha512crypt ($6$)"},
    {"host bits",
     "",
     R"("relay_hosts":["10.0.0.1/8"])",
     "",
     "/tenants/0/relay_hosts/0: expected an address or a network such as \"203.0.113.0/24\" "
     "without host bits, found \"10.0.0.1/8\""},
    {"network twice",
     "",
     R"("relay_hosts":["10.0.0.0/8","10.0.0.0/8"])",
     "",
     "/tenants/0/relay_hosts/1: the network is declared already; expected each once in all "
     "tenants"},
    {"typo",
     "",
     R"("acounts":[])",
     "",
     "/tenants/0/acounts: unknown key; did you mean \"accounts\"?"},
};

TEST(PolicyParse, EachFaultIsSaidWithItsPlace) {
    for (const fault_case& c : refused) {
        SCOPED_TRACE(c.name);
        const std::string text =
            fmt::format(R"({{"routes":[{}],"tenants":[{{"name":"t"{}{}}}]{}}})",
                        c.routes.empty() ? R"({"match":"*","relay":"hold"})" : c.routes,
                        c.tenant.empty() ? "" : ",",
                        c.tenant,
                        c.extra);
        const auto parsed = parse(text, "p.json");
        ASSERT_FALSE(parsed.has_value()) << text;
        EXPECT_EQ(config::to_text(parsed.error()), fmt::format("p.json:1: {}\n", c.faults));
    }
}

TEST(PolicyParse, LoginsAndNamesAreUniqueOverAllTenants) {
    const auto parsed = parse(fmt::format(R"({{"routes":[{{"match":"*","relay":"hold"}}],"tenants":[
{{"name":"a","accounts":[{{"login":"x","password":"{0}"}}]}},
{{"name":"b","accounts":[{{"login":"x","password":"{0}"}}]}},
{{"name":"a"}}]}})",
                                          hash),
                              "p");
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(config::to_text(parsed.error()),
              "p:3: /tenants/1/accounts/0/login: the login exists already; expected each once in "
              "all tenants\n"
              "p:4: /tenants/2/name: another tenant has this name; expected one of its own\n");
}

TEST(PolicyParse, APasswordInTheClearIsNeverShown) {
    const auto parsed = parse(R"({"routes":[{"match":"*","relay":"hold"}],"tenants":[)"
                              R"({"name":"a","accounts":[{"login":"x","password":"s3cret"}]}]})",
                              "p");
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(config::to_text(parsed.error()).find("s3cret"), std::string::npos);
}

TEST(PolicyParse, TheFingerprintTellsVersionsApart) {
    const auto first = parse(good_text(), "p");
    const auto second = parse(good_text() + "\n", "p");
    EXPECT_NE((*first)->fingerprint(), (*second)->fingerprint());
    EXPECT_EQ((*first)->fingerprint(), (*parse(good_text(), "q"))->fingerprint());
}

TEST(PolicyParse, ManyTenantsLoadFastEnoughToReload) {
    std::string text = R"({"routes":[{"match":"*","relay":"hold"}],"tenants":[)";
    for (int i = 0; i < 20'000; ++i) {
        text += fmt::format(
            R"({}{{"name":"t{}","accounts":[{{"login":"u{}@x.example","password":"{}"}}],)"
            R"("relay_hosts":["10.{}.{}.{}"]}})",
            i == 0 ? "" : ",",
            i,
            i,
            hash,
            i / 65536,
            i / 256 % 256,
            i % 256);
    }
    const auto parsed = parse(text + "]}", "p");
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ((*parsed)->tenant_of(*(*parsed)->find_account("u19999@x.example")).name, "t19999");
    EXPECT_EQ((*parsed)->tenant_for_address("10.0.1.1")->name, "t257");
}

} // namespace
} // namespace ebbgate::policy
