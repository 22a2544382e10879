#include "scripted_handler.h"

#include <gtest/gtest.h>

namespace ebbgate::session {
namespace {

struct login_case {
    const char* name;
    std::string input; // After EHLO.
    std::string output;
    std::vector<std::string> log;
};

std::vector<login_case> logins() {
    const std::string ok = "235 2.7.0 Authentication successful\r\n";
    const std::string name = "334 VXNlcm5hbWU6\r\n";
    const std::string password = "334 UGFzc3dvcmQ6\r\n";
    return {
        {"PLAIN at once", "AUTH PLAIN |user|secret\r\n", ok, {"authenticate user secret"}},
        {"PLAIN asked for",
         "auth plain\r\n|user|secret\r\n",
         "334 \r\n" + ok,
         {"authenticate user secret"}},
        {"PLAIN for oneself", "AUTH PLAIN user|user|secret\r\n", ok, {"authenticate user secret"}},
        {"PLAIN for somebody else",
         "AUTH PLAIN boss|user|secret\r\n",
         "535 5.7.8 Error: authentication failed\r\n",
         {}},
        {"PLAIN malformed",
         "AUTH PLAIN user|secret\r\n",
         "501 5.5.2 Malformed authentication response\r\n",
         {}},
        {"PLAIN with a third NUL",
         "AUTH PLAIN |user|sec|ret\r\n",
         "501 5.5.2 Malformed authentication response\r\n",
         {}},
        {"PLAIN empty", "AUTH PLAIN =\r\n", "501 5.5.2 Malformed authentication response\r\n", {}},
        {"LOGIN",
         "AUTH LOGIN\r\nuser\r\nsecret\r\n",
         name + password + ok,
         {"authenticate user secret"}},
        {"LOGIN with a name",
         "AUTH LOGIN user\r\nsecret\r\n",
         password + ok,
         {"authenticate user secret"}},
        {"LOGIN with a NUL",
         "AUTH LOGIN\r\nus|er\r\n",
         name + "501 5.5.2 Malformed authentication response\r\n",
         {}},
        {"given up",
         "AUTH LOGIN\r\n*\r\nNOOP\r\n",
         name + "501 5.7.0 Authentication aborted\r\n250 2.0.0 Ok\r\n",
         {}},
        {"not base64",
         "AUTH LOGIN\r\n!\r\nNOOP\r\n",
         name + "501 5.5.2 Cannot decode base64 response\r\n250 2.0.0 Ok\r\n",
         {}},
        {"initial response not base64",
         "AUTH PLAIN !\r\n",
         "501 5.5.2 Cannot decode base64 response\r\n",
         {}},
        {"bare LF",
         "AUTH LOGIN\r\nuser\nNOOP\r\n",
         name + "501 5.5.2 Malformed authentication response\r\n250 2.0.0 Ok\r\n",
         {}},
        {"other mechanism",
         "AUTH CRAM-MD5\r\n",
         "504 5.5.4 Unrecognized authentication mechanism\r\n",
         {}},
        {"twice",
         "AUTH PLAIN |user|secret\r\nAUTH PLAIN |user|secret\r\n",
         ok + "503 5.5.1 Error: already authenticated\r\n",
         {"authenticate user secret"}},
        {"during mail",
         "AUTH PLAIN |a|b\r\nMAIL FROM:<>\r\nAUTH PLAIN |a|b\r\n",
         ok + "250 2.1.0 Ok\r\n503 5.5.1 Error: AUTH not allowed during a mail transaction\r\n",
         {"authenticate a b"}},
        {"mail without it", "MAIL FROM:<>\r\n", "530 5.7.0 Authentication required\r\n", {}},
        {"mail after it",
         "AUTH PLAIN |a|b\r\nMAIL FROM:<>\r\n",
         ok + "250 2.1.0 Ok\r\n",
         {"authenticate a b"}},
        {"password too long",
         "AUTH PLAIN |a|" + std::string(1025, 'p') + "\r\n",
         "535 5.7.8 Error: authentication failed\r\n",
         {}},
    };
}

outcome run(const scripted_handler& handler, const std::string& input, bool& all_equal) {
    outcome got = converse_every_way(handler, tls_settings(), "EHLO x\r\n" + input, all_equal);
    const std::string last = "250 LIMITS MAILMAX=1000000 RCPTMAX=1000\r\n";
    got.output = got.output.substr(got.output.find(last) + last.size());
    return got;
}

TEST(Authenticate, EveryDialogueSurvivesAnyCut) {
    for (const login_case& c : logins()) {
        SCOPED_TRACE(c.name);
        scripted_handler handler;
        handler.relay_allowed = false;
        bool all_equal = false;
        const outcome got = run(handler, c.input, all_equal);
        EXPECT_EQ(got.output, c.output);
        EXPECT_EQ(got.log, c.log);
        EXPECT_TRUE(all_equal);
    }
}

TEST(Authenticate, ThreeFailuresEndTheSession) {
    scripted_handler handler;
    handler.login_result = authentication_result::rejected;
    bool all_equal = false;
    const std::string attempt = "AUTH PLAIN |a|b\r\n";
    const std::string failed = "535 5.7.8 Error: authentication failed\r\n";
    const outcome got = run(handler, attempt + attempt + attempt + attempt, all_equal);
    EXPECT_EQ(got.output,
              failed + failed + failed +
                  "421 4.7.0 Error: too many failed authentications, closing\r\n");
    EXPECT_EQ(got.log.size(), 4U);
    EXPECT_TRUE(all_equal);
}

TEST(Authenticate, AnOutageIsNotHeldAgainstTheClient) {
    scripted_handler handler;
    handler.login_result = authentication_result::unavailable;
    bool all_equal = false;
    std::string input;
    std::string output;
    for (int i = 0; i < 5; ++i) {
        input += "AUTH PLAIN |a|b\r\n";
        output += "454 4.7.0 Temporary authentication failure\r\n";
    }
    EXPECT_EQ(run(handler, input, all_equal).output, output);
    EXPECT_TRUE(all_equal);
}

TEST(Authenticate, InTheClearItIsRefusedAndReported) {
    settings settings = plain_settings();
    settings.tls_available = true;
    scripted_handler handler;
    handler.relay_allowed = false;
    const outcome got =
        converse(handler, settings, "EHLO x\r\nAUTH PLAIN |a|b\r\nMAIL FROM:<>\r\n", {});
    EXPECT_TRUE(got.output.ends_with(
        "538 5.7.11 Encryption required for requested authentication mechanism\r\n"
        "530 5.7.0 Must issue a STARTTLS command first\r\n"));
    EXPECT_EQ(got.strikes, std::vector<strike_cause>{strike_cause::insecure_authentication});
    EXPECT_EQ(got.output.find("AUTH"), std::string::npos);
}

TEST(Authenticate, InTheClearItIsAStrikeWhateverCameBefore) {
    settings settings = plain_settings();
    settings.tls_available = true;
    for (const std::string greeting : {"", "HELO x\r\n"}) {
        const outcome got = converse({}, settings, greeting + "AUTH PLAIN |a|b\r\n", {});
        EXPECT_TRUE(got.output.ends_with(
            "538 5.7.11 Encryption required for requested authentication mechanism\r\n"));
        EXPECT_EQ(got.strikes, std::vector<strike_cause>{strike_cause::insecure_authentication});
    }
}

TEST(Authenticate, TheThirdStrikeEndsTheSessionBehindItsReply) {
    scripted_handler handler;
    handler.login_result = authentication_result::rejected;
    handler.strikes_to_ban = 3;
    settings settings = tls_settings();
    settings.limits.authentications_failed_max = 100;
    bool all_equal = false;
    const outcome got = converse_every_way(handler,
                                           settings,
                                           "EHLO x\r\nAUTH PLAIN boss|user|x\r\n"
                                           "MAIL FROM:<spoofed@b.test>\r\n"
                                           "MAIL FROM:<later@b.test>\r\n"
                                           "AUTH PLAIN |a|b\r\nNOOP\r\n",
                                           all_equal);
    EXPECT_TRUE(all_equal);
    EXPECT_TRUE(got.output.ends_with("535 5.7.8 Error: authentication failed\r\n553 5.7.1 no\r\n"
                                     "452 4.3.1 Insufficient system storage\r\n"
                                     "535 5.7.8 Error: authentication failed\r\n"))
        << got.output;
    using enum strike_cause;
    EXPECT_EQ(got.strikes, (std::vector<strike_cause>{login, sender, login}));
    EXPECT_EQ(got.log.back(), "close");
}

TEST(Authenticate, AForgedMessageIsAStrike) {
    scripted_handler handler;
    handler.from_is_forged = true;
    handler.strikes_to_ban = 3;
    bool all_equal = false;
    std::string input = "EHLO x\r\n";
    for (int i = 0; i < 4; ++i) {
        input += "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx\r\n.\r\n";
    }
    const outcome got = converse_every_way(handler, plain_settings(), input, all_equal);
    EXPECT_TRUE(all_equal);
    EXPECT_TRUE(got.output.ends_with("354 End data with <CR><LF>.<CR><LF>\r\n553 5.7.1 no\r\n"));
    EXPECT_EQ(got.strikes.size(), 3U);
    EXPECT_EQ(got.log.back(), "close");
}

TEST(Authenticate, HeloIsNotEnough) {
    const outcome got = converse({}, tls_settings(), "HELO x\r\nAUTH PLAIN |a|b\r\n", {});
    EXPECT_TRUE(got.output.ends_with("503 5.5.1 Error: send EHLO first\r\n"));
}

TEST(Authenticate, TheAccountsLimitIsAnnouncedNext) {
    const settings settings = tls_settings();
    scripted_handler handler;
    session session(settings, handler);
    handler.owner = &session;
    session.start();
    session.feed("EHLO x\r\nAUTH PLAIN |a|b\r\n");
    session.set_message_bytes_max(77);
    handler.output.clear();
    session.feed("EHLO x\r\nMAIL FROM:<> SIZE=78\r\n");
    EXPECT_NE(handler.output.find("250-SIZE 77\r\n"), std::string::npos);
    EXPECT_TRUE(handler.output.ends_with("552 5.3.4 Message size exceeds fixed limit\r\n"));
    EXPECT_EQ(handler.output.find("AUTH"), std::string::npos);
    EXPECT_EQ(session.protocol(false), "ESMTPSA");
}

TEST(Authenticate, ALossBeforeTheReplyCanBeSeen) {
    const settings settings = tls_settings();
    scripted_handler handler;
    handler.answer_at_once = false;
    session session(settings, handler);
    handler.owner = &session;
    session.start();
    session.feed("EHLO x\r\nAUTH LOGIN\r\n");
    EXPECT_TRUE(session.authenticating());
    EXPECT_EQ(session.deadline(), deadline_kind::sasl);
    session.feed("user\r\nsecret\r\n");
    EXPECT_TRUE(session.authenticating());
    session.connection_lost();
    session.authentication_finished(authentication_result::accepted);
    EXPECT_FALSE(session.authenticated());
}

} // namespace
} // namespace ebbgate::session
