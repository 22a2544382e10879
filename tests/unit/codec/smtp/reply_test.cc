#include "ebbgate/smtp/reply.h"
#include "ebbgate/smtp/reply_table.h"

#include <gtest/gtest.h>

namespace ebbgate::smtp {
namespace {

TEST(Reply, AFixedReplyAndItsCopyHaveTheSameWireForm) {
    for (const fixed_reply& fixed : {reply_table::ok,
                                     reply_table::start_mail_input,
                                     reply_table::sasl_continue,
                                     reply_table::authentication_needs_tls,
                                     reply_table::message_too_big,
                                     reply_table::bare_lf_in_message,
                                     reply_table::sasl_username}) {
        EXPECT_EQ(to_wire(reply(fixed)), fixed.wire());
    }
    EXPECT_EQ(reply(reply_table::authentication_needs_tls).status, (enhanced_status{5, 7, 11}));
}

TEST(Reply, SeveralLinesRepeatCodeAndStatus) {
    EXPECT_EQ(to_wire(reply(550, {5, 7, 1}, "Refused\nAsk your operator")),
              "550-5.7.1 Refused\r\n550 5.7.1 Ask your operator\r\n");
    EXPECT_EQ(to_wire(reply(250, {}, "host\nSIZE 1")), "250-host\r\n250 SIZE 1\r\n");
}

TEST(Reply, NoControlCharacterReachesTheWire) {
    EXPECT_EQ(to_wire(reply(550, {5, 1, 1}, "a\rb\x1b[2J")), "550 5.1.1 a?b?[2J\r\n");
    EXPECT_EQ(to_line(reply(550, {5, 1, 1}, "a\nb\rc")), "550 5.1.1 a; b?c");
}

TEST(Reply, ALongLineIsCutToTheLimit) {
    const std::string wire = to_wire(reply(550, {5, 1, 1}, std::string(5000, 'x')));
    EXPECT_EQ(wire.size(), reply_line_bytes_max);
    EXPECT_TRUE(wire.ends_with("x\r\n"));
}

TEST(Reply, QueuedNamesTheId) {
    EXPECT_EQ(to_wire(reply::queued("0ABCDEFGHJKMN")), "250 2.0.0 Ok: queued as 0ABCDEFGHJKMN\r\n");
}

TEST(Reply, PublicTextsGetTheCodeOfTheirClass) {
    EXPECT_EQ(to_wire(reply::from_public_text("4.3.1 Mail system full")),
              "452 4.3.1 Mail system full\r\n");
    EXPECT_EQ(to_wire(reply::from_public_text("4.3.0 Internal error")),
              "451 4.3.0 Internal error\r\n");
    EXPECT_EQ(to_wire(reply::from_public_text("5.7.1 No")), "554 5.7.1 No\r\n");
    EXPECT_EQ(to_wire(reply::from_public_text("odd")), "451 4.3.0 odd\r\n");
}

TEST(EnhancedStatus, OnlyTheFormOfRfc3463IsRead) {
    std::size_t length = 0;
    EXPECT_EQ(parse_enhanced_status("5.1.1 x", length), (enhanced_status{5, 1, 1}));
    EXPECT_EQ(length, 5U);
    EXPECT_EQ(parse_enhanced_status("4.999.999", length), (enhanced_status{4, 999, 999}));
    for (byte_view text :
         {"3.1.1 x", "5.1", "5.1.", "5..1", "5.01.1", "5.1.1x", "5.1000.1", "", "5", "55.1.1"}) {
        EXPECT_FALSE(parse_enhanced_status(text, length).has_value()) << text;
    }
}

} // namespace
} // namespace ebbgate::smtp
