// The cache of a shard: what is asked, how often, how long it is known, and who goes first.

#include "answers.h"
#include "runtime/resolve/mail_hosts.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ebbgate::dns {
namespace {

using key = std::pair<std::string, record_type>;

// Answers when it is told to.
class script final : public asker {
public:
    void ask(task::reactor& home, std::string name, record_type type, done then) override {
        ++asked[{name, type}];
        waiting.push_back(
            [this, &home, which = key(std::move(name), type), then = std::move(then)] {
                const auto known = answers.find(which);
                answer made =
                    known == answers.end() ? nothing(answer_status::no_name) : known->second;
                home.post([then, made] { then(made); });
            });
    }

    void answer_all() {
        for (const auto& one : std::exchange(waiting, {})) {
            one();
        }
    }

    std::map<key, answer> answers;
    std::map<key, int> asked;
    std::vector<std::function<void()>> waiting;
};

class MailHosts : public testing::Test {
protected:
    void SetUp() override {
        auto opened = task::reactor::open({});
        ASSERT_TRUE(opened.has_value());
        reactor = std::move(*opened);
        for (const char* name : {"mx1.example", "mx2.example"}) {
            names.answers[{name, record_type::a}] = found({a_record(1)});
            names.answers[{name, record_type::aaaa}] = nothing(answer_status::no_data);
        }
        const answer both = found({mx_record(10, "mx1.example"), mx_record(20, "mx2.example")});
        names.answers[{"d.example", record_type::mx}] = both;
        names.answers[{"e.example", record_type::mx}] = both;
        remake({});
    }

    void remake(const mail_hosts_settings& settings) {
        hosts = std::make_unique<mail_hosts>(*reactor, names, settings);
    }

    void run() {
        for (int turn = 0; turn < 6; ++turn) {
            names.answer_all();
            reactor->run_once(0);
        }
    }

    route_pointer route(const std::string& domain) {
        route_pointer got;
        hosts->find(domain, [&got](const route_pointer& one) { got = one; });
        EXPECT_EQ(got, nullptr); // Never within the call.
        run();
        return got;
    }

    std::unique_ptr<task::reactor> reactor;
    script names;
    std::unique_ptr<mail_hosts> hosts;
};

TEST_F(MailHosts, ManyAskersAreOneQuestion) {
    int told = 0;
    for (int i = 0; i < 100; ++i) {
        hosts->find("D.example", [&told](const route_pointer& one) {
            told += one->verdict == route_verdict::hosts ? 1 : 0;
        });
    }
    run();
    EXPECT_EQ(told, 100);
    EXPECT_EQ((names.asked[{"d.example", record_type::mx}]), 1);
    EXPECT_NE(hosts->known("d.EXAMPLE"), nullptr);
    // Another domain with the same exchangers asks for no address.
    ASSERT_NE(route("e.example"), nullptr);
    EXPECT_EQ((names.asked[{"mx1.example", record_type::a}]), 1);
    hosts->forget();
    EXPECT_EQ(hosts->known("d.example"), nullptr);
    ASSERT_NE(route("d.example"), nullptr);
    EXPECT_EQ((names.asked[{"mx1.example", record_type::a}]), 2);
}

TEST_F(MailHosts, AHostIsAskedForOnceWhileTwoDomainsWait) {
    int told = 0;
    const auto count = [&told](const route_pointer& one) {
        told += one->verdict == route_verdict::hosts ? 1 : 0;
    };
    hosts->find("d.example", count);
    hosts->find("e.example", count);
    hosts->find_host("mx1.example", [&told](const host_pointer& one) {
        told += one->status == answer_status::found ? 1 : 0;
    });
    run();
    EXPECT_EQ(told, 3);
    EXPECT_EQ((names.asked[{"mx1.example", record_type::a}]), 1);
    EXPECT_EQ((names.asked[{"mx2.example", record_type::aaaa}]), 1);
}

TEST_F(MailHosts, LivesAreBounded) {
    const auto life = [&](answer mx) {
        names.answers[{"d.example", record_type::mx}] = std::move(mx);
        hosts->forget();
        const route_pointer one = route("d.example");
        return one->until_ms - reactor->now_ms();
    };
    answer mx = names.answers[{"d.example", record_type::mx}];
    const auto with = [](answer one, std::uint32_t ttl) {
        one.ttl_seconds = ttl;
        return one;
    };
    EXPECT_NEAR(static_cast<double>(life(with(mx, 0))), 5'000, 1'000);
    EXPECT_NEAR(static_cast<double>(life(with(mx, 100))), 100'000, 1'000);
    EXPECT_NEAR(static_cast<double>(life(with(mx, 10'000'000))), 300'000, 1'000); // Its hosts'.
    const answer none = nothing(answer_status::no_name);
    EXPECT_NEAR(static_cast<double>(life(with(none, 0))), 5'000, 1'000);
    EXPECT_NEAR(static_cast<double>(life(with(none, 10'000'000))), 900'000, 1'000);
    EXPECT_NEAR(static_cast<double>(life(trouble())), 5'000, 1'000);
}

TEST_F(MailHosts, WhatIsTooOldIsAskedAgain) {
    mail_hosts_settings settings;
    settings.lifetime_min_ms = 0;
    settings.trouble_ms = 0;
    remake(settings);
    names.answers[{"d.example", record_type::mx}].ttl_seconds = 0;
    ASSERT_NE(route("d.example"), nullptr);
    ASSERT_NE(route("d.example"), nullptr);
    EXPECT_EQ((names.asked[{"d.example", record_type::mx}]), 2);
    names.answers[{"d.example", record_type::mx}] = trouble();
    EXPECT_EQ(route("d.example")->verdict, route_verdict::trouble);
    EXPECT_EQ(route("d.example")->verdict, route_verdict::trouble);
    EXPECT_EQ((names.asked[{"d.example", record_type::mx}]), 4);
}

TEST_F(MailHosts, TheLeastUsedGoesFirst) {
    mail_hosts_settings settings;
    settings.routes_max = 2;
    remake(settings);
    (void)route("a.example");
    (void)route("b.example");
    EXPECT_NE(hosts->known("a.example"), nullptr);
    (void)route("c.example");
    EXPECT_EQ(hosts->known("b.example"), nullptr);
    EXPECT_NE(hosts->known("a.example"), nullptr);
    EXPECT_NE(hosts->known("c.example"), nullptr);
}

TEST_F(MailHosts, OnlyTheFamilyInUseIsAskedFor) {
    mail_hosts_settings settings;
    settings.rules.family = config::address_family::ipv4;
    remake(settings);
    EXPECT_EQ(route("d.example")->hosts.size(), 2U);
    EXPECT_EQ(names.asked.count({"mx1.example", record_type::aaaa}), 0U);
}

TEST_F(MailHosts, NobodyIsToldWhenItHasGone) {
    bool told = false;
    hosts->find("d.example", [&told](const route_pointer&) { told = true; });
    hosts.reset();
    run();
    EXPECT_FALSE(told);
    remake({});
    (void)route("d.example");
    hosts->find("d.example", [&told](const route_pointer&) { told = true; });
    hosts.reset();
    run();
    EXPECT_FALSE(told);
}

TEST_F(MailHosts, WhatIsNoNameIsNotAskedFor) {
    EXPECT_EQ(route("a..example")->verdict, route_verdict::no_domain);
    EXPECT_EQ(route("[192.0.2.1]")->verdict, route_verdict::no_domain);
    EXPECT_TRUE(names.asked.empty());
}

} // namespace
} // namespace ebbgate::dns
