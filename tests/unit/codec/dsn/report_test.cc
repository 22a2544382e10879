#include "ebbgate/mail/header_scanner.h"

#include "report_cases.h"
#include "report_structure.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ebbgate::dsn {
namespace {

TEST(DsnReport, IsWellFormedInEveryCase) {
    for (const report_case& c : report_cases()) {
        SCOPED_TRACE(c.name);
        const written_report written = write_report(c.report);
        const auto parts = checked_parts(written);
        for (const found_recipient& one : c.found) {
            EXPECT_NE(parts[1].find("Action: " + one.action + "\r\n"), std::string::npos);
            EXPECT_NE(parts[1].find("Status: " + one.status + "\r\n"), std::string::npos);
            if (!one.original.empty()) {
                EXPECT_NE(parts[1].find("Original-Recipient: " + one.original + "\r\n"),
                          std::string::npos);
            }
        }
        EXPECT_EQ(count_of(parts[1], "\r\nFinal-Recipient: "), c.found.size());
        EXPECT_EQ(count_of(parts[1], "\r\nAction: "), c.found.size());
        EXPECT_NE(parts[2].find("Content-Type: " + c.last_type + "\r\n"), std::string::npos);
        EXPECT_NE(written.text.find("Auto-Submitted: auto-replied\r\n"), std::string::npos);
        EXPECT_EQ(written.text.find("Bcc:"),
                  written.text.find("Bcc: x@y") == std::string::npos
                      ? std::string::npos
                      : written.text.find(" Bcc: x@y") + 1);
    }
}

const report& case_named(const std::vector<report_case>& all, std::string_view name) {
    for (const report_case& c : all) {
        if (c.name == name) {
            return c.report;
        }
    }
    EBBGATE_ASSERT(false);
    return all.front().report;
}

TEST(DsnReport, SaysItInWordsFirst) {
    const auto all = report_cases();
    const auto words = [&](std::string_view name) {
        return checked_parts(write_report(case_named(all, name)))[0];
    };
    EXPECT_NE(words("several").find("could not be delivered to the 3 recipients below."),
              std::string::npos);
    EXPECT_NE(words("several").find("The mailbox is full."), std::string::npos);
    EXPECT_NE(
        words("failed").find("<bob@example.org>\r\n    The mail server mx.example.org said:\r\n"
                             "        550 5.1.1 No such user\r\n"),
        std::string::npos);
    EXPECT_NE(words("delayed").find("you need not send it again"), std::string::npos);
    EXPECT_NE(words("delayed").find("It will be tried until "), std::string::npos);
    std::string relayed = words("relayed");
    std::erase(relayed, '\r');
    std::ranges::replace(relayed, '\n', ' ');
    EXPECT_NE(relayed.find("to a mail server that will not confirm"), std::string::npos);
    EXPECT_NE(words("delivered").find("was delivered to the recipient below"), std::string::npos);
    EXPECT_NE(words("failed_and_delayed").find("has not reached the recipient below yet"),
              std::string::npos);
    EXPECT_NE(words("failed").find("Subject: Gr=C3=BC=C3=9Fe to you"), std::string::npos);
    EXPECT_NE(words("failed_all_parameters").find("(you wrote to Bob+news@example.com)"),
              std::string::npos);
}

TEST(DsnReport, ShowsNothingOfOurNetwork) {
    const auto all = report_cases();
    const auto parts = checked_parts(write_report(case_named(all, "expired")));
    EXPECT_EQ((parts[0] + parts[1]).find("10.20.30.40"), std::string::npos);
    EXPECT_NE(parts[1].find("Diagnostic-Code: x-ebbgate; connect to [private address]:25: "),
              std::string::npos);
    EXPECT_NE(parts[2].find("Received: from [10.1.2.3] by app"),
              std::string::npos); // The sender's.
}

TEST(DsnReport, ReturnsTheMessageWhenAskedAndSmall) {
    using enum message::dsn_return;
    EXPECT_TRUE(returns_whole(full, true, returned_bytes_max));
    EXPECT_FALSE(returns_whole(full, true, returned_bytes_max + 1));
    EXPECT_FALSE(returns_whole(full, false, 1));
    EXPECT_FALSE(returns_whole(headers, true, 1));
    EXPECT_FALSE(returns_whole(unset, true, 1));
    const auto all = report_cases();
    report about = case_named(all, "failed_whole");
    auto parts = checked_parts(write_report(about));
    EXPECT_TRUE(parts[2].ends_with("\r\n\r\n" + std::string(usual_whole) + "\r\n"));
    const std::string large(returned_bytes_max + 1, 'x');
    for (const std::string& whole : {large,
                                     std::string("A: b\r\n\r\na\nb\r\n"),
                                     std::string("A\0", 2),
                                     "A: b\r\n\r\n" + std::string(999, 'x') + "\r\n"}) {
        about.whole = whole;
        parts = checked_parts(write_report(about));
        EXPECT_NE(parts[2].find("text/rfc822-headers"), std::string::npos);
    }
}

TEST(DsnReport, AnswersTheMessage) {
    const written_report written = write_report(report_cases().front().report);
    EXPECT_NE(written.text.find("\r\nIn-Reply-To: <4711@acme.example>\r\n"
                                "References: <4711@acme.example>\r\n"),
              std::string::npos);
    EXPECT_NE(written.text.find("\r\nMessage-ID: <01ABC@gate.example.net>\r\n"), std::string::npos);
    EXPECT_TRUE(
        written.text.starts_with("Date: Tue, 24 Nov 2026 15:58:20 +0000\r\n"
                                 "From: Mail Delivery System "
                                 "<MAILER-DAEMON@gate.example.net>\r\nTo: <ann@acme.example>\r\n"));
    EXPECT_FALSE(written.smtputf8 || written.eight_bit);
}

TEST(DsnReport, SaysWhatItNeeds) {
    const auto all = report_cases();
    EXPECT_TRUE(write_report(case_named(all, "global")).smtputf8);
    report about = case_named(all, "global");
    about.sender = "ann@acme.example"; // Its server need not know SMTPUTF8.
    const written_report written = write_report(about);
    EXPECT_FALSE(written.smtputf8);
    EXPECT_TRUE(written.eight_bit);
    about.smtputf8 = false;
    const auto parts = checked_parts(write_report(about));
    EXPECT_NE(parts[1].find("Content-Type: message/delivery-status"), std::string::npos);
    EXPECT_NE(parts[1].find("Final-Recipient: utf-8; \\x{7530}@example.org\r\n"),
              std::string::npos);
}

TEST(DsnReport, ManyRecipientsAreInTheStatus) {
    report about = usual_report();
    for (int i = 0; i < 1'000; ++i) {
        about.recipients.push_back(refused("user" + std::to_string(i) + "@example.org"));
    }
    const auto parts = checked_parts(write_report(about));
    EXPECT_EQ(count_of(parts[1], "\r\nFinal-Recipient: "), 1'000U);
    EXPECT_EQ(count_of(parts[0], "<user"), recipients_in_words_max);
    EXPECT_NE(parts[0].find("And 950 more recipients"), std::string::npos);
}

} // namespace
} // namespace ebbgate::dsn
