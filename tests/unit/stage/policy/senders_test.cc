// Who may send as what: the rules of the pattern forms, of the domains of tenants, and the names
// of the rules that decide.

#include "stage/policy/senders.h"
#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

// A sanitizer brings its own operator new; allocations are counted in the other builds.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

#if COUNTS_ALLOCATIONS

namespace {

std::atomic<std::size_t> allocations = 0;

} // namespace

void* operator new(std::size_t bytes) {
    ++allocations;
    if (void* made = std::malloc(bytes == 0 ? 1 : bytes)) {
        return made;
    }
    throw std::bad_alloc();
}

void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    ++allocations;
    return std::malloc(bytes == 0 ? 1 : bytes);
}

void operator delete(void* at) noexcept {
    std::free(at);
}

void operator delete(void* at, const std::nothrow_t&) noexcept {
    std::free(at);
}

void operator delete(void* at, std::size_t) noexcept {
    std::free(at);
}

#endif

namespace ebbgate::policy {
namespace {

constexpr std::string_view hash = "$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./";

snapshot_pointer policy_with(std::string_view tenants) {
    auto made = parse(
        fmt::format(R"({{"routes":[{{"match":"*","relay":"hold"}}],"tenants":[{}]}})", tenants),
        "p.json");
    EXPECT_TRUE(made.has_value()) << (made ? "" : config::to_text(made.error()));
    return made ? *made : nullptr;
}

std::string faults_of(std::string_view tenants) {
    const auto made = parse(
        fmt::format(R"({{"routes":[{{"match":"*","relay":"hold"}}],"tenants":[{}]}})", tenants),
        "p.json");
    return made ? "" : config::to_text(made.error());
}

struct verdict_case {
    std::string_view address;
    std::string_view rule; // Empty: refused.
};

constexpr verdict_case verdicts[] = {
    {"ceo@acme.example", "/tenants/0/authorized_senders/0"},
    {"ceo@ACME.Example", "/tenants/0/authorized_senders/0"},
    {"ceo@acme.example.", "/tenants/0/authorized_senders/0"},
    {"Ceo@acme.example", ""},
    {"ceo+list@acme.example", ""},
    {"\"ceo\"@acme.example", ""},
    {"ceo@sub.acme.example", ""},
    {"ceo@notacme.example", ""},
    // "@d" is exactly d.
    {"anyone@news.acme.example", "/tenants/0/authorized_senders/1"},
    {"x+y@news.acme.example", "/tenants/0/authorized_senders/1"},
    {"\"a@b\"@news.acme.example", "/tenants/0/authorized_senders/1"},
    {"anyone@a.news.acme.example", ""},
    // "@*.d" is its subdomains, not itself.
    {"x@a.wild.acme.example", "/tenants/0/authorized_senders/2"},
    {"x@b.a.wild.acme.example", "/tenants/0/authorized_senders/2"},
    {"x@wild.acme.example", ""},
    // The most precise one is named.
    {"x@c.wild.acme.example", "/tenants/0/authorized_senders/4"},
    {"boss@c.wild.acme.example", "/tenants/0/authorized_senders/3"},
    {"x@d.c.wild.acme.example", "/tenants/0/authorized_senders/2"},
    // Domains as A-labels, local parts as they are.
    {"a@b\xc3\xbc"
     "cher.example",
     "/tenants/0/authorized_senders/5"},
    {"a@B\xc3\x9c"
     "cher.example",
     "/tenants/0/authorized_senders/5"},
    {"a@xn--bcher-kva.example", "/tenants/0/authorized_senders/5"},
    {"a@XN--BCHER-KVA.example", "/tenants/0/authorized_senders/5"},
    {"j\xc3\xbcrgen@acme.example", "/tenants/0/authorized_senders/6"},
    {"J\xc3\xbcrgen@acme.example", ""},
    {"ju\xcc\x88rgen@acme.example", ""}, // The decomposed form is another address.
    // Not addresses.
    {"acme.example", ""},
    {"@news.acme.example", ""},
    {"@", ""},
    {"x@", ""},
    {"x@[192.0.2.1]", ""},
    {"postmaster", ""},
    {"x@*.wild.acme.example", ""},
    {"x@.acme.example", ""},
    {"x@wild.acme.example\r\n", ""},
    {"@*.wild.acme.example", ""},
};

TEST(Senders, AreJudgedByTheMostPreciseRule) {
    const auto policy = policy_with(R"({"name":"acme",
        "domains":["acme.example","b\u00fccher.example"],
        "authorized_senders":["ceo@acme.example","@news.acme.example","@*.wild.acme.example",
            "boss@c.wild.acme.example","@C.wild.acme.example","@b\u00fccher.example",
            "j\u00fcrgen@acme.example"]},
        {"name":"none","domains":["other.example"]})");
    ASSERT_NE(policy, nullptr);
    const tenant& acme = policy->tenants()[0];
    const tenant& none = policy->tenants()[1];
    for (const verdict_case& c : verdicts) {
        const auto verdict = policy->may_send(acme, c.address);
        EXPECT_EQ(verdict.allowed, !c.rule.empty()) << c.address;
        if (verdict.allowed) {
            EXPECT_EQ(policy->place_of_sender(verdict.rule).pointer, c.rule) << c.address;
            EXPECT_EQ(policy->place_of_sender(verdict.rule).file, "p.json");
        }
        // Another tenant's list is nobody else's, and without a list there is nothing.
        EXPECT_FALSE(policy->may_send(none, c.address).allowed) << c.address;
    }
    EXPECT_EQ(policy->may_send(none, "x@other.example").refusal, sender_refusal::tenant);
    EXPECT_EQ(policy->may_send(acme, "nobody").refusal, sender_refusal::malformed);
    EXPECT_EQ(policy->place_of_sender(no_index).pointer, "");
}

TEST(Senders, WithManyLabelsOrLongPartsAreJudgedToo) {
    const auto policy = policy_with(R"({"name":"a","domains":["a.example"],
        "authorized_senders":["@*.a.example"]})");
    std::string deep = "x@";
    for (int i = 0; i < 126; ++i) {
        deep += "a.";
    }
    EXPECT_FALSE(policy->may_send(policy->tenants()[0], deep + "b").allowed);
    EXPECT_FALSE(policy->may_send(policy->tenants()[0], deep + deep + "b").allowed);
    EXPECT_FALSE(
        policy->may_send(policy->tenants()[0], std::string(65, 'l') + "@b.a.example").allowed);
    EXPECT_TRUE(
        policy->may_send(policy->tenants()[0], std::string(64, 'l') + "@b.a.example").allowed);
}

TEST(Senders, AnAccountMayBeNarrowed) {
    const auto policy = policy_with(fmt::format(
        R"({{"name":"a","domains":["a.example"],"authorized_senders":["@a.example"],
        "null_sender":true,"accounts":[
        {{"login":"all","password":"{0}"}},
        {{"login":"one","password":"{0}","authorized_senders":["ceo@a.example","@*.a.example"]}},
        {{"login":"no","password":"{0}","authorized_senders":[],"null_sender":true}}]}})",
        hash));
    ASSERT_NE(policy, nullptr);
    const account& all = *policy->find_account("all");
    const account& one = *policy->find_account("one");
    const account& no = *policy->find_account("no");
    EXPECT_TRUE(policy->may_send(all, "x@a.example").allowed);
    EXPECT_EQ(policy->may_send(one, "x@a.example").refusal, sender_refusal::account);
    const auto verdict = policy->may_send(one, "ceo@a.example");
    ASSERT_TRUE(verdict.allowed);
    EXPECT_EQ(policy->place_of_sender(verdict.rule).pointer,
              "/tenants/0/accounts/1/authorized_senders/0");
    // It narrows, it never widens.
    EXPECT_EQ(policy->may_send(one, "x@b.a.example").refusal, sender_refusal::tenant);
    EXPECT_EQ(policy->may_send(no, "ceo@a.example").refusal, sender_refusal::account);
    // The null sender is for each account by itself; the tenant's is for its relay_hosts.
    EXPECT_EQ(policy->may_send(all, "").refusal, sender_refusal::null_sender);
    EXPECT_TRUE(policy->may_send(no, "").allowed);
    EXPECT_TRUE(policy->may_send(policy->tenants()[0], "").allowed);
}

#if COUNTS_ALLOCATIONS
TEST(Senders, CostNoAllocationWhenTheDomainIsAscii) {
    const auto policy = policy_with(R"({"name":"a","domains":["a.example"],
        "authorized_senders":["@*.a.example","a.long.local.part@a.example"]})");
    const tenant& tenant = policy->tenants()[0];
    const std::size_t before = allocations;
    bool allowed = policy->may_send(tenant, "a.long.local.part@a.example").allowed;
    allowed = policy->may_send(tenant, "x@some.deep.sub.domain.A.example").allowed && allowed;
    const bool refused = !policy->may_send(tenant, "x@somewhere.else.example").allowed;
    const std::size_t after = allocations;
    EXPECT_TRUE(allowed);
    EXPECT_TRUE(refused);
    EXPECT_EQ(after, before);
}
#endif

struct pattern_case {
    std::string_view given;
    std::string_view expected; // Empty: refused.
};

constexpr pattern_case patterns[] = {
    {"ceo@Acme.example", "ceo@acme.example"},
    {"CEO@acme.example", "CEO@acme.example"},
    {"@Acme.example", "@acme.example"},
    {"@*.Acme.example", "@*.acme.example"},
    {"\"a b\"@acme.example", "\"a b\"@acme.example"},
    {"\"a@b\"@acme.example", "\"a@b\"@acme.example"},
    {"a+b@acme.example", "a+b@acme.example"},
    {"*@acme.example", "*@acme.example"}, // An asterisk may stand in a local part; only itself.
    {"@b\xc3\xbc"
     "cher.example",
     "@xn--bcher-kva.example"},
    {"", ""},
    {"@", ""},
    {"a", ""},
    {"acme.example", ""},
    {"@*", ""},
    {"@*.", ""},
    {"@.acme.example", ""},
    {"@acme.example.", ""},
    {"@*acme.example", ""},
    {"@a.*.example", ""},
    {"a@*.acme.example", ""},
    {"@*.a@a", ""},
    {"@*.b@acme.example", ""},
    {"@@acme.example", ""},
    {"<a@acme.example>", ""},
    {"a b@acme.example", ""},
    {"a@b@acme.example", ""},
    {".a@acme.example", ""},
    {"\"a@acme.example", ""},
    {"a\r\n@acme.example", ""},
    {"a@[192.0.2.1]", ""},
    {"@[192.0.2.1]", ""},
    {"a@192.0.2.1", ""},
    {"\xff@acme.example", ""},
};

TEST(Senders, PatternsHaveOneForm) {
    for (const pattern_case& c : patterns) {
        sender_text pattern;
        const bool good = pattern.set_pattern(c.given).empty();
        EXPECT_EQ(good ? pattern.text() : "", c.expected) << c.given;
    }
}

TEST(Senders, TwoTenantsNeverShareADomain) {
    EXPECT_EQ(faults_of(R"({"name":"a","domains":["a.example"]},
{"name":"b","domains":["b.example","A.example"]})"),
              "p.json:2: /tenants/1/domains/1: the domain is another tenant's already; expected "
              "each in one tenant, once\n");
    // A subdomain is covered by its parent, whichever comes first and however far above it is.
    EXPECT_EQ(faults_of(R"({"name":"a","domains":["a.example"]},
{"name":"b","domains":["b.example",
"x.y.a.example"]})"),
              "p.json:3: /tenants/1/domains/1: \"a.example\" covers it and is tenant \"a\"'s; "
              "expected domains of one tenant only\n");
    EXPECT_EQ(faults_of(R"({"name":"a","domains":["x.y.a.example"]},
{"name":"b","domains":["a.example"]})"),
              "p.json:1: /tenants/0/domains/0: \"a.example\" covers it and is tenant \"b\"'s; "
              "expected domains of one tenant only\n");
    EXPECT_EQ(faults_of(R"({"name":"a","domains":["a.example","x.a.example","a-b.example"]},
{"name":"b","domains":["xa.example","example.org","b.a.example.org.example"]})"),
              "");
}

TEST(Senders, DomainsNameTheirTenant) {
    const auto policy = policy_with(R"({"name":"a","domains":["a.example"]},
        {"name":"b","domains":["b\u00fccher.example"]})");
    EXPECT_EQ(policy->tenant_of_domain("x.Y.a.example.")->name, "a");
    EXPECT_EQ(policy->tenant_of_domain("xn--bcher-kva.example")->name, "b");
    EXPECT_EQ(policy->tenant_of_domain("example"), nullptr);
    EXPECT_EQ(policy->tenant_of_domain("xa.example"), nullptr);
    EXPECT_EQ(policy->tenant_of_domain(""), nullptr);
}

// Against a plain list of all patterns, judged one by one.
TEST(Senders, TheTableAgreesWithAPlainList) {
    std::mt19937 random(7);
    const auto label = [&] { return std::string(1, static_cast<char>('a' + random() % 3)); };
    const auto domain = [&] {
        std::string made = label();
        for (auto more = random() % 3; more > 0; --more) {
            made += '.' + label();
        }
        return made;
    };
    for (int round = 0; round < 50; ++round) {
        sender_table table(random());
        std::vector<std::pair<std::uint32_t, std::string>> list;
        for (int i = 0; i < 200; ++i) {
            const auto owner = static_cast<std::uint32_t>(random() % 3);
            const auto kind = random() % 3;
            const std::string text = (kind == 0   ? label() + '@'
                                      : kind == 1 ? "@"
                                                  : "@*.") +
                                     domain();
            const std::pair wanted(owner, text);
            const auto found = std::find(list.begin(), list.end(), wanted);
            if (random() % 4 == 0) {
                EXPECT_EQ(table.remove(owner, text), found != list.end());
                if (found != list.end()) {
                    list.erase(found);
                }
            } else {
                EXPECT_EQ(table.add(owner, text, 0), found == list.end());
                if (found == list.end()) {
                    list.push_back(wanted);
                }
            }
        }
        EXPECT_EQ(table.size(), list.size());
        for (int i = 0; i < 200; ++i) {
            const auto owner = static_cast<std::uint32_t>(random() % 3);
            const std::string at = '@' + domain();
            const std::string address = label() + at;
            const bool expected = std::any_of(list.begin(), list.end(), [&](const auto& one) {
                const std::string& text = one.second;
                const bool below = text.starts_with("@*.") && at.size() > text.size() - 1 &&
                                   at.ends_with(text.substr(2));
                return one.first == owner && (text == address || text == at || below);
            });
            sender_text sender;
            ASSERT_TRUE(sender.set_address(address));
            const std::uint32_t rule = table.match(owner, sender);
            EXPECT_EQ(rule != sender_table::none, expected) << address;
        }
    }
}

} // namespace
} // namespace ebbgate::policy
