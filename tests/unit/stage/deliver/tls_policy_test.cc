// Route, MTA-STS and DANE against each other: what is asked of a connection to one host.

#include "stage/deliver/tls_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::deliver {
namespace {

using enum tls_report::result_type;
using tls_report::policy_type;

const std::string sha256_of_nothing(32, 'x');

enum class dns { insecure, insecure_failed, none, failed, good, unusable };
enum class sts { none, mode_none, testing, testing_other, enforce, enforce_other, unknown };

struct row {
    tls_level level;
    dns dane;
    sts policy;
    host_use use;
    tls_use tls;
    tls::check check;
    bool enforced;
    policy_type type;
    std::optional<tls_report::result_type> fault;
};

tls_decision decide(tls_level level, dns dane, sts found) {
    host_facts facts;
    facts.domain = "example.test";
    facts.host = "mx.example.test";
    facts.is_secure = dane != dns::insecure && dane != dns::insecure_failed;
    facts.tlsa_failed = dane == dns::failed || dane == dns::insecure_failed;
    if (dane == dns::good || dane == dns::insecure) {
        facts.tlsa = {{3, 1, 1, sha256_of_nothing}};
    } else if (dane == dns::unusable) {
        facts.tlsa = {{1, 1, 1, sha256_of_nothing}};
    }
    mta_sts::policy policy{mta_sts::mode::enforce, {"mx.example.test"}, 60};
    if (found == sts::mode_none) {
        policy.mode = mta_sts::mode::none;
    } else if (found == sts::testing || found == sts::testing_other) {
        policy.mode = mta_sts::mode::testing;
    }
    if (found == sts::testing_other || found == sts::enforce_other) {
        policy.mx = {"other.example.test"};
    }
    facts.sts = found == sts::none || found == sts::unknown ? nullptr : &policy;
    facts.sts_unknown = found == sts::unknown;
    return decide_tls(level, facts);
}

TEST(decide_tls, follows_the_strictest_that_may_be_followed) {
    using level = tls_level;
    constexpr auto use = host_use::use;
    constexpr auto skip = host_use::skip;
    constexpr auto defer = host_use::defer;
    constexpr auto may = tls_use::opportunistic;
    constexpr auto must = tls_use::required;
    constexpr auto any = tls::check::none;
    constexpr auto name = tls::check::names;
    constexpr auto dane = tls::check::dane;
    constexpr auto no = policy_type::no_policy_found;
    constexpr auto tlsa = policy_type::tlsa;
    constexpr auto by_sts = policy_type::sts;
    const row rows[] = {
        // The route alone.
        {level::off, dns::none, sts::none, use, tls_use::off, any, true, no, {}},
        {level::opportunistic, dns::none, sts::none, use, may, any, true, no, {}},
        {level::required, dns::none, sts::none, use, must, any, true, no, {}},
        {level::verify, dns::none, sts::none, use, must, name, true, no, {}},
        // Off is off.
        {level::off, dns::good, sts::enforce, use, tls_use::off, any, true, no, {}},
        {level::off, dns::failed, sts::enforce_other, use, tls_use::off, any, true, no, {}},
        // MTA-STS.
        {level::opportunistic, dns::none, sts::mode_none, use, may, any, true, no, {}},
        {level::opportunistic, dns::none, sts::testing, use, may, name, false, by_sts, {}},
        {level::opportunistic, dns::none, sts::enforce, use, must, name, true, by_sts, {}},
        {level::opportunistic,
         dns::none,
         sts::testing_other,
         use,
         may,
         name,
         false,
         by_sts,
         validation_failure},
        {level::opportunistic,
         dns::none,
         sts::enforce_other,
         skip,
         must,
         name,
         true,
         by_sts,
         validation_failure},
        {level::required, dns::none, sts::testing, use, must, name, false, by_sts, {}},
        {level::verify, dns::none, sts::testing, use, must, name, true, by_sts, {}},
        {level::verify, dns::none, sts::mode_none, use, must, name, true, no, {}},
        // DANE.
        {level::opportunistic, dns::good, sts::none, use, must, dane, true, tlsa, {}},
        {level::opportunistic, dns::unusable, sts::none, use, must, any, true, tlsa, {}},
        {level::verify, dns::good, sts::none, use, must, dane, true, tlsa, {}},
        {level::verify, dns::unusable, sts::none, use, must, name, true, tlsa, {}},
        {level::opportunistic, dns::insecure, sts::none, use, may, any, true, no, {}},
        {level::opportunistic, dns::insecure_failed, sts::none, use, may, any, true, no, {}},
        {level::opportunistic, dns::failed, sts::none, defer, may, any, true, tlsa, dnssec_invalid},
        // Both: DANE first.
        {level::opportunistic, dns::good, sts::enforce, use, must, dane, true, tlsa, {}},
        {level::opportunistic, dns::good, sts::enforce_other, use, must, dane, true, tlsa, {}},
        {level::opportunistic, dns::unusable, sts::enforce, use, must, name, true, by_sts, {}},
        {level::opportunistic, dns::unusable, sts::testing, use, must, name, false, by_sts, {}},
        {level::opportunistic, dns::insecure, sts::enforce, use, must, name, true, by_sts, {}},
        {level::opportunistic,
         dns::failed,
         sts::enforce,
         defer,
         may,
         any,
         true,
         tlsa,
         dnssec_invalid},
        // There may be an MTA-STS policy.
        {level::opportunistic, dns::none, sts::unknown, defer, may, any, true, by_sts, {}},
        {level::opportunistic, dns::unusable, sts::unknown, defer, must, any, true, by_sts, {}},
        {level::verify, dns::none, sts::unknown, defer, must, name, true, by_sts, {}},
        {level::opportunistic, dns::good, sts::unknown, use, must, dane, true, tlsa, {}},
        {level::off, dns::none, sts::unknown, use, tls_use::off, any, true, no, {}},
    };
    for (const row& each : rows) {
        SCOPED_TRACE(&each - rows);
        const tls_decision got = decide(each.level, each.dane, each.policy);
        EXPECT_EQ(got.use, each.use);
        EXPECT_EQ(got.tls, each.tls);
        EXPECT_EQ(got.requirement.check, each.check);
        EXPECT_EQ(got.requirement.enforced, each.enforced);
        EXPECT_EQ(got.policy, each.type);
        EXPECT_EQ(got.fault, each.fault);
        EXPECT_EQ(got.clear_text_permitted(), each.use == use && each.tls != must);
        if (each.check == name) {
            EXPECT_EQ(got.requirement.names, std::vector<std::string>{"mx.example.test"});
        } else if (each.check == dane) {
            EXPECT_EQ(got.requirement.names,
                      (std::vector<std::string>{"example.test", "mx.example.test"}));
            EXPECT_EQ(got.requirement.records.size(), 1U);
        }
    }
}

TEST(log_text, says_what_was_asked_and_what_came) {
    const auto text = [](tls_level level, dns dane, sts policy, tls::proof proof) {
        tls::session_facts facts;
        facts.verdict.proof = proof;
        return log_text(decide(level, dane, policy), tls_state::established, facts);
    };
    using level = tls_level;
    using enum tls::proof;
    EXPECT_EQ(text(level::opportunistic, dns::none, sts::none, unchecked), "may/encrypt");
    EXPECT_EQ(text(level::opportunistic, dns::none, sts::testing, authority), "may/verify");
    EXPECT_EQ(text(level::required, dns::none, sts::testing, authority), "encrypt/verify");
    EXPECT_EQ(text(level::opportunistic, dns::unusable, sts::none, unchecked), "encrypt/encrypt");
    EXPECT_EQ(text(level::verify, dns::none, sts::none, authority), "verify/verify");
    EXPECT_EQ(text(level::opportunistic, dns::none, sts::enforce, authority), "sts/verify");
    EXPECT_EQ(text(level::opportunistic, dns::good, sts::none, dane_ta), "dane/dane");
    // What was not enforced: nothing is known of the peer.
    tls::session_facts doubted;
    doubted.verdict = {tls::failure::certificate_expired, authority, "mx", ""};
    EXPECT_EQ(log_text(decide(level::opportunistic, dns::none, sts::testing),
                       tls_state::established,
                       doubted),
              "may/encrypt");
    EXPECT_EQ(log_text(decide(level::off, dns::good, sts::none), tls_state::untried, {}),
              "none/none");
    EXPECT_EQ(log_text(decide(level::opportunistic, dns::none, sts::none), tls_state::failed, {}),
              "may/none");
}

TEST(result_of, has_a_word_for_every_end) {
    using enum tls::failure;
    EXPECT_EQ(result_of(tls_state::established, none), success);
    EXPECT_EQ(result_of(tls_state::established, tls::failure::certificate_host_mismatch),
              tls_report::result_type::certificate_host_mismatch);
    EXPECT_EQ(result_of(tls_state::not_offered, none), starttls_not_supported);
    EXPECT_EQ(result_of(tls_state::refused, none), starttls_not_supported);
    EXPECT_EQ(result_of(tls_state::failed, handshake), validation_failure);
    EXPECT_EQ(result_of(tls_state::failed, tls::failure::certificate_expired),
              tls_report::result_type::certificate_expired);
    EXPECT_EQ(result_of(tls_state::failed, dane_mismatch), tlsa_invalid);
}

} // namespace
} // namespace ebbgate::deliver
