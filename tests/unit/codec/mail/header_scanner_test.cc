// Every message is scanned whole, cut at each byte, and byte by byte. All must agree: the peer
// chooses where the segments end.

#include "ebbgate/mail/header_scanner.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace ebbgate::mail {
namespace {

struct scanned {
    std::vector<std::string> fields; // "name|value" as they came.
    std::string text;
    std::size_t header_wire_bytes = 0;
    std::map<header_fault, std::size_t> faults;
    bool complete_before_finish = false;

    bool operator==(const scanned&) const = default;
};

scanned result_of(header_scanner& scanner) {
    scanned out;
    out.complete_before_finish = scanner.complete();
    scanner.finish();
    EXPECT_TRUE(scanner.complete());
    out.text = scanner.text();
    out.header_wire_bytes = scanner.header_wire_bytes();
    std::size_t at = 0;
    for (const header_field& field : scanner.fields()) {
        EXPECT_EQ(field.at, at); // Fields cover the text without a gap.
        at += field.bytes;
        out.fields.push_back(std::string(scanner.name(field)) + '|' +
                             std::string(scanner.value(field)));
        EXPECT_TRUE(scanner.raw(field).starts_with(scanner.name(field)));
        EXPECT_TRUE(scanner.raw(field).ends_with("\r\n"));
    }
    EXPECT_EQ(at, scanner.text().size());
    for (std::size_t i = 0; i < header_fault_count; ++i) {
        const auto fault = static_cast<header_fault>(i);
        if (const auto where = scanner.fault_at(fault)) {
            out.faults[fault] = *where;
        }
    }
    return out;
}

scanned
scan(byte_view wire, std::size_t first_bytes, std::size_t then_bytes, header_limits limits) {
    header_scanner scanner(limits);
    std::size_t take = first_bytes;
    while (!wire.empty()) {
        const std::string chunk(wire.substr(0, take)); // Its own heap block.
        scanner.feed(chunk);
        wire.remove_prefix(chunk.size());
        take = then_bytes;
    }
    return result_of(scanner);
}

scanned scan_every_way(byte_view wire, header_limits limits = {}) {
    const scanned whole = scan(wire, wire.size(), 1, limits);
    for (std::size_t cut = 1; cut < wire.size(); ++cut) {
        EXPECT_EQ(scan(wire, cut, wire.size(), limits), whole) << "cut at " << cut;
    }
    EXPECT_EQ(scan(wire, 1, 1, limits), whole) << "byte by byte";
    return whole;
}

struct header_case {
    const char* name;
    std::string wire;
    std::vector<std::string> fields;
    std::size_t header_wire_bytes;
    std::map<header_fault, std::size_t> faults;
};

std::vector<header_case> header_cases() {
    using enum header_fault;
    const std::string zero(1, '\0');
    const std::string long_value(1000, 'x');
    return {
        {"usual", "From: a@b\r\nTo: c\r\n\r\nFrom: d\r\n", {"From| a@b", "To| c"}, 20, {}},
        {"no body", "A: b\r\n\r\n", {"A| b"}, 8, {}},
        {"no empty line", "A: b\r\n", {"A| b"}, 6, {}},
        {"nothing", "", {}, 0, {}},
        {"no header", "\r\nFrom: a\r\n", {}, 2, {}},
        {"no blank", "A:b\r\n\r\n", {"A|b"}, 7, {}},
        {"no value", "A:\r\n\r\n", {"A|"}, 6, {}},
        {"second colon", "A: b: c\r\n\r\n", {"A| b: c"}, 11, {}},
        {"folds",
         "A: b\r\n c\r\n\td\r\nE:\r\n f\r\n\r\n",
         {"A| b\r\n c\r\n\td", "E|\r\n f"},
         24,
         {}},
        {"blank before colon", "From \t: a\r\n\r\n", {"From| a"}, 13, {}},
        {"eight bits in a value", "A: \xc3\xa9\xff\r\n\r\n", {"A| \xc3\xa9\xff"}, 10, {}},
        {"odd name", "!#~: b\r\n\r\n", {"!#~| b"}, 10, {}},

        {"text behind the header",
         "A: b\r\nhello\r\nFrom: x\r\n",
         {"A| b"},
         6,
         {{malformed_line, 6}}},
        {"text alone", "hello\r\n", {}, 0, {{malformed_line, 0}}},
        {"blank in a name", "A: b\r\nFr om: x\r\n", {"A| b"}, 6, {{malformed_line, 6}}},
        {"no name", ": b\r\n\r\n", {}, 0, {{malformed_line, 0}}},
        {"eight bits in a name", "Fr\xc3\xb6m: x\r\n", {}, 0, {{malformed_line, 0}}},
        {"NBSP before the colon", "From\xc2\xa0: x\r\n", {}, 0, {{malformed_line, 0}}},
        {"NUL in a name", "From" + zero + ": x\r\n", {}, 0, {{malformed_line, 0}}},
        {"DEL in a name", "From\x7f: x\r\n", {}, 0, {{malformed_line, 0}}},
        {"bare CR in a name", "A: b\r\nFrom\r: x\r\n", {"A| b"}, 6, {{malformed_line, 6}}},
        {"fold first", " a\r\nFrom: x\r\n\r\n", {}, 0, {{malformed_line, 0}}},
        {"blanks first", " \r\nFrom: x\r\n\r\n", {}, 0, {{malformed_line, 0}}},

        {"mbox line", "From a@b Thu\r\nA: b\r\n\r\n", {"A| b"}, 22, {{mbox_line, 0}}},
        {"mbox line with colons",
         "From a@b 1 00:00:00\r\nA: b\r\n\r\n",
         {"A| b"},
         29,
         {{mbox_line, 0}}},
        {"mbox line with a fold", "From a\r\n b\r\n", {}, 8, {{mbox_line, 0}, {malformed_line, 8}}},
        {"mbox line twice", "From a\r\nFrom b\r\n", {}, 8, {{mbox_line, 0}, {malformed_line, 8}}},
        {"mbox line later", "A: b\r\nFrom a\r\n", {"A| b"}, 6, {{malformed_line, 6}}},
        {"escaped mbox line", ">From a\r\nA: b\r\n", {}, 0, {{malformed_line, 0}}},

        {"line of blanks",
         "A: b\r\n \t\r\nFrom: x\r\n\r\n",
         {"A| b\r\n \t", "From| x"},
         21,
         {{blank_line, 6}}},
        {"NUL", "A: b\r\nC: " + zero + "d\r\n\r\n", {"A| b", "C| " + zero + "d"}, 15, {{nul, 6}}},
        {"NUL in the body", "A: b\r\n\r\n" + zero + "\r\n", {"A| b"}, 8, {}},
        {"form feed", "A: b\fFrom: x\r\n\r\n", {"A| b\fFrom: x"}, 16, {{line_control, 0}}},
        {"separator",
         "A: b\x1e"
         "From: x\r\n\r\n",
         {"A| b\x1e"
          "From: x"},
         16,
         {{line_control, 0}}},
        {"bare CR", "A: b\rFrom: x\r\n\r\n", {"A| b\rFrom: x"}, 16, {{line_control, 0}}},
        {"bare LF", "A: b\nFrom: x\r\n\r\n", {"A| b\nFrom: x"}, 16, {{line_control, 0}}},
        {"bare LF and an end", "A: b\n\r\n\r\n", {"A| b\n"}, 9, {{line_control, 0}}},
        {"escape", "A: \x1b$B\r\n\r\n", {"A| \x1b$B"}, 10, {}},
        {"long line",
         "A: b\r\nC:" + long_value + "\r\n\r\n",
         {"A| b", "C|" + long_value},
         1012,
         {{long_line, 6}}},

        {"dot in front", ".From: x\r\n\r\n", {"From| x"}, 12, {}},
        {"two dots in front", "..A: x\r\n\r\n", {".A| x"}, 10, {}},
        {"dot and fold", "A: b\r\n. c\r\n\r\n", {"A| b\r\n c"}, 13, {}},
        {"dot and nothing", "A: b\r\n.\r\nC: d\r\n", {"A| b"}, 9, {}},
    };
}

TEST(HeaderScanner, FindsTheSameHoweverItIsCut) {
    for (const header_case& c : header_cases()) {
        SCOPED_TRACE(c.name);
        const scanned got = scan_every_way(c.wire);
        EXPECT_EQ(got.fields, c.fields);
        EXPECT_EQ(got.header_wire_bytes, c.header_wire_bytes);
        EXPECT_EQ(got.faults, c.faults);
    }
}

TEST(HeaderScanner, IsCompleteAtTheEmptyLineOrTheLineThatIsNoField) {
    const auto complete_after = [](byte_view wire) {
        header_scanner scanner;
        scanner.feed(wire);
        return scanner.complete();
    };
    EXPECT_FALSE(complete_after("A: b\r\n"));
    EXPECT_FALSE(complete_after("A: b\r\n\r"));
    EXPECT_TRUE(complete_after("A: b\r\n\r\n"));
    EXPECT_FALSE(complete_after("A: b\r\nhello"));
    EXPECT_TRUE(complete_after("A: b\r\nhello\r\n"));
}

TEST(HeaderScanner, PlacesPointIntoTheWireForm) {
    const std::string wire = "A: b\r\n..Dot: c\r\n. d\r\nFrom : e\r\n\r\n";
    header_scanner scanner;
    scanner.feed(wire);
    ASSERT_EQ(scanner.fields().size(), 3U);
    const header_field& dotted = scanner.fields()[1];
    EXPECT_EQ(wire.substr(dotted.wire_at, dotted.wire_bytes), "..Dot: c\r\n. d\r\n");
    EXPECT_EQ(scanner.raw(dotted), ".Dot: c\r\n d\r\n");
    EXPECT_FALSE(dotted.blank_before_colon());
    const header_field& from = scanner.fields()[2];
    EXPECT_EQ(wire.substr(from.wire_at, from.wire_bytes), "From : e\r\n");
    EXPECT_TRUE(from.blank_before_colon());
    EXPECT_TRUE(is_name(scanner.name(from), "from"));
    EXPECT_EQ(scanner.header_wire_bytes(), wire.size());
}

TEST(HeaderScanner, AHeaderOverTheLimitEndsThere) {
    using enum header_fault;
    const std::string wire = "A: b\r\nC: d\r\n\r\n"; // 14 bytes
    EXPECT_EQ(scan_every_way(wire, {14, 10}).faults, (std::map<header_fault, std::size_t>{}));
    for (std::uint32_t limit = 0; limit < 14; ++limit) {
        SCOPED_TRACE(limit);
        const scanned got = scan_every_way(wire, {limit, 10});
        const std::size_t kept_lines = limit / 6;
        EXPECT_EQ(got.faults, (std::map{std::pair{too_long, kept_lines * 6}}));
        EXPECT_EQ(got.fields.size(), kept_lines);
        EXPECT_EQ(got.header_wire_bytes, kept_lines * 6);
    }
    // One line that never ends must not be kept either.
    header_scanner scanner({100, 10});
    for (int i = 0; i < 1000; ++i) {
        scanner.feed("xxxxxxxxxx");
    }
    EXPECT_TRUE(scanner.complete());
    EXPECT_EQ(scanner.fault_at(too_long), 0U);
    EXPECT_EQ(scanner.text(), "");
}

TEST(HeaderScanner, TooManyFieldsAreAFault) {
    using enum header_fault;
    const std::string wire = "A: b\r\nC: d\r\n e\r\n\r\n";
    EXPECT_EQ(scan_every_way(wire, {100, 2}).faults.size(), 0U);
    const scanned got = scan_every_way(wire, {100, 1});
    EXPECT_EQ(got.faults, (std::map{std::pair{too_many_fields, std::size_t{6}}}));
    EXPECT_EQ(got.fields, (std::vector<std::string>{"A| b"}));
}

TEST(HeaderScanner, ClearForgetsTheMessage) {
    header_scanner scanner;
    for (const header_case& c : header_cases()) {
        SCOPED_TRACE(c.name);
        scanner.feed(c.wire);
        const scanned got = result_of(scanner);
        EXPECT_EQ(got.fields, c.fields);
        EXPECT_EQ(got.faults, c.faults);
        scanner.clear();
        EXPECT_FALSE(scanner.complete());
    }
}

TEST(HeaderScanner, UnfoldedTakesOutLineEndsAndNothingElse) {
    EXPECT_EQ(unfolded(""), "");
    EXPECT_EQ(unfolded(" a"), " a");
    EXPECT_EQ(unfolded(" a\r\n b\r\n\tc"), " a b\tc");
    EXPECT_EQ(unfolded("\r\n a"), " a");
    EXPECT_EQ(unfolded("a\r b\n c"), "a\r b\n c");
}

} // namespace
} // namespace ebbgate::mail
