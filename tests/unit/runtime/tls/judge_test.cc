// Chains and TLSA records against what is required, without a connection.

#include "pki.h"
#include "runtime/tls/judge.h"

#include <gtest/gtest.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include <ctime>
#include <memory>
#include <string>
#include <vector>

namespace ebbgate::tls {
namespace {

std::string sha(const std::string& of, int bits) {
    std::string out(static_cast<std::size_t>(bits / 8), '\0');
    auto* to = reinterpret_cast<byte*>(out.data());
    const auto* from = reinterpret_cast<const byte*>(of.data());
    const auto bytes = static_cast<word32>(of.size());
    EXPECT_EQ(bits == 256 ? wc_Sha256Hash(from, bytes, to) : wc_Sha512Hash(from, bytes, to), 0);
    return out;
}

class JudgeTest : public testing::Test {
protected:
    static void SetUpTestSuite() { made() = std::make_unique<pki>(); }

    static void TearDownTestSuite() { made().reset(); }

    static std::unique_ptr<pki>& made() {
        static std::unique_ptr<pki>
            one; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): one for the suite
        return one;
    }

    static std::string der(const std::string& name) {
        const auto all = certificates_of_pem(made()->pem(name));
        EXPECT_EQ(all.size(), 1U) << name;
        return all.empty() ? "" : all.front();
    }

    static std::string key(const std::string& name) {
        return parse_certificate(der(name))->public_key;
    }

    static verdict run(const requirement& required,
                       const std::vector<std::string>& names,
                       const std::string& trusted = "root") {
        std::vector<std::string> ders;
        for (const auto& name : names) {
            ders.push_back(der(name));
        }
        const std::vector<byte_view> chain(ders.begin(), ders.end());
        trust_store store;
        store.add(*parse_certificate(der(trusted)));
        return judge(required, chain, &store, std::time(nullptr));
    }

    static failure by_name(const std::vector<std::string>& chain,
                           const std::string& host = "mx.test",
                           const std::string& trusted = "root") {
        return run({check::names, true, {host}, {}}, chain, trusted).failure;
    }

    static failure by_dane(std::vector<tlsa> records,
                           const std::vector<std::string>& chain,
                           const std::string& host = "mx.test") {
        return run({check::dane, true, {host}, std::move(records)}, chain).failure;
    }
};

TEST_F(JudgeTest, names_takes_a_chain_to_a_trusted_root) {
    EXPECT_EQ(by_name({"good", "inter"}), failure::none);
    EXPECT_EQ(by_name({"good", "inter", "root"}), failure::none);
    EXPECT_EQ(by_name({"good", "root", "other", "inter"}), failure::none) << "in any order";
    EXPECT_EQ(by_name({"good"}, "mx.test", "inter"), failure::none) << "the anchor need be no root";
    EXPECT_EQ(by_name({"alone"}, "mx.test", "alone"), failure::none) << "trusted as it is";
    EXPECT_EQ(by_name({"permitted", "narrow"}, "mx.allowed.test"), failure::none);
    EXPECT_EQ(by_name({"rsa"}, "mx.test", "rsaroot"), failure::none);
    EXPECT_EQ(by_name({"ed"}, "mx.test", "rsaroot"), failure::none);
}

TEST_F(JudgeTest, names_says_what_is_wrong) {
    EXPECT_EQ(by_name({"good", "inter"}, "other.test"), failure::certificate_host_mismatch);
    EXPECT_EQ(by_name({"cnonly", "inter"}), failure::certificate_host_mismatch);
    EXPECT_EQ(by_name({"expired", "inter"}), failure::certificate_expired);
    EXPECT_EQ(by_name({"stale", "old"}), failure::certificate_expired);
    EXPECT_EQ(by_name({"good"}), failure::certificate_not_trusted) << "no intermediate";
    EXPECT_EQ(by_name({"good", "inter"}, "mx.test", "other"), failure::certificate_not_trusted);
    EXPECT_EQ(by_name({"alone"}), failure::certificate_not_trusted);
    EXPECT_EQ(by_name({"client", "inter"}), failure::certificate_not_trusted);
    EXPECT_EQ(by_name({"toodeep", "below", "inter"}), failure::certificate_not_trusted);
    EXPECT_EQ(by_name({"forbidden", "narrow"}), failure::certificate_not_trusted);
    EXPECT_EQ(by_name({"unsigned", "nosign"}), failure::certificate_not_trusted);
    EXPECT_EQ(by_name({"byleaf", "good", "inter"}), failure::certificate_not_trusted);
    EXPECT_EQ(by_name({}), failure::certificate_not_trusted);
}

TEST_F(JudgeTest, names_needs_somebody_trusted) {
    const std::string leaf = der("alone");
    const std::vector<byte_view> chain = {leaf};
    EXPECT_EQ(
        judge({check::names, true, {"mx.test"}, {}}, chain, nullptr, std::time(nullptr)).failure,
        failure::certificate_not_trusted);
}

// Go Daddy's and Starfield's have.
TEST_F(JudgeTest, a_root_may_have_the_serial_number_0) {
    const auto store = trust_store::load(made()->path("zero.pem"));
    ASSERT_TRUE(store.has_value()) << store.error().detail;
    const std::string leaf = der("byzero");
    const std::vector<byte_view> chain = {leaf};
    EXPECT_EQ(judge({check::names, true, {"mx.test"}, {}}, chain, store->get(), std::time(nullptr))
                  .failure,
              failure::none);
}

// A chain whose signature is not the issuer's, though every name fits; and one that is out of date
// besides, for the library tells of both in one answer.
TEST_F(JudgeTest, names_checks_signatures) {
    trust_store store;
    store.add(*parse_certificate(der("root")));
    for (const char* name : {"good", "expired"}) {
        std::string leaf = der(name);
        leaf.back() = static_cast<char>(leaf.back() ^ 1);
        const std::string inter = der("inter");
        const std::vector<byte_view> chain = {leaf, inter};
        EXPECT_EQ(
            judge({check::names, true, {"mx.test"}, {}}, chain, &store, std::time(nullptr)).failure,
            failure::certificate_not_trusted)
            << name;
    }
}

TEST_F(JudgeTest, names_looks_at_the_clock_it_is_given) {
    const std::string leaf = der("good");
    const std::string inter = der("inter");
    const std::vector<byte_view> chain = {leaf, inter};
    trust_store store;
    store.add(*parse_certificate(der("root")));
    const requirement required{check::names, true, {"mx.test"}, {}};
    const std::time_t now = std::time(nullptr);
    EXPECT_EQ(judge(required, chain, &store, now + 60).failure, failure::none);
    EXPECT_EQ(judge(required, chain, &store, now + 3 * 86400).failure,
              failure::certificate_expired);
    EXPECT_EQ(judge(required, chain, &store, now - 86400).failure, failure::certificate_expired);
}

TEST_F(JudgeTest, the_verdict_names_the_peer) {
    const verdict found = run({check::names, true, {"mx.test"}, {}}, {"good", "inter"});
    EXPECT_EQ(found.peer, "leaf");
    EXPECT_EQ(found.proof, proof::authority);
    const verdict refused = run({check::names, true, {"a.test"}, {}}, {"good", "inter"});
    EXPECT_EQ(refused.proof, proof::unchecked);
    EXPECT_EQ(refused.detail, "the certificate is for mx.test");
}

TEST_F(JudgeTest, dane_ee_is_neither_name_nor_date) {
    EXPECT_EQ(by_dane({{3, 1, 1, sha(key("expired"), 256)}}, {"expired"}, "x.test"), failure::none);
    EXPECT_EQ(by_dane({{3, 1, 2, sha(key("alone"), 512)}}, {"alone"}), failure::none);
    EXPECT_EQ(by_dane({{3, 1, 0, key("alone")}}, {"alone"}), failure::none);
    EXPECT_EQ(by_dane({{3, 0, 1, sha(der("alone"), 256)}}, {"alone"}), failure::none);
    EXPECT_EQ(by_dane({{3, 0, 0, der("alone")}}, {"alone"}), failure::none);
    EXPECT_EQ(by_dane({{3, 1, 1, sha(key("good"), 256)}}, {"alone"}), failure::dane_mismatch);
    EXPECT_EQ(by_dane({{3, 1, 1, sha(key("inter"), 256)}}, {"good", "inter"}),
              failure::dane_mismatch)
        << "usage 3 is for the leaf";
    EXPECT_EQ(
        by_dane({{3, 1, 1, sha(key("good"), 256)}, {3, 1, 1, sha(key("alone"), 256)}}, {"alone"}),
        failure::none)
        << "any of them";
}

TEST_F(JudgeTest, dane_ta_is_a_chain_dates_and_a_name) {
    const std::vector<tlsa> root = {{2, 0, 1, sha(der("root"), 256)}};
    EXPECT_EQ(by_dane(root, {"good", "inter", "root"}), failure::none);
    EXPECT_EQ(by_dane(root, {"good", "inter"}), failure::dane_mismatch) << "the anchor is not sent";
    EXPECT_EQ(by_dane({{2, 0, 0, der("root")}}, {"good", "inter"}), failure::none) << "but given";
    EXPECT_EQ(by_dane({{2, 1, 1, sha(key("inter"), 256)}}, {"good", "inter"}), failure::none);
    EXPECT_EQ(by_dane(root, {"good", "inter", "root"}, "other.test"),
              failure::certificate_host_mismatch);
    EXPECT_EQ(by_dane(root, {"expired", "inter", "root"}), failure::certificate_expired);
    EXPECT_EQ(by_dane(root, {"cnonly", "inter", "root"}), failure::none) << "RFC 7672 3.2.3";
    EXPECT_EQ(by_dane(root, {"alone", "root"}), failure::dane_mismatch) << "sent, but no issuer";
    EXPECT_EQ(by_dane({{2, 1, 1, sha(key("other"), 256)}}, {"good", "inter", "root"}),
              failure::dane_mismatch)
        << "the public authorities do not count";
}

TEST_F(JudgeTest, dane_without_usable_records_asks_nothing) {
    const std::string right = sha(key("good"), 256);
    for (const tlsa& record : std::vector<tlsa>{{0, 1, 1, right},
                                                {1, 1, 1, right},
                                                {4, 1, 1, right},
                                                {3, 2, 1, right},
                                                {3, 1, 3, right},
                                                {3, 1, 1, "short"},
                                                {3, 1, 2, right},
                                                {3, 0, 0, "junk"},
                                                {3, 1, 0, ""}}) {
        EXPECT_TRUE(usable_records({record}).empty());
        EXPECT_EQ(by_dane({record}, {"alone"}), failure::none);
    }
    EXPECT_EQ(by_dane({{1, 1, 1, right}, {3, 1, 1, right}}, {"alone"}), failure::dane_mismatch);
}

TEST_F(JudgeTest, the_strongest_digest_counts) {
    const std::string weak = sha(key("alone"), 256);
    EXPECT_EQ(by_dane({{3, 1, 1, weak}, {3, 1, 2, sha(key("good"), 512)}}, {"alone"}),
              failure::dane_mismatch);
    EXPECT_EQ(by_dane({{3, 1, 1, weak}, {3, 0, 2, sha(der("good"), 512)}}, {"alone"}),
              failure::none)
        << "for each selector";
}

TEST_F(JudgeTest, bytes_that_are_no_certificate_fail) {
    const std::string whole = der("good");
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
        EXPECT_FALSE(parse_certificate(byte_view(whole).substr(0, bytes)).has_value()) << bytes;
    }
    for (std::size_t at = 0; at < whole.size(); ++at) { // None may crash; some may decode.
        std::string bent = whole;
        bent[at] = static_cast<char>(~bent[at]);
        (void)parse_certificate(bent);
    }
}

TEST(matches_host, wildcards_are_one_whole_leftmost_label) {
    EXPECT_TRUE(matches_host("mx.test", "MX.Test"));
    EXPECT_TRUE(matches_host("mx.test", "mx.test."));
    EXPECT_TRUE(matches_host("*.wild.test", "a.wild.test"));
    EXPECT_FALSE(matches_host("*.wild.test", "wild.test"));
    EXPECT_FALSE(matches_host("*.wild.test", ".wild.test"));
    EXPECT_FALSE(matches_host("*.wild.test", "a.b.wild.test"));
    EXPECT_FALSE(matches_host("a*.wild.test", "ab.wild.test"));
    EXPECT_FALSE(matches_host("a.*.test", "a.b.test"));
    EXPECT_FALSE(matches_host("*.test", "a.test"));
    EXPECT_FALSE(matches_host("*", "test"));
    EXPECT_FALSE(matches_host("", ""));
    EXPECT_FALSE(matches_host("mx.test", "xmx.test"));
}

TEST_F(JudgeTest, a_trust_store_is_a_bundle_or_a_folder) {
    const auto bundle = trust_store::load(made()->bundle("two.pems", "root", "other"));
    ASSERT_TRUE(bundle.has_value()) << bundle.error().detail;
    EXPECT_EQ((*bundle)->size(), 2U);
    EXPECT_GT((*trust_store::load(made()->path("")))->size(), 10U);
    EXPECT_FALSE(trust_store::load(made()->path("root.key")).has_value());
    EXPECT_FALSE(trust_store::load(made()->path("none")).has_value());
}

TEST_F(JudgeTest, the_authorities_of_the_system_are_all_read) {
    const std::string path = std::string(trust_store::standard_path) + "/ca-certificates.crt";
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.empty()) {
        GTEST_SKIP() << "skipped: " << path << " is not there";
    }
    const auto loaded = trust_store::load(trust_store::standard_path);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().detail;
    EXPECT_EQ((*loaded)->size(), certificates_of_pem(text).size());
}

} // namespace
} // namespace ebbgate::tls
