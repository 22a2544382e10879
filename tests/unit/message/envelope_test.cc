// The stored envelope comes back as it was, and damaged ones are refused.

#include "ebbgate/message/envelope.h"

#include <gtest/gtest.h>

namespace ebbgate::message {
namespace {

envelope full_envelope() {
    envelope e;
    e.id = 0x0123456789ABCDEF;
    e.received_unix_ms = 1'700'000'000'123;
    e.sender = "sender@here.example";
    e.recipients = {{"one@far.example", "rfc822;one@far.example", notify_failure | notify_delay},
                    {"two@far.example", "", notify_never}};
    e.body = body_type::eight_bit_mime;
    e.ret = dsn_return::headers;
    e.smtputf8 = true;
    e.envelope_id = "QQ314159";
    e.tenant = "acme";
    e.account = "mailer";
    e.client_address = "2001:db8::1";
    e.client_helo = "client.example";
    e.header_message_id = "<1@here.example>";
    return e;
}

TEST(Envelope, EveryFieldComesBack) {
    const auto back = decode(encode(full_envelope()));
    ASSERT_TRUE(back.has_value());
    const envelope e = full_envelope();
    EXPECT_EQ(back->id, e.id);
    EXPECT_EQ(back->received_unix_ms, e.received_unix_ms);
    EXPECT_EQ(back->sender, e.sender);
    ASSERT_EQ(back->recipients.size(), 2U);
    EXPECT_EQ(back->recipients[0].address, e.recipients[0].address);
    EXPECT_EQ(back->recipients[0].original, e.recipients[0].original);
    EXPECT_EQ(back->recipients[0].notify, e.recipients[0].notify);
    EXPECT_EQ(back->recipients[1].notify, e.recipients[1].notify);
    EXPECT_EQ(back->body, e.body);
    EXPECT_EQ(back->ret, e.ret);
    EXPECT_EQ(back->smtputf8, e.smtputf8);
    EXPECT_EQ(back->envelope_id, e.envelope_id);
    EXPECT_EQ(back->tenant, e.tenant);
    EXPECT_EQ(back->account, e.account);
    EXPECT_EQ(back->client_address, e.client_address);
    EXPECT_EQ(back->client_helo, e.client_helo);
    EXPECT_EQ(back->header_message_id, e.header_message_id);
}

TEST(Envelope, AnEmptyOneComesBack) {
    const auto back = decode(encode(envelope()));
    ASSERT_TRUE(back.has_value());
    EXPECT_TRUE(back->sender.empty());
    EXPECT_TRUE(back->recipients.empty());
}

TEST(Envelope, ACutAnywhereIsRefused) {
    const std::string bytes = encode(full_envelope());
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        EXPECT_FALSE(decode(byte_view(bytes).substr(0, cut)).has_value()) << cut;
    }
    EXPECT_FALSE(decode(bytes + "x").has_value());
}

TEST(Envelope, LengthsAndCountsBeyondTheirLimitsAreRefused) {
    std::string bytes = encode(envelope());
    bytes[20 + 3] = '\x7f'; // The sender claims 2 GiB.
    EXPECT_FALSE(decode(bytes).has_value());
    bytes = encode(envelope());
    bytes[bytes.size() - 1] = '\x7f'; // So many recipients.
    EXPECT_FALSE(decode(bytes).has_value());
    bytes = encode(envelope());
    bytes[0] = 2; // Another version.
    EXPECT_FALSE(decode(bytes).has_value());
}

} // namespace
} // namespace ebbgate::message
