// Whole headers against the From rules: one field, clear to every program that reads it.

#include "ebbgate/mail/authors.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::mail {
namespace {

std::expected<std::vector<mailbox>, author_refusal> authors(byte_view wire,
                                                            header_limits limits = {}) {
    header_scanner scanner(limits);
    scanner.feed(wire);
    scanner.finish();
    return authors_of(scanner);
}

TEST(Authors, AreThoseOfTheOneFromField) {
    const std::vector<mailbox> a{{"a", "good.example"}};
    const std::vector<mailbox> both{{"a", "good.example"}, {"b", "evil.example"}};
    EXPECT_EQ(authors("From: a@good.example\r\n\r\n"), a);
    EXPECT_EQ(authors("FROM:a@good.example\r\n"), a);
    EXPECT_EQ(authors("X: y\r\nfrom: A\r\n <a@good.example>\r\n\r\nFrom: b@evil.example\r\n"), a);
    EXPECT_EQ(authors("From:\r\n\ta@good.example\r\n\r\n"), a);
    EXPECT_EQ(authors(".From: a@good.example\r\n\r\n"), a);
    EXPECT_EQ(authors("From: a@good.example, b@evil.example\r\n\r\n"), both);
    EXPECT_EQ(authors("Sender: b@evil.example\r\nResent-From: b@evil.example\r\n"
                      "From: a@good.example\r\n\r\n"),
              a);
    EXPECT_EQ(authors("From: a@good.example\r\n \r\nX: y\r\n\r\n").error().fault,
              author_fault::unclear_from);
    // Behind the field a line of blanks changes nothing: who stops there has seen the field.
    EXPECT_EQ(authors("From: a@good.example\r\nX: y\r\n \r\nZ: y\r\n\r\n"), a);
}

TEST(Authors, AreRefusedWhenProgramsCouldDisagree) {
    using enum author_fault;

    struct refused_case {
        std::string wire;
        author_fault fault;
    };

    const std::string from = "From: a@good.example\r\n";
    const std::string nul(1, '\0');
    for (const refused_case& c : std::vector<refused_case>{
             {"\r\n", no_from},
             {"\r\n" + from, no_from},
             {"To: a@good.example\r\n\r\n" + from, no_from},
             {"X-From: a@good.example\r\n\r\n", no_from},
             {from + from, several_froms},
             {from + "X: y\r\nfROM: b@evil.example\r\n\r\n", several_froms},
             {from + "From : b@evil.example\r\n\r\n", several_froms},
             {from + ".From: b@evil.example\r\n\r\n", several_froms},
             {from + "X: y\r\n \r\nFrom: b@evil.example\r\n\r\n", several_froms},
             {from + "From:\r\n\r\n", several_froms},
             {"hello\r\n", unclear_header},
             {"hello\r\n" + from, unclear_header},
             {from + "hello\r\nFrom: b@evil.example\r\n\r\n", unclear_header},
             {from + "Fr\xd0\xbem: b@evil.example\r\n\r\n", unclear_header},
             {from + "From\x01: b@evil.example\r\n\r\n", unclear_header},
             {" x\r\n" + from, unclear_header},
             {"From b@evil.example\r\n" + from, unclear_header},
             {from + "From b@evil.example\r\n", unclear_header},
             {from + "X: " + nul + "y\r\n\r\n", unclear_header},
             {"X: y\fFrom: b@evil.example\r\n" + from, unclear_header},
             {"From : a@good.example\r\n\r\n", unclear_from},
             {"From\t: a@good.example\r\n\r\n", unclear_from},
             {"X: y\r\n \r\n" + from, unclear_from},
             {"From: x\r\n \r\n <a@good.example>\r\n\r\n", unclear_from},
         }) {
        const auto got = authors(c.wire);
        ASSERT_FALSE(got.has_value()) << c.wire;
        EXPECT_EQ(static_cast<int>(got.error().fault), static_cast<int>(c.fault)) << c.wire;
        EXPECT_FALSE(text_of(got.error()).empty());
    }
}

TEST(Authors, OfAHeaderOverTheLimitsAreUnknown) {
    const std::string from = "From: a@good.example\r\n";
    const std::string wire = from + "X: " + std::string(100, 'y') + "\r\nFrom: b@evil.example\r\n";
    EXPECT_EQ(authors(wire, {100, 10}).error().fault, author_fault::long_header);
    EXPECT_EQ(authors(from + "X: y\r\nFrom: b@evil.example\r\n", {1000, 2}).error().fault,
              author_fault::long_header);
    EXPECT_EQ(authors(wire, {1000, 10}).error().fault, author_fault::several_froms);
}

TEST(Authors, AFaultOfTheAddressIsPassedOn) {
    const auto folded = authors("From: a@good.exam\r\n ple\r\n\r\n");
    EXPECT_EQ(folded.error(), (author_refusal{author_fault::address, address_fault::ambiguous}));
    EXPECT_EQ(text_of(folded.error()), "From can be read as another address");
    const auto name = authors("From:\r\n \"a@good.example\"\r\n <b@evil.example>\r\n");
    EXPECT_EQ(name.error(), (author_refusal{author_fault::address, address_fault::hidden_address}));
    const auto nothing = authors("From:\r\n\r\n");
    EXPECT_EQ(nothing.error(), (author_refusal{author_fault::address, address_fault::empty}));
}

} // namespace
} // namespace ebbgate::mail
