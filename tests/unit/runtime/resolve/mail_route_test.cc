// What is made of answers: the verdict, the hosts, their order. Above all that no trouble becomes a
// fact.

#include "answers.h"
#include "runtime/resolve/mail_route.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace ebbgate::dns {
namespace {

using addresses = std::map<std::string, std::vector<std::optional<answer>>>; // Name: A, AAAA.

const addresses usual = {
    {"mx1.example", {found({a_record(1)}, true), found({aaaa_record(1)}, true)}},
    {"mx2.example", {found({a_record(2)}), nothing(answer_status::no_data)}},
    {"mx3.example", {found({a_record(3)}), nothing(answer_status::no_data)}},
    {"d.example", {found({a_record(9)}), nothing(answer_status::no_data)}},
    {"gate.example", {found({a_record(77)}), nothing(answer_status::no_data)}},
    {"me.example", {found({a_record(7)}), nothing(answer_status::no_data)}},
    {"in.example", {found({std::string("\x0a\0\0\1", 4)}), nothing(answer_status::no_data)}},
    {"none.example", {nothing(answer_status::no_name), nothing(answer_status::no_name)}},
    {"empty.example", {nothing(answer_status::no_data), nothing(answer_status::no_data)}},
    {"half.example", {nothing(answer_status::no_data), trouble()}},
    {"half4.example", {found({a_record(4)}), trouble()}},
    {"broken.example", {trouble(), trouble()}},
};

mail_route route_of(const answer& mx, const route_rules& rules = {}) {
    mail_route route = exchangers_from("d.example", mx, rules);
    if (route.verdict != route_verdict::hosts) {
        return route;
    }
    std::vector<host_pointer> known;
    for (const mail_host& one : route.hosts) {
        const auto& both = usual.at(one.name);
        known.push_back(std::make_shared<const host_addresses>(
            addresses_from(one.name, both[0], both[1], rules.family)));
    }
    return with_addresses(std::move(route), known, rules);
}

std::string shown(const mail_route& route) {
    std::string text(name_of(route.verdict));
    for (const mail_host& one : route.hosts) {
        text += " " + one.name.substr(0, one.name.find('.'));
    }
    return text;
}

struct route_case {
    const char* name;
    answer mx;
    const char* expected;
};

TEST(MailRoute, Verdicts) {
    const auto mx = [](const std::vector<std::string>& hosts) {
        std::vector<std::string> records;
        for (std::size_t i = 0; i < hosts.size(); ++i) {
            records.push_back(mx_record(static_cast<std::uint8_t>(10 * (i + 1)),
                                        hosts[i].empty() ? "" : hosts[i] + ".example"));
        }
        return found(records);
    };
    const std::string cut = mx_record(1, "mx1.example").substr(0, 6);
    const route_case all[] = {
        {"by preference", mx({"mx2", "mx1"}), "hosts mx2 mx1"},
        {"implicit", nothing(answer_status::no_data), "hosts d"},
        {"no domain", nothing(answer_status::no_name), "no_domain"},
        {"trouble", trouble(), "trouble"},
        {"null MX", mx({""}), "null_mx"},
        {"null MX twice", mx({"", ""}), "null_mx"},
        {"null MX among others", mx({"", "mx1"}), "hosts mx1"},
        {"only an address", found({mx_record(1, "192.0.2.1")}), "no_host"},
        {"an address and a null MX",
         found({mx_record(1, "192.0.2.1"), mx_record(2, "")}),
         "no_host"},
        {"only malformed", found({cut}), "trouble"},
        {"malformed and null MX", found({cut, mx_record(1, "")}), "trouble"},
        {"malformed and a host", found({cut, mx_record(1, "mx1.example")}), "hosts mx1"},
        {"no host exists", mx({"none", "empty"}), "no_host"},
        {"one exists", mx({"none", "mx2"}), "hosts mx2"},
        {"one may exist", mx({"none", "broken"}), "trouble"},
        {"one may have an address", mx({"none", "half"}), "trouble"},
        {"one family is known", mx({"half4"}), "hosts half4"},
        {"trouble spoils no other", mx({"broken", "mx2", "none"}), "hosts mx2"},
        {"inner", mx({"in"}), "no_host"},
        {"inner and trouble", mx({"in", "broken"}), "trouble"},
        {"inner and another", mx({"in", "mx3"}), "hosts mx3"},
        {"our name first", mx({"gate", "mx1"}), "loops"},
        {"our name later", mx({"mx1", "gate", "mx2"}), "hosts mx1"},
        {"our name behind one without address", mx({"none", "gate"}), "no_host"},
        {"our name behind trouble", mx({"broken", "gate", "mx1"}), "trouble"},
        {"our address first", mx({"me", "mx1"}), "loops"},
        {"our address later", mx({"mx1", "me", "mx2"}), "hosts mx1"},
    };
    route_rules rules;
    rules.own_names = {"gate.example"};
    rules.own_addresses = {config::parse_ip_address("192.0.2.7").value()};
    for (const route_case& one : all) {
        const mail_route route = route_of(one.mx, rules);
        EXPECT_EQ(shown(route), one.expected) << one.name;
        EXPECT_EQ(route.is_partial, one.name == std::string_view("trouble spoils no other"))
            << one.name;
        EXPECT_EQ(route.text.empty(), route.verdict == route_verdict::hosts) << one.name;
        EXPECT_EQ(route.lane_key.empty(), route.verdict != route_verdict::hosts) << one.name;
    }
}

TEST(MailRoute, OurNameDropsItsEquals) {
    route_rules rules;
    rules.own_names = {"gate.example"};
    const answer mx = found(
        {mx_record(5, "mx1.example"), mx_record(10, "mx2.example"), mx_record(10, "gate.example")});
    EXPECT_EQ(shown(route_of(mx, rules)), "hosts mx1");
    EXPECT_EQ(shown(route_of(mx)), "hosts mx1 gate mx2");
}

TEST(MailRoute, AFamilyLeftOutIsNoTrouble) {
    const auto host =
        addresses_from("h", std::nullopt, found({aaaa_record(1)}), config::address_family::ipv6);
    EXPECT_EQ(host.status, answer_status::found);
    const auto none = addresses_from(
        "h", nothing(answer_status::no_data), std::nullopt, config::address_family::ipv4);
    EXPECT_EQ(none.status, answer_status::no_data);
}

TEST(MailRoute, SecureIsWhatEveryUsedAnswerIs) {
    const auto secure = [](const answer& a, const answer& aaaa) {
        return addresses_from("h", a, aaaa, config::address_family::any).secure;
    };
    EXPECT_TRUE(secure(found({a_record(1)}, true), found({aaaa_record(1)}, true)));
    EXPECT_FALSE(secure(found({a_record(1)}, true), found({aaaa_record(1)}, false)));
    EXPECT_FALSE(secure(found({a_record(1)}, false), found({aaaa_record(1)}, true)));
    EXPECT_TRUE(secure(found({a_record(1)}, true), nothing(answer_status::no_data)));
    EXPECT_FALSE(secure(trouble(), trouble()));
}

TEST(MailRoute, TheLaneKeyIsThatOfTheSet) {
    const auto key = [](std::initializer_list<std::string> records) {
        return route_of(found(records)).lane_key;
    };
    const std::string both = key({mx_record(10, "mx1.example"), mx_record(20, "mx2.example")});
    EXPECT_EQ(both, "mx1.example,mx2.example");
    EXPECT_EQ(key({mx_record(5, "MX2.example"), mx_record(5, "mx1.example")}), both);
    EXPECT_NE(key({mx_record(5, "mx2.example")}), both);
    // A host that has no address now is still one of the set.
    EXPECT_EQ(key({mx_record(5, "none.example"), mx_record(6, "mx1.example")}),
              "mx1.example,none.example");
}

TEST(MailRoute, OrderIsChanceWithinAPreferenceOnly) {
    const mail_route route = route_of(found(
        {mx_record(5, "mx1.example"), mx_record(9, "mx2.example"), mx_record(9, "mx3.example")}));
    std::set<std::string> seconds;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        const auto targets = in_order(route, seed);
        ASSERT_EQ(targets.size(), 4U);
        EXPECT_FALSE(targets[0].address.is_v4());
        EXPECT_EQ(targets[1].host->name, "mx1.example");
        seconds.insert(targets[2].host->name);
    }
    EXPECT_EQ(seconds.size(), 2U);
    EXPECT_TRUE(in_order(route_of(trouble()), 1).empty());
}

TEST(MailRoute, Refusals) {
    EXPECT_EQ(refusal_of(route_verdict::null_mx).code, 556);
    EXPECT_EQ(refusal_of(route_verdict::null_mx).status, "5.1.10");
    EXPECT_EQ(refusal_of(route_verdict::no_domain).status, "5.1.2");
    EXPECT_EQ(refusal_of(route_verdict::no_host).status, "5.4.4");
    EXPECT_EQ(refusal_of(route_verdict::loops).status, "5.4.6");
    EXPECT_EQ(refusal_of(route_verdict::trouble).code / 100, 4);
}

} // namespace
} // namespace ebbgate::dns
