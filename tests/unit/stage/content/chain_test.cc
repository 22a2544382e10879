// Messages on their way through: the same for any cut, repaired, signed for what leaves.

#include "run_chain.h"

#include <gtest/gtest.h>

namespace ebbgate::content {
namespace {

using testing_chain::run;
using testing_chain::run_chain;

constexpr std::string_view head =
    "From: a@acme.example\r\nDate: Tue, 24 Nov 2026 15:56:53 +0000\r\n"
    "Message-ID: <1@acme.example>\r\n";

std::string with_head(std::string_view rest) {
    return std::string(head) + std::string(rest);
}

const std::vector<std::string>& messages() {
    static const std::vector<std::string> all = {
        with_head("\r\nbody\r\n"),
        with_head("\r\n"),
        with_head(""), // No empty line.
        with_head("Bcc: b@far.example\r\n\r\n..dot\r\n...\r\n.. \r\n\r\n\r\n"),
        with_head("Subject: one\r\n\ttwo \r\n\r\na \t b\r\n \r\n"),
        "From: a@acme.example\r\n\r\nno date\r\n",
        with_head("X: y\r\nno field\r\nbody\r\n"),
        with_head("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
                  "Content-Disposition: attachment; filename=a.txt\r\n\r\nfile\r\n--b--\r\n"),
    };
    return all;
}

TEST(Chain, GivesTheSameForEveryCut) {
    const policy::attachment_settings attachments;
    for (const std::string& wire : messages()) {
        SCOPED_TRACE(wire);
        const run whole = run_chain(wire, wire.size(), &attachments);
        ASSERT_FALSE(whole.refused.has_value());
        for (std::size_t piece = 1; piece < wire.size(); ++piece) {
            const run cut = run_chain(wire, piece, &attachments);
            ASSERT_EQ(cut.left, whole.left);
            ASSERT_EQ(cut.signatures.size(), whole.signatures.size());
            for (std::size_t i = 0; i < cut.signatures.size(); ++i) {
                ASSERT_EQ(cut.signatures[i].field(), whole.signatures[i].field());
            }
        }
        EXPECT_TRUE(testing_chain::verifies(whole));
    }
}

TEST(Chain, LeavesAnUntouchedMessageAsItIs) {
    const std::string wire = with_head("Subject: x\r\n\r\n..dot\r\nlast\r\n");
    EXPECT_EQ(run_chain(wire, 7).left, wire);
}

TEST(Chain, TakesBccOutAndPutsMissingFieldsIn) {
    const run done = run_chain("Bcc: b@far.example\r\nFrom: a@acme.example\r\n\r\nx\r\n", 5);
    EXPECT_EQ(done.left.find("far.example"), std::string::npos);
    EXPECT_NE(done.left.find("\r\nMessage-ID: <ID@gate.example>\r\n"), std::string::npos);
    EXPECT_NE(done.left.find("\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n"), std::string::npos);
    EXPECT_TRUE(done.left.ends_with("\r\n\r\nx\r\n"));
    EXPECT_TRUE(testing_chain::verifies(done));
}

TEST(Chain, ASignatureIsForNothingElse) {
    run done = run_chain(messages().front(), 10);
    ASSERT_TRUE(testing_chain::verifies(done));
    done.left.replace(done.left.find("body"), 4, "b0dy");
    EXPECT_FALSE(testing_chain::verifies(done));
}

TEST(Chain, GivesNothingOutAfterARefusal) {
    policy::attachment_settings settings;
    settings.allow = std::vector<std::string>{"txt"};
    const std::string wire =
        with_head("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                  "Content-Disposition: attachment; filename=a.exe\r\n\r\nfirst\r\n--b--\r\n");
    const run done = run_chain(wire + std::string(100, 'x') + "\r\n", 20, &settings);
    ASSERT_TRUE(done.refused.has_value());
    const auto* why = std::get_if<attachment_refusal>(&*done.refused);
    ASSERT_NE(why, nullptr);
    EXPECT_EQ(why->name, "a.exe");
    EXPECT_EQ(why->fault, attachment_fault::extension);
    EXPECT_EQ(done.left.find("xxx"), std::string::npos);
    EXPECT_TRUE(done.signatures.empty());
}

} // namespace
} // namespace ebbgate::content
