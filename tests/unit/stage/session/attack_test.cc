// What hostile clients send: nothing of it may be stored, relayed, or read as something else.

#include "scripted_handler.h"

#include <gtest/gtest.h>

namespace ebbgate::session {
namespace {

const std::string start = "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n";

bool stored(const outcome& got) {
    for (const std::string& line : got.log) {
        if (line.starts_with("end ")) {
            return true;
        }
    }
    return false;
}

TEST(Attack, SmuggledEndMarksCloseTheSessionAndStoreNothing) {
    const std::string second =
        "MAIL FROM:<evil@b.test>\r\nRCPT TO:<v@d.test>\r\nDATA\r\nx\r\n.\r\n";
    for (const std::string& end : {std::string("\n.\n"),
                                   std::string("\n.\r\n"),
                                   std::string("\r.\r"),
                                   std::string("\r\n.\n"),
                                   std::string("\r.\r\n"),
                                   std::string("\r\n.\r"),
                                   std::string("\r\r\n.\r\r\n"),
                                   std::string("\r\0\n.\r\n", 6)}) {
        const std::string input = start + "DATA\r\nhello" + end + second;
        bool all_equal = false;
        const outcome got = converse_every_way({}, plain_settings(), input, all_equal);
        EXPECT_TRUE(all_equal);
        EXPECT_FALSE(stored(got));
        EXPECT_NE(got.output.find("521 5.5.2 Bare <"), std::string::npos);
        EXPECT_EQ(got.log,
                  (std::vector<std::string>{"begin <a@b.test> c@d.test", "abort", "close"}));
    }
}

TEST(Attack, BareLineEndingsInChunksCloseTheSession) {
    for (const char* body : {"a\nb", "a\rb", "ab\r"}) {
        const std::string input = start + "BDAT 3 LAST\r\n" + body + "NOOP\r\n";
        bool all_equal = false;
        const outcome got = converse_every_way({}, plain_settings(), input, all_equal);
        EXPECT_TRUE(all_equal) << body;
        EXPECT_FALSE(stored(got)) << body;
        EXPECT_EQ(got.log.back(), "close") << body;
    }
}

TEST(Attack, AChunkIsNeverReadAsCommands) {
    const std::string inner = "MAIL FROM:<evil@b.test>\r\n";
    for (const std::string& line : {"BDAT " + std::to_string(inner.size()) + "\n",
                                    std::string("BDAT x\r\n"),
                                    std::string("BDAT -1\r\n"),
                                    std::string("BDAT\r\n"),
                                    std::string("BDAT 5 \x01\r\n"),
                                    "BDAT " + std::string(3000, '1') + "\r\n"}) {
        for (const std::string& before : {std::string("HELO x\r\n"), start}) {
            bool all_equal = false;
            const outcome got =
                converse_every_way({}, plain_settings(), before + line + inner, all_equal);
            EXPECT_TRUE(all_equal);
            EXPECT_TRUE(got.output.ends_with("521 5.5.4 Syntax: BDAT count [LAST], closing\r\n"))
                << line;
        }
    }
}

TEST(Attack, AHugeChunkClosesInsteadOfBeingRead) {
    const outcome got =
        converse({}, plain_settings(), start + "BDAT 18446744073709551615 LAST\r\nxx", {});
    EXPECT_TRUE(got.output.ends_with("552 5.3.4 Chunk exceeds message size limit\r\n"));
    EXPECT_EQ(got.log.back(), "close");
}

TEST(Attack, ChunkSumsDoNotWrap) {
    const outcome got = converse(
        {}, plain_settings(), start + "BDAT 2\r\nhiBDAT 18446744073709551615 LAST\r\nxx", {});
    EXPECT_FALSE(stored(got));
    EXPECT_EQ(got.log.back(), "close");
}

TEST(Attack, PlaintextBehindStarttlsClosesTheSession) {
    settings settings = plain_settings();
    settings.tls_available = true;
    const outcome got = converse({}, settings, "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<>\r\n", {});
    EXPECT_TRUE(got.output.ends_with("554 5.5.1 Error: data sent after STARTTLS in the clear\r\n"));
    EXPECT_EQ(got.log, std::vector<std::string>{"close"});
    // In a chunk of its own, before the handshake began.
    const outcome later = converse({}, settings, "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<>\r\n", {18});
    EXPECT_EQ(later.log, (std::vector<std::string>{"start_tls", "close"}));
}

TEST(Attack, NothingSaidInTheClearCountsAfterTheHandshake) {
    settings settings = plain_settings();
    settings.tls_available = true;
    scripted_handler handler;
    session session(settings, handler);
    handler.owner = &session;
    session.start();
    session.feed("EHLO x\r\nSTARTTLS\r\n");
    EXPECT_EQ(session.deadline(), deadline_kind::tls_handshake);
    session.tls_started();
    EXPECT_TRUE(session.tls_active());
    handler.output.clear();
    session.feed("MAIL FROM:<>\r\nAUTH PLAIN |a|b\r\nSTARTTLS\r\nEHLO y\r\n");
    EXPECT_TRUE(handler.output.starts_with("503 5.5.1 Error: send HELO/EHLO first\r\n"
                                           "503 5.5.1 Error: send EHLO first\r\n"
                                           "503 5.5.1 Error: TLS already active\r\n250-"));
    EXPECT_EQ(session.protocol(false), "ESMTPS");
}

TEST(Attack, BrowsersAreSentAway) {
    for (const char* verb : {"GET", "POST", "HEAD", "CONNECT"}) {
        const outcome got = converse({},
                                     plain_settings(),
                                     std::string(verb) + " / HTTP/1.1\r\nHost: x\r\n\r\nHELO x\r\n",
                                     {});
        EXPECT_TRUE(got.output.ends_with("521 5.5.1 This is a mail server, closing\r\n")) << verb;
        EXPECT_EQ(got.log, std::vector<std::string>{"close"}) << verb;
    }
}

TEST(Attack, WithoutAuthNoFormOfAnAddressIsRelayed) {
    scripted_handler handler;
    handler.relay_allowed = false;
    for (const char* sender :
         {"<>", "<a@gate.test>", "<a@[127.0.0.1]>", "<postmaster@gate.test>"}) {
        const outcome got = converse(handler,
                                     plain_settings(),
                                     std::string("HELO x\r\nMAIL FROM:") + sender +
                                         "\r\nRCPT TO:<x@far.test>\r\nDATA\r\n.\r\n",
                                     {});
        EXPECT_TRUE(got.log.empty()) << sender;
        EXPECT_NE(got.output.find("530 5.7.0 Authentication required\r\n503"), std::string::npos);
    }
}

TEST(Attack, RoutesAndInjectionsInRecipientsAreRefused) {
    for (const byte_view recipient : {byte_view("<@gate.test:x@far.test>"),
                                      byte_view("<x@far.test@gate.test>"),
                                      byte_view("<x@far.test\0>", 13),
                                      byte_view("<x@far.test>\x0b"),
                                      byte_view("<\"x\x7f\"@far.test>"),
                                      byte_view("x@far.test"),
                                      byte_view("<x@far.test> ORCPT=rfc822;a+0D+0ABcc:"),
                                      byte_view("<[far.test]>"),
                                      byte_view("<x@[far.test]>")}) {
        std::string input = "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:";
        input += recipient;
        input += "\r\nDATA\r\n";
        const outcome got = converse({}, plain_settings(), input, {});
        EXPECT_TRUE(got.log.empty()) << recipient;
        EXPECT_TRUE(got.output.ends_with("503 5.5.1 Error: need RCPT command\r\n")) << recipient;
    }
}

} // namespace
} // namespace ebbgate::session
