// What is asked about TLS of a route's hosts: which TLSA records count, how often, how long.

#include "relay/tls_policies.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ebbgate::relay {
namespace {

using dns::answer_status;

class script final : public dns::asker {
public:
    void ask(task::reactor& home, std::string name, dns::record_type, done then) override {
        ++asked[name];
        const auto known = answers.find(name);
        dns::answer made;
        made.status = answer_status::no_name;
        made.secure = true;
        made.ttl_seconds = 60;
        if (known != answers.end()) {
            made = known->second;
        }
        home.post([then = std::move(then), made] { then(made); });
    }

    std::map<std::string, dns::answer> answers;
    std::map<std::string, int> asked;
};

struct no_fetches final : mta_sts::policy_source {
    void fetch(const std::string&, mta_sts::fetch_done done) override { done(std::nullopt); }
};

dns::answer tlsa(bool secure) {
    dns::answer made;
    made.status = answer_status::found;
    made.secure = secure;
    made.ttl_seconds = 60;
    made.rdata = {std::string("\x03\x01\x01", 3) + std::string(32, 'x')};
    return made;
}

class TlsPolicies : public testing::Test {
protected:
    void SetUp() override {
        auto opened = task::reactor::open({});
        ASSERT_TRUE(opened.has_value());
        reactor = std::move(*opened);
        folder = std::filesystem::temp_directory_path() /
                 ("ebbgate-tls-policies-" + std::to_string(getpid()));
        std::filesystem::create_directories(folder);
        mta_sts::finder_settings settings;
        settings.path = (folder / "sts.db").string();
        auto finder = mta_sts::policy_finder::open(settings, workers, no_source);
        ASSERT_TRUE(finder.has_value());
        sts = std::move(*finder);
        policies = std::make_unique<tls_policies>(*reactor, names, *sts);
    }

    void TearDown() override { std::filesystem::remove_all(folder); }

    static dns::route_pointer
    route(bool mx_secure, bool host_secure, const std::string& canonical = "mx.example") {
        dns::mail_route made;
        made.verdict = dns::route_verdict::hosts;
        made.mx_secure = mx_secure;
        made.hosts.push_back({"mx.example", canonical, 10, host_secure, {}});
        return std::make_shared<const dns::mail_route>(std::move(made));
    }

    void run() {
        for (int turn = 0; turn < 6; ++turn) {
            reactor->run_once(0);
        }
    }

    tls_facts_pointer find(const dns::route_pointer& of) {
        tls_facts_pointer got;
        policies->find("d.example", of, 25, [&got](const tls_facts_pointer& one) { got = one; });
        run();
        return got;
    }

    const std::string name = "_25._tcp.mx.example";
    std::filesystem::path folder;
    script names;
    shard::worker_pool workers{1, 10};
    no_fetches no_source;
    std::unique_ptr<task::reactor> reactor;
    std::unique_ptr<mta_sts::policy_finder> sts;
    std::unique_ptr<tls_policies> policies;
};

TEST_F(TlsPolicies, RecordsAreAskedForOnlyWhereAllIsSecure) {
    names.answers[name] = tlsa(true);
    for (const auto& [mx, host] : {std::pair(false, true), {true, false}, {false, false}}) {
        const auto got = find(route(mx, host));
        ASSERT_NE(got, nullptr);
        EXPECT_TRUE(got->hosts.empty());
    }
    EXPECT_EQ(names.asked[name], 0);
    const auto got = find(route(true, true));
    ASSERT_NE(got, nullptr);
    ASSERT_EQ(got->hosts.at("mx.example").tlsa->records.size(), 1U);
    EXPECT_EQ(got->hosts.at("mx.example").base, "mx.example");
    EXPECT_EQ(names.asked["_mta-sts.d.example"], 1);
}

TEST_F(TlsPolicies, ManyAskersAreOneQuestionAndTheAnswerIsKept) {
    int told = 0;
    for (int i = 0; i < 100; ++i) {
        policies->find("d.example", route(true, true), 25, [&told](const auto&) { ++told; });
    }
    EXPECT_EQ(told, 0);
    run();
    EXPECT_EQ(told, 100);
    ASSERT_NE(find(route(true, true)), nullptr);
    EXPECT_EQ(names.asked[name], 1);
    policies->forget();
    ASSERT_NE(find(route(true, true)), nullptr);
    EXPECT_EQ(names.asked[name], 2);
}

TEST_F(TlsPolicies, APolicyThatNobodyHasTimeForIsNotAbsence) {
    auto& record = names.answers["_mta-sts.d.example"];
    record.status = answer_status::found;
    record.rdata = {std::string("\x0ev=STSv1; id=1;")};
    const auto got = find(route(false, false));
    ASSERT_NE(got, nullptr);
    EXPECT_TRUE(got->sts.is_unknown);
    names.answers.clear();
    const auto then = find(route(false, false));
    ASSERT_NE(then, nullptr);
    EXPECT_FALSE(then->sts.is_unknown) << "asked for again";
}

TEST_F(TlsPolicies, WithoutDnssecRecordsAreAsNone) {
    names.answers[name] = tlsa(false);
    const auto got = find(route(true, true));
    ASSERT_NE(got, nullptr);
    EXPECT_TRUE(got->hosts.at("mx.example").tlsa->records.empty());
    EXPECT_FALSE(got->hosts.at("mx.example").tlsa->failed);
}

TEST_F(TlsPolicies, TroubleIsNotAbsence) {
    names.answers[name] = {};
    const auto got = find(route(true, true));
    ASSERT_NE(got, nullptr);
    EXPECT_TRUE(got->hosts.at("mx.example").tlsa->failed);
}

TEST_F(TlsPolicies, TheEndOfAnAliasGoesFirst) {
    const std::string end = "_25._tcp.end.example";
    names.answers[end] = tlsa(true);
    auto got = find(route(true, true, "end.example"));
    ASSERT_NE(got, nullptr);
    EXPECT_EQ(got->hosts.at("mx.example").base, "end.example");
    EXPECT_EQ(names.asked[name], 0);
    // Nothing there: the name of the MX record.
    names.answers.erase(end);
    names.answers[name] = tlsa(true);
    policies->forget();
    got = find(route(true, true, "end.example"));
    ASSERT_NE(got, nullptr);
    EXPECT_EQ(got->hosts.at("mx.example").base, "mx.example");
    EXPECT_EQ(got->hosts.at("mx.example").tlsa->records.size(), 1U);
    // Trouble there is not absence.
    names.answers[end] = {};
    policies->forget();
    got = find(route(true, true, "end.example"));
    ASSERT_NE(got, nullptr);
    EXPECT_TRUE(got->hosts.at("mx.example").tlsa->failed);
}

TEST_F(TlsPolicies, WhoIsGoneIsNotTold) {
    int told = 0;
    policies->find("d.example", route(true, true), 25, [&told](const auto&) { ++told; });
    policies.reset();
    run();
    EXPECT_EQ(told, 0);
}

} // namespace
} // namespace ebbgate::relay
