// Every limit has a reply, and its counter starts again where it should.

#include "scripted_handler.h"

#include <gtest/gtest.h>

namespace ebbgate::session {
namespace {

std::string repeated(const std::string& text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
        out += text;
    }
    return out;
}

TEST(Limits, TooManyErrorsEndTheSession) {
    settings settings = plain_settings();
    settings.limits.errors_max = 3;
    const outcome got = converse({}, settings, repeated("WHAT\r\n", 10), {});
    EXPECT_TRUE(got.output.ends_with("500 5.5.2 Error: command not recognized\r\n"
                                     "421 4.7.0 Error: too many errors, closing\r\n"));
    EXPECT_EQ(got.log, std::vector<std::string>{"close"});
}

TEST(Limits, AMessageForgivesErrors) {
    settings settings = plain_settings();
    settings.limits.errors_max = 3;
    const std::string message = "MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n.\r\n";
    const outcome got = converse(
        {}, settings, "HELO x\r\n" + repeated("WHAT\r\nWHAT\r\n" + message, 5) + "QUIT\r\n", {});
    EXPECT_TRUE(got.output.ends_with("221 2.0.0 Bye\r\n"));
}

TEST(Limits, DeadRecipientsAreNotErrors) {
    settings settings = plain_settings();
    settings.limits.errors_max = 3;
    settings.limits.refused_recipients_max = 50;
    const std::string refused = "RCPT TO:<refused@b.test>\r\n";
    const std::string begin = "HELO x\r\nMAIL FROM:<>\r\n";
    EXPECT_TRUE(converse({}, settings, begin + repeated(refused, 49) + "QUIT\r\n", {})
                    .output.ends_with("221 2.0.0 Bye\r\n"));
    EXPECT_TRUE(converse({}, settings, begin + repeated(refused, 60), {})
                    .output.ends_with("421 4.7.0 Error: too many refused recipients, closing\r\n"));
}

TEST(Limits, ExcessRecipientsAreRefusedForNow) {
    settings settings = plain_settings();
    settings.limits.recipients_per_message_max = 2;
    const outcome got = converse({},
                                 settings,
                                 "HELO x\r\nMAIL FROM:<>\r\n" +
                                     repeated("RCPT TO:<a@b.test>\r\n", 3) + "DATA\r\n.\r\n",
                                 {});
    EXPECT_NE(got.output.find("250 2.1.5 Ok\r\n452 4.5.3 Too many recipients\r\n354 "),
              std::string::npos);
    EXPECT_EQ(got.log[0], "begin <> a@b.test a@b.test");
}

TEST(Limits, CommandsWithoutAMessageAreCounted) {
    settings settings = plain_settings();
    settings.limits.commands_without_message_max = 10;
    EXPECT_TRUE(
        converse({}, settings, repeated("NOOP\r\n", 11), {})
            .output.ends_with("421 4.7.0 Error: too many commands without a message, closing\r\n"));
    // Empty chunks are commands, full ones are a message.
    const std::string begin = "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n";
    EXPECT_TRUE(converse({}, settings, begin + repeated("BDAT 0\r\n", 20), {})
                    .output.ends_with("closing\r\n"));
    EXPECT_TRUE(converse({}, settings, begin + repeated("BDAT 1\r\nx", 20) + "BDAT 0 LAST\r\n", {})
                    .output.ends_with("queued as ID\r\n"));
}

TEST(Limits, CommandsOfASessionAreCountedAlsoWithMessages) {
    settings settings = plain_settings();
    settings.limits.commands_max = 10;
    const std::string mail = "MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nBDAT 0 LAST\r\n";
    EXPECT_TRUE(converse({}, settings, "HELO x\r\n" + repeated(mail, 3), {})
                    .output.ends_with("queued as ID\r\n"));
    EXPECT_TRUE(converse({}, settings, "HELO x\r\n" + repeated(mail, 4), {})
                    .output.ends_with("421 4.7.0 Error: too many commands, closing\r\n"));
}

TEST(Limits, WhatIsRefusedIsToldOnceForTheLog) {
    settings settings = plain_settings();
    settings.limits.message_bytes_max = 20;
    settings.limits.errors_max = 4;
    const std::string mail = "MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n";
    const auto seen = converse({},
                               settings,
                               "HELO x\r\nMAIL FROM:<> SIZE=21\r\n" + mail + "DATA\r\n" +
                                   std::string(30, 'x') + "\r\n.\r\n" + mail + "BDAT 30\r\n" +
                                   std::string(30, 'x') + "BDAT 1 LAST\r\nx" + "RSET\r\nFOO\r\n",
                               {});
    EXPECT_EQ(seen.refusals,
              (std::vector<std::string>{"mail 552 5.3.4 Message size exceeds fixed limit",
                                        "data 552 5.3.4 Message size exceeds fixed limit",
                                        "bdat 552 5.3.4 Chunk exceeds message size limit",
                                        "unknown 421 4.7.0 Error: too many errors, closing"}));
    const auto smuggled = converse({}, settings, "HELO x\r\n" + mail + "DATA\r\nx\n.\r\n", {});
    EXPECT_EQ(
        smuggled.refusals,
        std::vector<std::string>{"data 521 5.5.2 Bare <LF> received, message refused, closing"});
}

TEST(Limits, MessagesPerSession) {
    settings settings = plain_settings();
    settings.limits.messages_per_session_max = 1;
    const std::string message = "MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n.\r\n";
    const outcome got = converse({}, settings, "HELO x\r\n" + message + message, {});
    EXPECT_TRUE(got.output.ends_with(
        "queued as ID\r\n421 4.7.0 Error: too many messages in one session, closing\r\n"));
}

TEST(Limits, AnEndlessRefusedMessageIsNotReadForEver) {
    settings settings = plain_settings();
    settings.limits.swallowed_bytes_max = 5000;
    const outcome got = converse({},
                                 settings,
                                 "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n" +
                                     repeated("a line\r\n", 1000),
                                 {});
    EXPECT_TRUE(got.output.ends_with("552 5.3.4 Message size exceeds fixed limit\r\n"));
    EXPECT_EQ(got.log, (std::vector<std::string>{"begin <> a@b.test", "abort", "close"}));
}

TEST(Limits, AnEndlessLineEndsTheSession) {
    const outcome got = converse({}, plain_settings(), std::string(100'000, 'x'), {});
    EXPECT_TRUE(got.output.ends_with("500 5.5.2 Error: line too long\r\n"));
    EXPECT_EQ(got.log, std::vector<std::string>{"close"});
}

TEST(Limits, RefusalsOfTheHandlerAreRepliesAsTheyAre) {
    scripted_handler handler;
    handler.client_refusal = smtp::reply(smtp::reply_table::banned);
    const outcome refused = converse(handler, plain_settings(), "HELO x\r\n", {});
    EXPECT_EQ(refused.output, "554 5.7.1 Access denied\r\n");
    EXPECT_EQ(refused.log, std::vector<std::string>{"close"});

    scripted_handler full;
    full.begin_refusal = smtp::reply(smtp::reply_table::storage_full);
    const std::string begin = "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n";
    EXPECT_TRUE(converse(full, plain_settings(), begin + "DATA\r\n", {})
                    .output.ends_with("452 4.3.1 Insufficient system storage\r\n"));
    EXPECT_TRUE(converse(full, plain_settings(), begin + "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", {})
                    .output.ends_with("452 4.3.1 Insufficient system storage\r\n250 2.0.0 Ok\r\n"));
}

TEST(Limits, TimeAndShutdownHaveReplies) {
    const settings settings = plain_settings();
    for (const bool stopping : {false, true}) {
        scripted_handler handler;
        session session(settings, handler);
        handler.owner = &session;
        session.start();
        session.feed("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nhalf");
        EXPECT_EQ(session.deadline(), deadline_kind::data);
        stopping ? session.shut_down() : session.timed_out();
        EXPECT_TRUE(
            handler.output.ends_with(stopping ? "421 4.3.2 Service shutting down, closing\r\n"
                                              : "421 4.4.2 Error: timeout exceeded, closing\r\n"));
        EXPECT_EQ(handler.log, (std::vector<std::string>{"begin <> a@b.test", "abort", "close"}));
        EXPECT_EQ(session.deadline(), deadline_kind::closed);
        session.timed_out();
        session.close_with(smtp::reply_table::too_busy);
        EXPECT_EQ(handler.log.size(), 3U);
    }
}

} // namespace
} // namespace ebbgate::session
