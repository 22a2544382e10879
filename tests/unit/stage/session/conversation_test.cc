// Whole conversations, each in one piece and cut at every byte. Replies and events must agree.

#include "scripted_handler.h"

#include <gtest/gtest.h>

namespace ebbgate::session {
namespace {

constexpr const char* banner = "220 gate.test ESMTP Ebbgate\r\n";
constexpr const char* hello = "250 gate.test\r\n";

struct conversation {
    const char* name;
    std::string input;  // After HELO.
    std::string output; // After the replies to it.
    std::vector<std::string> log;
};

std::vector<conversation> conversations() {
    const std::string start = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n";
    const std::string start_ok = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n";
    const std::string go = "354 End data with <CR><LF>.<CR><LF>\r\n";
    const std::string queued = "250 2.0.0 Ok: queued as ID\r\n";
    const std::string begin = "begin <a@b.test> c@d.test";
    const std::string bye = "221 2.0.0 Bye\r\n";
    return {
        {"a message",
         start + "DATA\r\nhi\r\n..dot\r\n.\r\nQUIT\r\n",
         start_ok + go + queued + bye,
         {begin, "end hi\r\n..dot\r\n", "close"}},
        {"two messages",
         start + "DATA\r\n.\r\n" + start + "DATA\r\nx\r\n.\r\n",
         start_ok + go + queued + start_ok + go + queued,
         {begin, "end ", begin, "end x\r\n"}},
        {"in chunks",
         start + "BDAT 3\r\nhi\rBDAT 4\r\n\n.\r\nBDAT 0 LAST\r\nQUIT\r\n",
         start_ok + "250 2.0.0 Ok: 3 octets received\r\n250 2.0.0 Ok: 4 octets received\r\n" +
             queued + bye,
         {begin, "end hi\r\n..\r\n", "close"}},
        {"one last chunk without CRLF",
         start + "BDAT 2 LAST\r\nhiNOOP\r\n",
         start_ok + queued + "250 2.0.0 Ok\r\n",
         {begin, "end hi\r\n"}},
        {"RSET",
         start + "RSET\r\nDATA\r\n",
         start_ok + "250 2.0.0 Ok\r\n503 5.5.1 Error: need MAIL command\r\n",
         {}},
        {"RSET between chunks",
         start + "BDAT 1\r\nxRSET\r\nNOOP\r\n",
         start_ok + "250 2.0.0 Ok: 1 octets received\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n",
         {begin, "abort"}},
        {"EHLO ends a transaction",
         start + "HELO x\r\nRCPT TO:<c@d.test>\r\n",
         start_ok + hello + "503 5.5.1 Error: need MAIL command\r\n",
         {}},
        {"out of order",
         "RCPT TO:<c@d.test>\r\nDATA\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n",
         "503 5.5.1 Error: need MAIL command\r\n503 5.5.1 Error: need MAIL command\r\n"
         "250 2.1.0 Ok\r\n503 5.5.1 Error: nested MAIL command\r\n"
         "503 5.5.1 Error: need RCPT command\r\n",
         {}},
        {"no valid recipient",
         "MAIL FROM:<>\r\nRCPT TO:<refused@d.test>\r\nDATA\r\n",
         "250 2.1.0 Ok\r\n554 5.7.1 Relay access denied\r\n"
         "554 5.5.1 Error: no valid recipients\r\n",
         {}},
        {"sender refused",
         "MAIL FROM:<spoofed@b.test>\r\nRCPT TO:<c@d.test>\r\n",
         "553 5.7.1 no\r\n"
         "503 5.5.1 Error: need MAIL command\r\n",
         {}},
        {"chunk without recipients is read",
         "MAIL FROM:<>\r\nBDAT 6\r\nNOOP\r\nBDAT 4 LAST\r\nRSETNOOP\r\n",
         "250 2.1.0 Ok\r\n503 5.5.1 Error: need RCPT command\r\n"
         "503 5.5.1 Error: BDAT out of sequence, chunk discarded\r\n250 2.0.0 Ok\r\n",
         {}},
        {"DATA and RCPT after BDAT",
         start + "BDAT 1\r\nxDATA\r\nRCPT TO:<e@d.test>\r\n",
         start_ok + "250 2.0.0 Ok: 1 octets received\r\n503 5.5.1 Error: DATA after BDAT\r\n"
                    "503 5.5.1 Error: RCPT after BDAT\r\n",
         {begin, "abort"}},
        {"SIZE too big at MAIL",
         "MAIL FROM:<> SIZE=1001\r\nMAIL FROM:<> SIZE=1000\r\n",
         "552 5.3.4 Message size exceeds fixed limit\r\n250 2.1.0 Ok\r\n",
         {}},
        {"too big in DATA",
         start + "DATA\r\n" + std::string(1001, 'x') + "\r\n.\r\nNOOP\r\n",
         start_ok + go + "552 5.3.4 Message size exceeds fixed limit\r\n250 2.0.0 Ok\r\n",
         {begin, "abort"}},
        {"just fits, stuffing not counted",
         start + "DATA\r\n.." + std::string(997, 'x') + "\r\n.\r\n",
         start_ok + go + queued,
         {begin, "end .." + std::string(997, 'x') + "\r\n"}},
        {"too big in chunks",
         start + "BDAT 600\r\n" + std::string(600, 'x') + "BDAT 401\r\n" + std::string(401, 'y') +
             "BDAT 3 LAST\r\nzzzNOOP\r\n",
         start_ok + "250 2.0.0 Ok: 600 octets received\r\n"
                    "552 5.3.4 Chunk exceeds message size limit\r\n"
                    "503 5.5.1 Error: BDAT out of sequence, chunk discarded\r\n250 2.0.0 Ok\r\n",
         {begin, "abort"}},
        {"small commands",
         "NOOP x\r\nHELP\r\nVRFY root\r\nEXPN all\r\nETRN x\r\nXCLIENT A=1\r\nWHAT\r\n",
         "250 2.0.0 Ok\r\n"
         "214 2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n"
         "252 2.0.0 Cannot VRFY user, try RCPT to attempt delivery\r\n"
         "502 5.5.1 Error: command not implemented\r\n502 5.5.1 Error: command not implemented\r\n"
         "502 5.5.1 Error: command not implemented\r\n500 5.5.2 Error: command not recognized\r\n",
         {}},
        {"line endings in commands",
         "NOOP\nNO\rOP\r\nNOOP\r\n",
         "500 5.5.2 Error: bare <CR> or <LF> in command\r\n"
         "500 5.5.2 Error: bare <CR> or <LF> in command\r\n250 2.0.0 Ok\r\n",
         {}},
        {"nothing after QUIT", "QUIT\r\nNOOP\r\nMAIL FROM:<>\r\n", bye, {"close"}},
        {"unfinished", start + "DATA\r\nhalf", start_ok + go, {begin, "abort"}},
        {"postmaster",
         "MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n.\r\n",
         start_ok + go + queued,
         {"begin <> postmaster@gate.test", "end "}},
    };
}

TEST(Conversation, IsTheSameHoweverItIsCut) {
    for (const conversation& c : conversations()) {
        SCOPED_TRACE(c.name);
        bool all_equal = false;
        const outcome got =
            converse_every_way({}, plain_settings(), "HELO x\r\n" + c.input, all_equal);
        EXPECT_EQ(got.output, std::string(banner) + hello + c.output);
        EXPECT_EQ(got.log, c.log);
        EXPECT_TRUE(all_equal);
    }
}

TEST(Conversation, MailBeforeHelloIsRefused) {
    const outcome got = converse({}, plain_settings(), "MAIL FROM:<>\r\n", {});
    EXPECT_EQ(got.output, std::string(banner) + "503 5.5.1 Error: send HELO/EHLO first\r\n");
}

TEST(Conversation, EhloOffersWhatTheConnectionAllows) {
    settings settings = plain_settings();
    settings.tls_available = true;
    const std::string always = "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n"
                               "250-SMTPUTF8\r\n250-CHUNKING\r\n"
                               "250 LIMITS MAILMAX=1000000 RCPTMAX=1000\r\n";
    EXPECT_EQ(converse({}, settings, "EHLO x\r\n", {}).output,
              std::string(banner) +
                  "250-gate.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n"
                  "250-STARTTLS\r\n" +
                  always);
    settings.implicit_tls = true;
    EXPECT_EQ(converse({}, settings, "EHLO x\r\n", {}).output,
              std::string(banner) +
                  "250-gate.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n"
                  "250-AUTH PLAIN LOGIN\r\n" +
                  always);
}

TEST(Conversation, TheEnvelopeHasWhatTheClientAskedFor) {
    const settings settings = plain_settings();
    scripted_handler handler;
    session session(settings, handler);
    handler.owner = &session;
    session.start();
    session.feed("EHLO client.test\r\n"
                 "MAIL FROM:<a@b.test> BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=id+2B1\r\n"
                 "RCPT TO:<\xc3\xbc@d.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@d.test\r\n"
                 "DATA\r\n.\r\n");
    const message::envelope& envelope = handler.last_envelope;
    EXPECT_EQ(envelope.sender, "a@b.test");
    EXPECT_EQ(envelope.body, message::body_type::eight_bit_mime);
    EXPECT_TRUE(envelope.smtputf8);
    EXPECT_EQ(envelope.ret, message::dsn_return::full);
    EXPECT_EQ(envelope.envelope_id, "id+2B1");
    EXPECT_EQ(envelope.client_helo, "client.test");
    ASSERT_EQ(envelope.recipients.size(), 1U);
    EXPECT_EQ(envelope.recipients[0].address, "\xc3\xbc@d.test");
    EXPECT_EQ(envelope.recipients[0].notify, message::notify_success | message::notify_delay);
    EXPECT_EQ(envelope.recipients[0].original, "rfc822;x@d.test");
    EXPECT_EQ(session.statistics().messages_accepted, 1U);
    EXPECT_EQ(session.protocol(true), "UTF8SMTP");
}

TEST(Conversation, NothingIsTakenWhileAnAnswerIsOwed) {
    const settings settings = plain_settings();
    scripted_handler handler;
    handler.answer_at_once = false;
    session session(settings, handler);
    handler.owner = &session;
    session.start();
    const std::string input =
        "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n.\r\nNOOP\r\n";
    EXPECT_EQ(session.feed(input), input.size() - 6);
    EXPECT_TRUE(session.waiting());
    EXPECT_EQ(session.deadline(), deadline_kind::none);
    EXPECT_EQ(session.feed("NOOP\r\n"), 0U);
    // A stop does not take the answer away from the client.
    session.shut_down();
    EXPECT_FALSE(session.closed());
    handler.answer();
    EXPECT_TRUE(session.closed());
    EXPECT_TRUE(handler.output.ends_with(
        "250 2.0.0 Ok: queued as ID\r\n421 4.3.2 Service shutting down, closing\r\n"));
}

TEST(Conversation, AnIdleSessionIsSmall) {
    EXPECT_LE(sizeof(session), 400U);
}

} // namespace
} // namespace ebbgate::session
