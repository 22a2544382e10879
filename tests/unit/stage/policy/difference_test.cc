// What `reload --dry-run` shows.

#include "stage/policy/difference.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ebbgate::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view hash = "$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./";

snapshot_pointer made(std::string_view routes, std::string_view extra, std::string_view tenants) {
    std::string text = fmt::format(R"({{"routes":[{}]{},"tenants":[{}]}})", routes, extra, tenants);
    for (std::size_t at = text.find("HASH"); at != std::string::npos; at = text.find("HASH")) {
        text.replace(at, 4, hash);
    }
    auto parsed = parse(text, "p.json");
    EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : config::to_text(parsed.error()));
    return parsed ? *parsed : nullptr;
}

constexpr std::string_view all = R"({"match":"*","relay":"hold"})";

TEST(Difference, OfTheSamePolicyIsNothing) {
    const auto tenants = R"({"name":"a","domains":["a.example"],"authorized_senders":["@a.example"],
        "accounts":[{"login":"x","password":"HASH","authorized_senders":["b@a.example"],
        "limits":{"upload_size":"30MB"}}]})";
    EXPECT_THAT(diff(*made(all, "", tenants), *made(all, R"(,"bans":{})", tenants)), IsEmpty());
}

TEST(Difference, EveryKindOfChangeHasItsLine) {
    const auto before =
        made(R"({"match":"a.example","relay":"a:25"},{"match":"b.example","relay":"hold"},
                {"match":"c.example","relay":"hold"},{"match":"*","relay":"hold"})",
             "",
             R"({"name":"gone"},{"name":"a","domains":["a.example"],
                "authorized_senders":["@a.example","x@a.example"],
                "accounts":[{"login":"kept","password":"HASH"},{"login":"old","password":"HASH"},
                    {"login":"narrow","password":"HASH","authorized_senders":["y@a.example"]},
                    {"login":"moves","password":"HASH"}]},{"name":"b"})");
    const auto after =
        made(R"({"match":"c.example","relay":"hold"},{"match":"a.example","relay":"b:25"},
                {"match":"d.example","relay":"hold"},{"match":"*","relay":"hold"})",
             R"(,"bans":{"max_retry":5,"ignore":[]},"delivery":{"retry":{"first":"2m"}})",
             R"({"name":"new"},{"name":"b","accounts":[{"login":"moves","password":"HASH"}]},
                {"name":"a","company":"A","hostname":"h.a.example","null_sender":true,
                "check_header_from":false,"tls":{"certificate":"c","key":"k"},
                "relay_hosts":["10.0.0.0/8"],"limits":{"connections":3},
                "domains":["a.example","b.example"],
                "authorized_senders":["@a.example","z@a.example","@b.example"],
                "accounts":[{"login":"kept","password":"HASH"},{"login":"fresh","password":"HASH"},
                    {"login":"narrow","password":"HASH","authorized_senders":["z@a.example"]}]})");
    EXPECT_THAT(diff(*before, *after),
                ElementsAre("delivery/retry/first changed",
                            "bans/max_retry changed",
                            "bans/ignore changed",
                            "routes: 1 added (\"d.example\"), 1 removed (\"b.example\"), 1 changed "
                            "(\"a.example\")",
                            "routes: the order changed",
                            "tenants: 1 added (\"new\"), 1 removed (\"gone\")",
                            "tenant \"b\": accounts: 1 added (\"moves\")",
                            "tenant \"a\": company changed",
                            "tenant \"a\": hostname changed",
                            "tenant \"a\": tls changed",
                            "tenant \"a\": domains changed",
                            "tenant \"a\": relay_hosts changed",
                            "tenant \"a\": null_sender changed",
                            "tenant \"a\": check_header_from changed",
                            "tenant \"a\": limits changed",
                            "tenant \"a\": accounts: 1 added (\"fresh\"), 2 removed (\"old\", "
                            "\"moves\"), 1 changed (\"narrow\")",
                            "tenant \"a\": senders: 2 added (\"z@a.example\", \"@b.example\"), 1 "
                            "removed (\"x@a.example\")"));
}

TEST(Difference, IsShortHoweverLargeTheChange) {
    std::string before;
    std::string after;
    for (int i = 0; i < 300; ++i) {
        const char* comma = i == 0 ? "" : ",";
        before += fmt::format("{}{{\"name\":\"t{}\"}}", comma, i);
        after += fmt::format("{}{{\"name\":\"t{}\",\"company\":\"c\"}}", comma, i);
    }
    const auto lines = diff(*made(all, "", before), *made(all, "", after));
    ASSERT_EQ(lines.size(), difference_lines_max + 1);
    EXPECT_EQ(lines.back(), "and 200 more");
    EXPECT_THAT(diff(*made(all, "", ""), *made(all, "", before)),
                ElementsAre("tenants: 300 added (\"t0\", \"t1\", \"t2\", \"t3\", \"t4\", ...)"));
}

TEST(Difference, NeverShowsAHash) {
    const std::string other = "$6$saltsalt$another-hash-of-enough-length...";
    const auto lines =
        diff(*made(all, "", R"({"name":"a","accounts":[{"login":"x","password":"HASH"}]})"),
             *made(all,
                   "",
                   fmt::format(R"({{"name":"a","accounts":[{{"login":"x","password":"{}"}}]}})",
                               other)));
    EXPECT_THAT(lines, ElementsAre("tenant \"a\": accounts: 1 changed (\"x\")"));
}

} // namespace
} // namespace ebbgate::policy
