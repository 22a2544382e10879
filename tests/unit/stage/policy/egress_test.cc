// How mail leaves: sources, classes and what a destination takes, as the policy says them.

#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ebbgate::policy {
namespace {

std::string text_of(std::string_view tenant,
                    std::string_view delivery = "",
                    std::string_view route = R"("relay":"mx")") {
    return fmt::format(R"({{"routes":[{{"match":"*",{2}}}],"delivery":{{{1}}},)"
                       R"("tenants":[{{"name":"acme",{0}"domains":["acme.example"]}}]}})",
                       tenant,
                       delivery,
                       route);
}

snapshot_pointer good(const std::string& text) {
    auto parsed = parse(text, "p");
    EXPECT_TRUE(parsed.has_value()) << config::to_text(parsed.error());
    return parsed.value_or(nullptr);
}

std::string fault(const std::string& text) {
    const auto parsed = parse(text, "p");
    return parsed ? "" : config::to_text(parsed.error());
}

TEST(PolicyEgress, SourcesAreReadWithTheirNamesAndWeights) {
    const auto policy = good(text_of(
        R"("class":"transactional","egress":{"ehlo":"M.acme.example","sources":["192.0.2.10",)"
        R"({"address":"2001:db8::1","ehlo":"m2.acme.example","weight":3},{"address":"192.0.2.12","drain":true}]},)"
        R"("accounts":[{"login":"a","password":"$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./","class":"bulk"},)"
        R"({"login":"b","password":"$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./"}],)"));
    const tenant& acme = policy->tenants().front();
    EXPECT_EQ(acme.egress.ehlo, "m.acme.example");
    ASSERT_EQ(acme.egress.sources.size(), 3U);
    EXPECT_EQ(config::to_text(acme.egress.sources[0].address), "192.0.2.10");
    EXPECT_EQ(acme.egress.sources[0].weight, 1U);
    EXPECT_EQ(acme.egress.sources[1].ehlo, "m2.acme.example");
    EXPECT_EQ(acme.egress.sources[1].weight, 3U);
    EXPECT_FALSE(acme.egress.sources[1].drain);
    EXPECT_TRUE(acme.egress.sources[2].drain);
    EXPECT_EQ(acme.mail_class, mail_class::transactional);
    EXPECT_EQ(acme.accounts[0].mail_class, mail_class::bulk);
    EXPECT_FALSE(acme.accounts[1].mail_class.has_value());
}

TEST(PolicyEgress, FaultsNameThePlace) {
    EXPECT_EQ(fault(text_of(R"("egress":{"sources":["192.0.2.10",{"address":"192.0.2.10"}]},)")),
              "p:1: /tenants/0/egress/sources/1: the address stands here already; expected each "
              "once\n");
    EXPECT_EQ(fault(text_of(R"("egress":{"sources":["host"]},)")),
              "p:1: /tenants/0/egress/sources/0: expected an IP address of this machine, found "
              "\"host\"\n");
    EXPECT_EQ(fault(text_of("", "", R"("relay":"hold","source":"192.0.2.1")")),
              "p:1: /routes/0/source: has no meaning here; expected only with \"mx\" or "
              "\"HOST:PORT\"\n");
    EXPECT_EQ(fault(text_of("", R"("shaping":[{"connection_limit":1}])")),
              "p:1: /delivery/shaping/0: expected one of \"match\" and \"mx\"\n");
}

TEST(PolicyEgress, ARouteWithItsOwnSourceIsADestinationOfItsOwn) {
    const auto plain = good(text_of(""));
    const auto own = good(text_of("", "", R"("relay":"mx","source":"192.0.2.1")"));
    EXPECT_EQ(plain->routes()[0].destination, "/opportunistic");
    EXPECT_EQ(own->routes()[0].destination, "/opportunistic@192.0.2.1");
}

TEST(PolicyEgress, TheFirstShapingRuleThatFitsWins) {
    const auto policy = good(text_of(
        "",
        R"("connections_per_destination":7,"max_message_rate":"10/s","shaping":[)"
        R"({"match":"a.example","connection_limit":1},)"
        R"({"mx":"*.Big.example","max_message_rate":"100/min","max_connection_rate":"5/s"},)"
        R"({"match":"*.example","max_deliveries_per_connection":3,"idle_timeout":"1s"}])"));
    const delivery_settings& delivery = policy->delivery();
    const std::vector<std::string> none;
    const std::vector<std::string> big = {"mx.other.test", "mx1.big.example"};
    EXPECT_EQ(delivery.shaping_for("a.example", big).connection_limit, 1U);
    const shaping by_host = delivery.shaping_for("b.example", big);
    EXPECT_EQ(by_host.connection_limit, 7U) << "what the rule does not say";
    EXPECT_EQ(config::to_text(by_host.message_rate), "100/minute");
    EXPECT_EQ(config::to_text(by_host.connection_rate), "5/second");
    const shaping by_suffix = delivery.shaping_for("b.example", none);
    EXPECT_EQ(by_suffix.deliveries_per_connection, 3U);
    EXPECT_EQ(by_suffix.idle_timeout, std::chrono::seconds(1));
    EXPECT_EQ(config::to_text(by_suffix.message_rate), "10/second");
    EXPECT_EQ(delivery.shaping_for("example", none), delivery.standard());
    EXPECT_EQ(delivery.shaping_for("c.test", none), delivery.standard());
}

TEST(PolicyEgress, PatternsMatchWholeNames) {
    EXPECT_TRUE(matches("*", "a"));
    EXPECT_TRUE(matches("a.b", "a.b"));
    EXPECT_FALSE(matches("a.b", "x.a.b"));
    EXPECT_TRUE(matches("*.a.b", "x.y.a.b"));
    EXPECT_FALSE(matches("*.a.b", "a.b"));
    EXPECT_FALSE(matches("*.a.b", "xa.b"));
}

} // namespace
} // namespace ebbgate::policy
