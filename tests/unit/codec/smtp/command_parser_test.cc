#include "ebbgate/smtp/command_parser.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace ebbgate::smtp {
namespace {

struct fault_case {
    const char* name;
    std::string line;
    command_fault fault;
};

std::vector<fault_case> faults() {
    using enum command_fault;
    return {
        {"NUL", std::string("NO\0OP", 5), bad_character},
        {"escape in an argument", "NOOP \x1b[2J", bad_character},
        {"EHLO without a name", "EHLO", bad_ehlo},
        {"HELO without a name", "HELO  ", bad_helo},
        {"EHLO with two names", "EHLO a b", bad_ehlo},
        {"EHLO with header injection", "EHLO a)(\"b", bad_ehlo},
        {"EHLO not ASCII", "EHLO h\xc3\xa4", bad_ehlo},
        {"EHLO too long", "EHLO " + std::string(256, 'a'), bad_ehlo},
        {"MAIL alone", "MAIL", bad_mail},
        {"MAIL TO", "MAIL TO:<a@b.test>", bad_mail},
        {"MAIL without brackets", "MAIL FROM:a@b.test", bad_sender},
        {"MAIL with an open bracket", "MAIL FROM:<a@b.test", bad_sender},
        {"parameter glued on", "MAIL FROM:<a@b.test>SIZE=1", bad_mail},
        {"RCPT to nobody", "RCPT TO:<>", bad_recipient},
        {"RCPT without domain", "RCPT TO:<user>", bad_recipient},
        {"source route", "RCPT TO:<@a.test,@b.test:c@d.test>", source_route},
        {"sender with a route", "MAIL FROM:<@a.test:c@d.test>", source_route},
        {"UTF-8 unannounced", "MAIL FROM:<j\xc3\xb6rg@b.test>", needs_smtputf8},
        {"broken UTF-8", "MAIL FROM:<j\xc3@b.test> SMTPUTF8", bad_sender},
        {"SIZE without a value", "MAIL FROM:<> SIZE=", bad_parameter},
        {"SIZE negative", "MAIL FROM:<> SIZE=-1", bad_parameter},
        {"SIZE of 21 digits", "MAIL FROM:<> SIZE=100000000000000000000", bad_parameter},
        {"SIZE twice", "MAIL FROM:<> SIZE=1 size=2", repeated_parameter},
        {"BINARYMIME", "MAIL FROM:<> BODY=BINARYMIME", binary_mime},
        {"REQUIRETLS", "MAIL FROM:<> REQUIRETLS", require_tls},
        {"requiretls_behind", "MAIL FROM:<> SIZE=1 requiretls", require_tls},
        {"unknown body", "MAIL FROM:<> BODY=9BIT", bad_parameter},
        {"unknown parameter", "MAIL FROM:<> HOLDFOR=100", unknown_parameter},
        {"RET with nonsense", "MAIL FROM:<> RET=SOME", bad_parameter},
        {"ENVID not xtext", "MAIL FROM:<> ENVID=a+4", bad_parameter},
        {"ENVID with a line break", "MAIL FROM:<> ENVID=a+0D+0AX:", bad_parameter},
        {"ENVID too long", "MAIL FROM:<> ENVID=" + std::string(101, 'a'), bad_parameter},
        {"SMTPUTF8 with a value", "MAIL FROM:<> SMTPUTF8=1", bad_parameter},
        {"NOTIFY NEVER with others", "RCPT TO:<a@b.test> NOTIFY=NEVER,DELAY", bad_parameter},
        {"NOTIFY empty item", "RCPT TO:<a@b.test> NOTIFY=DELAY,", bad_parameter},
        {"ORCPT without a type", "RCPT TO:<a@b.test> ORCPT=a@b.test", bad_parameter},
        {"ORCPT with a line break", "RCPT TO:<a@b.test> ORCPT=rfc822;a+0Ab", bad_parameter},
        {"ORCPT twice", "RCPT TO:<a@b.test> ORCPT=rfc822;a ORCPT=rfc822;b", repeated_parameter},
        {"SIZE at RCPT", "RCPT TO:<a@b.test> SIZE=1", unknown_parameter},
        {"DATA with an argument", "DATA 5", unexpected_argument},
        {"QUIT with an argument", "QUIT now", unexpected_argument},
        {"STARTTLS with an argument", "STARTTLS x", unexpected_argument},
        {"BDAT alone", "BDAT", bad_bdat},
        {"BDAT with junk", "BDAT 1x", bad_bdat},
        {"BDAT with another word", "BDAT 1 FIRST", bad_bdat},
        {"BDAT with a third word", "BDAT 1 LAST 2", bad_bdat},
        {"AUTH alone", "AUTH", bad_auth},
        {"AUTH with two responses", "AUTH PLAIN a b", bad_auth},
        {"VRFY alone", "VRFY", bad_vrfy},
    };
}

TEST(CommandParser, EachMistakeHasItsFault) {
    for (const fault_case& c : faults()) {
        const auto parsed = parse_command(c.line, false);
        ASSERT_FALSE(parsed.has_value()) << c.name;
        EXPECT_EQ(parsed.error(), c.fault) << c.name;
        EXPECT_GE(reply_for(parsed.error()).code(), 500) << c.name;
    }
}

TEST(CommandParser, VerbsAreReadInAnyCase) {
    struct verb_case {
        byte_view line;
        verb wanted;
    };

    for (const verb_case& c : {
             verb_case{"ehlo a", verb::ehlo},
             verb_case{"HeLo a", verb::helo},
             verb_case{"data", verb::data},
             verb_case{"RSET  ", verb::rset},
             verb_case{"NOOP anything at all", verb::noop},
             verb_case{"VRFY x", verb::vrfy},
             verb_case{"HELP MAIL", verb::help},
             verb_case{"quit", verb::quit},
             verb_case{"StartTLS", verb::starttls},
             verb_case{"EXPN list", verb::unimplemented},
             verb_case{"ETRN x", verb::unimplemented},
             verb_case{"XCLIENT ADDR=1.2.3.4", verb::unimplemented},
             verb_case{"XFORWARD ADDR=1.2.3.4", verb::unimplemented},
             verb_case{"PROXY TCP4 1.1.1.1 2.2.2.2 1 2", verb::unimplemented},
             verb_case{"GET / HTTP/1.1", verb::http},
             verb_case{"POST / HTTP/1.1", verb::http},
             verb_case{"", verb::unknown},
             verb_case{" NOOP", verb::unknown},
             verb_case{"MAILFROM:<a@b.test>", verb::unknown},
             verb_case{"DAT", verb::unknown},
             verb_case{"DATAX", verb::unknown},
             verb_case{"M\x01IL", verb::unknown},
         }) {
        EXPECT_EQ(verb_of(c.line), c.wanted) << c.line;
        if (c.line != "M\x01IL") {
            const auto parsed = parse_command(c.line, false);
            ASSERT_TRUE(parsed.has_value()) << c.line;
            EXPECT_EQ(parsed->verb, c.wanted) << c.line;
        }
    }
}

TEST(CommandParser, MailWithEveryParameter) {
    const auto parsed = parse_command("mail from: <J\xc3\xb6rg@b.test>  Size=12345 BODY=8bitmime "
                                      "SMTPUTF8 RET=HDRS ENVID=QQ314159 AUTH=<>",
                                      false);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->path.text, "J\xc3\xb6rg@b.test");
    EXPECT_TRUE(parsed->path.utf8);
    EXPECT_EQ(parsed->mail.message_bytes, 12345U);
    EXPECT_EQ(parsed->mail.body, body_kind::eight_bit_mime);
    EXPECT_EQ(parsed->mail.ret, dsn_return_kind::headers);
    EXPECT_TRUE(parsed->mail.smtputf8);
    EXPECT_EQ(parsed->mail.envelope_id, "QQ314159");
    EXPECT_EQ(parsed->mail.submitter, "<>");
}

TEST(CommandParser, NullSender) {
    const auto parsed = parse_command("MAIL FROM:<>", false);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_TRUE(parsed->path.null());
}

TEST(CommandParser, SizesOf64BitsAndMoreDoNotWrap) {
    constexpr auto largest = std::numeric_limits<std::uint64_t>::max();
    EXPECT_EQ(parse_command("MAIL FROM:<> SIZE=18446744073709551615", false)->mail.message_bytes,
              largest);
    EXPECT_EQ(parse_command("MAIL FROM:<> SIZE=18446744073709551617", false)->mail.message_bytes,
              largest);
    EXPECT_EQ(parse_command("BDAT 99999999999999999999", false)->chunk_bytes, largest);
}

TEST(CommandParser, RecipientWithDsnParameters) {
    const auto parsed =
        parse_command("RCPT TO:<u@b.test> NOTIFY=success,FAILURE ORCPT=rfc822;u+2Bx@b.test", false);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->recipient.notify, notify_success_bit | notify_failure_bit);
    EXPECT_EQ(parsed->recipient.original, "rfc822;u+2Bx@b.test");
    EXPECT_EQ(parse_command("RCPT TO:<u@b.test> NOTIFY=NEVER", false)->recipient.notify,
              notify_never_bit);
}

TEST(CommandParser, Utf8RecipientNeedsATransactionThatSaysSo) {
    constexpr byte_view line = "RCPT TO:<\xe7\x94\xa8\xe6\x88\xb7@\xe4\xbe\x8b.test> "
                               "ORCPT=utf-8;\xe7\x94\xa8@x.test";
    EXPECT_TRUE(parse_command(line, true).has_value());
    EXPECT_EQ(parse_command(line, false).error(), command_fault::needs_smtputf8);
}

TEST(CommandParser, PostmasterNeedsNoDomain) {
    const auto parsed = parse_command("RCPT TO:<Postmaster>", false);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->path.text, "Postmaster");
    EXPECT_TRUE(parsed->path.domain.empty());
}

TEST(CommandParser, BdatAndAuthArguments) {
    const auto chunk = parse_command("bdat 1000 last", false);
    ASSERT_TRUE(chunk.has_value());
    EXPECT_EQ(chunk->chunk_bytes, 1000U);
    EXPECT_TRUE(chunk->last_chunk);
    const auto auth = parse_command("AUTH plain AGEAYg==", false);
    ASSERT_TRUE(auth.has_value());
    EXPECT_EQ(auth->argument, "plain");
    EXPECT_TRUE(auth->has_initial_response);
    EXPECT_EQ(auth->initial_response, "AGEAYg==");
    EXPECT_FALSE(parse_command("AUTH LOGIN", false)->has_initial_response);
}

} // namespace
} // namespace ebbgate::smtp
