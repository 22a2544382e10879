// The RFCs' messages, signed with the RFCs' keys: the same b=, byte for byte; and verified.

#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"

#include "codec/dkim/rfc_example.h"
#include "crypto/base64.h"
#include "crypto/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::dkim {
namespace {

std::vector<byte_view> views(const std::vector<std::string>& fields) {
    return {fields.begin(), fields.end()};
}

// What the field's own h= says, canonicalised by hand; all examples sign all of their fields.
void expect_same_signature(const rfc::example& one,
                           const std::vector<std::size_t>& order,
                           canonicalization form) {
    std::string canonical;
    for (const std::size_t at : order) {
        append_field(canonical, one.fields[at], form);
    }
    append_field(canonical, one.fields[0] + one.behind, form);
    prepared_signature prepared{one.key, crypto::hash_of(canonical).bytes, one.fields[0], {}};
    prepared_signature* batch[] = {&prepared};
    sign(batch);
    EXPECT_EQ(crypto::to_base64(prepared.signature), one.value);

    // field() folds the value; nothing else is added.
    std::string field = prepared.field();
    EXPECT_TRUE(field.starts_with(one.fields[0]));
    std::erase_if(field, [](char c) { return c == '\r' || c == '\n' || c == '\t'; });
    EXPECT_TRUE(field.ends_with("b=" + one.value));
}

TEST(rfc_example, the_same_signatures) {
    expect_same_signature(rfc::ed25519_8463(), {1, 2, 3, 4, 5}, canonicalization::relaxed);
    expect_same_signature(rfc::rsa_8463(), {1, 2, 3, 4, 5}, canonicalization::relaxed);
    expect_same_signature(rfc::rsa_6376(), {1, 2, 3, 4, 5, 6}, canonicalization::simple);
}

TEST(rfc_example, they_verify_and_a_changed_byte_is_seen) {
    for (const rfc::example& one : {rfc::ed25519_8463(), rfc::rsa_8463(), rfc::rsa_6376()}) {
        for (int change = 0; change < 3; ++change) {
            std::vector<std::string> fields = one.fields;
            fields[0] += one.value + one.behind + "\r\n";
            std::string body = one.body;
            if (change == 1) {
                body[0] = 'h';
            } else if (change == 2) {
                fields[1].insert(fields[1].size() - 2, "!");
            }
            verifier judged;
            judged.take_header(views(fields));
            ASSERT_EQ(judged.count(), 1U);
            EXPECT_EQ(judged.key_name(0), one.record_name);
            const std::vector<std::string> records = {record_text(*one.key)};
            judged.set_key(0, records);
            judged.feed_body(body);
            judged.finish_body();
            const verdict found = judged.verdict(0);
            EXPECT_EQ(to_text(found.outcome), change == 0 ? "pass" : "fail");
            EXPECT_EQ(to_text(found.reason),
                      change == 0   ? "none"
                      : change == 1 ? "body_hash"
                                    : "signature");
        }
    }
}

} // namespace
} // namespace ebbgate::dkim
