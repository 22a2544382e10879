#include "ebbgate/smtp/reply_parser.h"

#include <gtest/gtest.h>

#include <vector>

namespace ebbgate::smtp {
namespace {

struct parsed {
    std::vector<std::string> replies; // As lines.
    std::optional<reply_fault> fault;

    bool operator==(const parsed&) const = default;
};

parsed parse(byte_view wire, std::size_t cut) {
    reply_parser parser;
    parsed out;
    for (byte_view chunk : {wire.substr(0, cut), wire.substr(cut)}) {
        while (!chunk.empty() && !out.fault) {
            const reply_step step = parser.feed(chunk);
            chunk.remove_prefix(step.consumed_bytes);
            out.fault = step.fault;
            if (step.complete) {
                out.replies.push_back(to_line(parser.take()));
                EXPECT_TRUE(parser.idle());
            }
        }
    }
    return out;
}

struct reply_case {
    const char* name;
    std::string wire;
    parsed wanted;
};

std::vector<reply_case> cases() {
    std::string many;
    for (std::size_t i = 0; i <= reply_lines_max; ++i) {
        many += "250-x\r\n";
    }
    return {
        {"one line", "250 2.0.0 Ok\r\n", {{"250 2.0.0 Ok"}, {}}},
        {"no text", "250\r\n", {{"250"}, {}}},
        {"no enhanced status", "550 no\r\n", {{"550 no"}, {}}},
        {"several lines",
         "550-5.1.1 No such\r\n550-5.1.1 user\r\n550 5.1.1 here\r\n",
         {{"550 5.1.1 No such; user; here"}, {}}},
        {"pipelined", "250 a\r\n354 b\r\n", {{"250 a", "354 b"}, {}}},
        {"status of another class is text", "450 5.1.1 x\r\n", {{"450 5.1.1 x"}, {}}},
        {"controls are replaced", "550 a\x1b[1m\x01\tb\r\n", {{"550 a?[1m? b"}, {}}},
        {"code changes", "250-a\r\n550 b\r\n", {{}, reply_fault::code_changed}},
        {"no code", "hello\r\n", {{}, reply_fault::bad_code}},
        {"HTTP", "HTTP/1.1 200 OK\r\n", {{}, reply_fault::bad_code}},
        {"code out of range", "650 a\r\n", {{}, reply_fault::bad_code}},
        {"empty line", "\r\n", {{}, reply_fault::bad_code}},
        {"bad separator", "250:a\r\n", {{}, reply_fault::bad_separator}},
        {"bare LF", "250 a\n", {{}, reply_fault::bare_lf}},
        {"bare CR", "250 a\rb\r\n", {{}, reply_fault::bare_cr}},
        {"too many lines", many, {{}, reply_fault::too_many_lines}},
        {"line too long",
         "250 " + std::string(reply_read_line_bytes_max, 'x') + "\r\n",
         {{}, reply_fault::line_too_long}},
    };
}

TEST(ReplyParser, RepliesAreTheSameHoweverTheyAreCut) {
    for (const reply_case& c : cases()) {
        for (std::size_t cut = 0; cut <= c.wire.size(); ++cut) {
            ASSERT_EQ(parse(c.wire, cut), c.wanted) << c.name << ", cut at " << cut;
        }
    }
}

TEST(ReplyParser, TheTextIsBoundedInAll) {
    std::string wire;
    for (std::size_t i = 0; i < reply_lines_max - 1; ++i) {
        wire += "250-" + std::string(1000, 'x') + "\r\n";
    }
    EXPECT_EQ(parse(wire, 0).fault, reply_fault::text_too_long);
}

TEST(EhloResponse, KeywordsAreReadInAnyCase) {
    reply answer;
    answer.code = 250;
    answer.text = "mx.example Hello\nPipelining\nSIZE 1000\n8BITMIME\nSMTPUTF8\nSTARTTLS\n"
                  "AUTH LOGIN PLAIN XOAUTH2\nDSN\nCHUNKING\nENHANCEDSTATUSCODES\nX-UNKNOWN 1\n"
                  "LIMITS RCPTMAX=20 MAILMAX=5";
    const ehlo_response out = parse_ehlo_response(answer);
    EXPECT_EQ(out.name, "mx.example");
    EXPECT_TRUE(out.pipelining && out.eight_bit_mime && out.smtputf8 && out.starttls && out.dsn &&
                out.chunking && out.enhanced_status_codes && out.auth_plain && out.auth_login);
    EXPECT_EQ(out.message_bytes_max, 1000U);
    EXPECT_EQ(out.recipients_max, 20U);
    EXPECT_EQ(out.messages_max, 5U);
}

TEST(EhloResponse, TheFirstLineIsNoKeyword) {
    reply answer;
    answer.text = "STARTTLS";
    EXPECT_FALSE(parse_ehlo_response(answer).starttls);
}

} // namespace
} // namespace ebbgate::smtp
