#include "stage/content/header_repair.h"

#include <gtest/gtest.h>

namespace ebbgate::content {
namespace {

constexpr repair_values values{"ID", "h.example", 1'795'535'813};
constexpr std::string_view id = "Message-ID: <ID@h.example>\r\n";
constexpr std::string_view date = "Date: Tue, 24 Nov 2026 15:56:53 +0000\r\n";

std::expected<repaired_header, header_refusal> repaired(const std::string& wire) {
    mail::header_scanner scanner;
    scanner.feed(wire);
    scanner.finish();
    return repair(scanner, values);
}

std::string received(int hops) {
    std::string out;
    for (int hop = 0; hop < hops; ++hop) {
        out += hop % 2 == 0 ? "Received: from a\r\n by b; x\r\n" : "RECEIVED: by c\r\n";
    }
    return out;
}

struct repair_case {
    const char* what;
    std::string wire;
    std::string leaves; // The header; the rest of the wire form follows.
};

TEST(HeaderRepair, ChangesWhatItMustAndNothingElse) {
    const std::string ours = std::string(id) + std::string(date);
    const std::string theirs = "date:x\r\nMESSAGE-ID: <y>\r\n";
    const repair_case cases[] = {
        {"nothing missing",
         theirs + "Subject:  a\r\n\tb\r\n\r\n",
         theirs + "Subject:  a\r\n\tb\r\n\r\n"},
        {"both missing", "From: a\r\n\r\n", "From: a\r\n" + ours + "\r\n"},
        {"no field at all", "\r\n", ours + "\r\n"},
        {"nothing at all", "", ours + "\r\n"},
        {"no Date", "Message-ID: <y>\r\n\r\n", "Message-ID: <y>\r\n" + std::string(date) + "\r\n"},
        {"no Message-ID", "Date: x\r\n\r\n", "Date: x\r\n" + std::string(id) + "\r\n"},
        {"empty ones", "Date:\r\nMessage-ID: \r\n \t\r\nA: b\r\n\r\n", "A: b\r\n" + ours + "\r\n"},
        {"Bcc",
         "Bcc: a\r\n" + theirs + "bcc : b\r\n c\r\nResent-Bcc: d\r\nA: b\r\nBCC:\r\n\r\n",
         theirs + "A: b\r\n\r\n"},
        {"like Bcc",
         theirs + "X-Bcc: a\r\nBcc-: a\r\n\r\n",
         theirs + "X-Bcc: a\r\nBcc-: a\r\n\r\n"},
        {"stuffed",
         theirs + "..A: b\r\nBcc: x\r\n. y\r\n.C: d\r\n\r\n",
         theirs + "..A: b\r\n.C: d\r\n\r\n"},
        {"stuffed Bcc", ".Bcc: a\r\n" + theirs + "\r\n", theirs + "\r\n"},
        {"no empty line", theirs + "hello\r\n", theirs + "\r\n"},
        {"no empty line, no body", theirs, theirs + "\r\n"},
        {"mbox line", "From a@b\r\n" + theirs + "\r\n", theirs + "\r\n"},
        {"twice alike",
         theirs + "Subject: a\r\nsubject:  a \r\nTo: b\r\n c\r\nTo: b c\r\n\r\n",
         theirs + "Subject: a\r\nTo: b\r\n c\r\n\r\n"},
        {"may repeat",
         theirs + "Received: a\r\nReceived: b\r\nReferences: a\r\nReferences: b\r\n\r\n",
         theirs + "Received: a\r\nReceived: b\r\nReferences: a\r\nReferences: b\r\n\r\n"},
        {"TLS-Required (RFC 8689 5)",
         theirs + "TLS-Required: No\r\n\r\n",
         theirs + "TLS-Required: No\r\n\r\n"},
        {"as many hops as may be",
         theirs + received(100) + "X-Received: a\r\n\r\n",
         theirs + received(100) + "X-Received: a\r\n\r\n"},
        {"one From", theirs + "From: a\r\n\r\n", theirs + "From: a\r\n\r\n"},
    };
    for (const repair_case& c : cases) {
        SCOPED_TRACE(c.what);
        const auto got = repaired(c.wire);
        ASSERT_TRUE(got.has_value());
        const std::string leaves = assembled(*got, c.wire);
        EXPECT_EQ(leaves, c.leaves);
        EXPECT_EQ(got->unchanged(), c.wire.starts_with(c.leaves));
        const auto again = repaired(leaves);
        ASSERT_TRUE(again.has_value());
        EXPECT_TRUE(again->unchanged());
        EXPECT_EQ(assembled(*again, leaves), leaves);
    }
}

TEST(HeaderRepair, PiecesOfTheWireFormAreKeptTogether) {
    const std::string wire = "A: b\r\nBcc: c\r\nD: e\r\nMessage-ID: <y>\r\n\r\nbody\r\n";
    const auto got = repaired(wire);
    ASSERT_TRUE(got.has_value());
    const std::vector<header_piece> pieces = {
        {false, 0, 6}, {false, 14, 23}, {true, 0, 39}, {false, 37, 2}};
    EXPECT_EQ(got->pieces, pieces);
    EXPECT_EQ(got->removed_fields, 1U);
    EXPECT_EQ(got->removed_bytes, 8U);
}

struct refusal_case {
    std::string wire;
    header_refusal refusal;
    const char* reply;
};

TEST(HeaderRepair, RefusesWhatProgramsReadDifferently) {
    using enum header_problem;
    const char* const malformed = "550 5.6.0 Malformed message header\r\n";
    const refusal_case cases[] = {
        {"From: a\r\nfrom: a\r\n\r\n",
         {repeated, "From"},
         "550 5.6.0 More than one From field in the header\r\n"},
        {"Sender: a\r\nSENDER: a\r\n\r\n",
         {repeated, "Sender"},
         "550 5.6.0 More than one Sender field in the header\r\n"},
        {"Content-Type: a\r\nContent-Type: a\r\n\r\n",
         {repeated, "Content-Type"},
         "550 5.6.0 More than one Content-Type field in the header\r\n"},
        {"Content-Transfer-Encoding: a\r\nContent-Transfer-Encoding: b\r\n\r\n",
         {repeated, "Content-Transfer-Encoding"},
         "550 5.6.0 More than one Content-Transfer-Encoding field in the header\r\n"},
        {"Subject: a\r\nSubject: b\r\n\r\n",
         {repeated, "Subject"},
         "550 5.6.0 More than one Subject field in the header\r\n"},
        {"To: a\r\nTo : b\r\n\r\n",
         {repeated, "To"},
         "550 5.6.0 More than one To field in the header\r\n"},
        {"Date: a\r\nDate: b\r\n\r\n",
         {repeated, "Date"},
         "550 5.6.0 More than one Date field in the header\r\n"},
        {"Message-ID: a\r\nMessage-ID: b\r\n\r\n",
         {repeated, "Message-ID"},
         "550 5.6.0 More than one Message-ID field in the header\r\n"},
        {"MIME-Version: 1.0\r\nMIME-Version: 2\r\n\r\n",
         {repeated, "MIME-Version"},
         "550 5.6.0 More than one MIME-Version field in the header\r\n"},
        {std::string("A: \0\r\n\r\n", 8), {unclear, {}}, malformed},
        {"A: b\nBcc: c\r\n\r\n", {unclear, {}}, malformed},
        {"A: b\x0b"
         "Bcc: c\r\n\r\n",
         {unclear, {}},
         malformed},
        {"From a@b\r\n\r\n", {unclear, {}}, malformed},
        {received(101) + "A: b\r\n\r\n", {looping, {}}, "554 5.4.6 Too many hops\r\n"},
        {"A: " + std::string(70'000, 'x') + "\r\n\r\n",
         {too_long, {}},
         "550 5.6.0 Message header too long\r\n"},
    };
    for (const refusal_case& c : cases) {
        SCOPED_TRACE(c.wire.substr(0, 60));
        const auto got = repaired(c.wire);
        ASSERT_FALSE(got.has_value());
        EXPECT_EQ(got.error(), c.refusal);
        EXPECT_EQ(smtp::to_wire(to_reply(got.error())), c.reply);
    }
}

TEST(HeaderRepair, DatesAreThoseOfTheCalendar) {
    EXPECT_EQ(date_text(0), "Thu, 1 Jan 1970 00:00:00 +0000");
    EXPECT_EQ(date_text(1'709'251'199), "Thu, 29 Feb 2024 23:59:59 +0000");
    EXPECT_EQ(date_text(-1), "Wed, 31 Dec 1969 23:59:59 +0000");
}

} // namespace
} // namespace ebbgate::content
