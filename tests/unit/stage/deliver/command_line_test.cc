// The MAIL and RCPT lines: a parameter is written only to a peer that offered it.

#include "stage/deliver/command_line.h"

#include <gtest/gtest.h>

namespace ebbgate::deliver {
namespace {

message::envelope with_everything() {
    message::envelope envelope;
    envelope.sender = "a@acme.test";
    envelope.body = message::body_type::eight_bit_mime;
    envelope.ret = message::dsn_return::headers;
    envelope.envelope_id = "QQ+2B1";
    envelope.smtputf8 = true;
    envelope.recipients.push_back(
        {"b@far.test", "rfc822;b@far.test", message::notify_success | message::notify_delay});
    return envelope;
}

TEST(CommandLine, APeerThatOffersNothingGetsNoParameter) {
    message::envelope envelope = with_everything();
    envelope.smtputf8 = false;
    EXPECT_EQ(mail_line(envelope, {}, 1000), "MAIL FROM:<a@acme.test>\r\n");
    EXPECT_EQ(recipient_line(envelope.recipients[0], {}), "RCPT TO:<b@far.test>\r\n");
    envelope.sender.clear();
    EXPECT_EQ(mail_line(envelope, {}, 1000), "MAIL FROM:<>\r\n");
}

TEST(CommandLine, APeerThatOffersAllGetsWhatTheEnvelopeHas) {
    smtp::ehlo_response peer;
    peer.message_bytes_max = 1'000'000;
    peer.eight_bit_mime = true;
    peer.smtputf8 = true;
    peer.dsn = true;
    const message::envelope envelope = with_everything();
    EXPECT_EQ(mail_line(envelope, peer, 1000),
              "MAIL FROM:<a@acme.test> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1\r\n");
    EXPECT_EQ(recipient_line(envelope.recipients[0], peer),
              "RCPT TO:<b@far.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@far.test\r\n");
    EXPECT_EQ(recipient_line({"c@far.test", "", message::notify_never}, peer),
              "RCPT TO:<c@far.test> NOTIFY=NEVER\r\n");
    EXPECT_EQ(mail_line({}, peer, 7), "MAIL FROM:<> SIZE=7\r\n");
}

} // namespace
} // namespace ebbgate::deliver
