// Every body is canonicalised whole, cut at each byte, and byte by byte; all must agree with a
// plain implementation of the RFC's words, and with the table.

#include "ebbgate/dkim/canonicalizer.h"

#include "crypto/hash.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace ebbgate::dkim {
namespace {

constexpr auto simple = canonicalization::simple;
constexpr auto relaxed = canonicalization::relaxed;

class collector final : public body_canonicalizer {
public:
    using body_canonicalizer::body_canonicalizer;
    std::string text;

private:
    void take(byte_view bytes) override {
        EXPECT_FALSE(bytes.empty());
        text += bytes;
    }
};

std::string canonical(byte_view body, canonicalization form, std::size_t first, std::size_t then) {
    collector collected(form);
    std::size_t size = first;
    while (!body.empty()) {
        const std::string chunk(body.substr(0, size)); // Its own heap block.
        collected.feed(chunk);
        body.remove_prefix(chunk.size());
        size = then;
    }
    collected.finish();
    return collected.text;
}

// RFC 6376 sections 3.4.3 and 3.4.4, line by line.
std::string as_the_rfc_says(std::string body, canonicalization form) {
    if (!body.ends_with("\r\n")) {
        body += "\r\n";
    }
    std::string out;
    for (std::size_t at = 0; at < body.size();) {
        const std::size_t end = body.find("\r\n", at);
        std::string line = body.substr(at, end - at);
        at = end + 2;
        if (form == relaxed) {
            std::string reduced;
            for (const char c : line) {
                const bool blank = c == ' ' || c == '\t';
                if (!blank) {
                    reduced += c;
                } else if (!reduced.ends_with(' ')) {
                    reduced += ' ';
                }
            }
            if (reduced.ends_with(' ')) {
                reduced.pop_back();
            }
            line = reduced;
        }
        out += line + "\r\n";
    }
    while (out.ends_with("\r\n\r\n")) {
        out.resize(out.size() - 2);
    }
    return out == "\r\n" && form == relaxed ? "" : out;
}

void expect_same_however_cut(const std::string& body) {
    for (const canonicalization form : {simple, relaxed}) {
        const std::string wanted = as_the_rfc_says(body, form);
        for (std::size_t cut = 1; cut <= body.size() + 1; ++cut) {
            ASSERT_EQ(canonical(body, form, cut, body.size() + 1), wanted)
                << testing::PrintToString(body) << " cut at " << cut;
        }
        for (const std::size_t step : {1U, 2U, 3U, 7U}) {
            ASSERT_EQ(canonical(body, form, step, step), wanted) << testing::PrintToString(body);
        }
    }
}

TEST(body_canonicalizer, gives_what_the_table_says) {
    struct row {
        std::string body;
        std::string simple_form;
        std::string relaxed_form;
    };

    const std::vector<row> rows = {
        {"", "\r\n", ""},
        {"\r\n", "\r\n", ""},
        {"\r\n\r\n\r\n", "\r\n", ""},
        {" \t \r\n", " \t \r\n", ""},
        {"   ", "   \r\n", ""},
        {"a", "a\r\n", "a\r\n"},
        {"a\r\n", "a\r\n", "a\r\n"},
        {"a\r\n\r\n \r\n", "a\r\n\r\n \r\n", "a\r\n"},
        {"\r\n\r\na\r\n\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
        // RFC 6376 section 3.4.5.
        {" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
        {"\ta", "\ta\r\n", " a\r\n"},
        {"a\tb  c\t\r\n", "a\tb  c\t\r\n", "a b c\r\n"},
        // Not line ends.
        {"a\nb \n\r\n", "a\nb \n\r\n", "a\nb \n\r\n"},
        {"a\r", "a\r\r\n", "a\r\r\n"},
        {"a \r b\r\r\n", "a \r b\r\r\n", "a \r b\r\r\n"},
        {"\r\r\n\n", "\r\r\n\n\r\n", "\r\r\n\n\r\n"},
        {std::string("a\0 \x01\r\n", 6),
         std::string("a\0 \x01\r\n", 6),
         std::string("a\0 \x01\r\n", 6)},
    };
    for (const row& one : rows) {
        EXPECT_EQ(canonical(one.body, simple, 4096, 4096), one.simple_form);
        EXPECT_EQ(canonical(one.body, relaxed, 4096, 4096), one.relaxed_form);
        expect_same_however_cut(one.body);
    }
}

TEST(body_canonicalizer, agrees_with_the_rfc_on_all_short_bodies) {
    constexpr byte_view letters = "a \t\r\n";
    for (std::size_t length = 0; length <= 6; ++length) {
        std::size_t count = 1;
        for (std::size_t i = 0; i < length; ++i) {
            count *= letters.size();
        }
        for (std::size_t number = 0; number < count; ++number) {
            std::string body;
            for (std::size_t i = 0, rest = number; i < length; ++i, rest /= letters.size()) {
                body += letters[rest % letters.size()];
            }
            for (const canonicalization form : {simple, relaxed}) {
                const std::string wanted = as_the_rfc_says(body, form);
                for (std::size_t cut = 1; cut <= length; ++cut) {
                    ASSERT_EQ(canonical(body, form, cut, length), wanted)
                        << testing::PrintToString(body) << " cut at " << cut;
                }
                ASSERT_EQ(canonical(body, form, 1, 1), wanted) << testing::PrintToString(body);
            }
        }
    }
}

// Long runs without a change, so that vector code finds the change at each of its places.
TEST(body_canonicalizer, agrees_with_the_rfc_on_long_lines) {
    for (std::size_t before = 0; before < 150; ++before) {
        for (const char* change : {"  ", " \t", "\t", " \r\n", "\t\r\n", " \r", " \x01", " \xff"}) {
            const std::string body =
                std::string(before, 'x') + change + std::string(200 - before, 'y') + "\r\n";
            for (const canonicalization form : {simple, relaxed}) {
                ASSERT_EQ(canonical(body, form, 1000, 1000), as_the_rfc_says(body, form)) << before;
                ASSERT_EQ(canonical(body, form, 97, 64), as_the_rfc_says(body, form)) << before;
            }
        }
    }
}

TEST(body_canonicalizer, agrees_with_the_rfc_on_random_bodies) {
    std::mt19937 random(4711); // NOLINT(cert-msc51-cpp): the same bodies each time
    constexpr byte_view letters = "abcdefgh      \t\t\r\n.";
    for (int round = 0; round < 2000; ++round) {
        std::string body;
        const std::size_t size = random() % 6000;
        while (body.size() < size) {
            if (random() % 8 == 0) {
                body += "\r\n";
            } else if (random() % 200 == 0) {
                body.append(random() % 700, 'z');
            } else {
                body += letters[random() % letters.size()];
            }
        }
        for (const canonicalization form : {simple, relaxed}) {
            const std::size_t step = random() % 3000 + 1;
            ASSERT_EQ(canonical(body, form, random() % 3000 + 1, step),
                      as_the_rfc_says(body, form));
        }
    }
}

TEST(body_canonicalizer, holds_any_number_of_empty_lines) {
    std::string lines;
    for (int i = 0; i < 100'000; ++i) {
        lines += "\r\n";
    }
    EXPECT_EQ(canonical("a\r\n" + lines, relaxed, 4096, 4096), "a\r\n");
    EXPECT_EQ(canonical("a\r\n" + lines + "b\r\n", simple, 4096, 4096), "a\r\n" + lines + "b\r\n");
    EXPECT_EQ(canonical("a \r\n" + lines + " b\r\n", relaxed, 4095, 3), "a\r\n" + lines + " b\r\n");
}

TEST(body_hasher, hashes_up_to_the_limit_and_begins_again) {
    body_hasher hasher(relaxed, 4);
    for (int round = 0; round < 2; ++round) {
        hasher.feed("a  b");
        hasher.feed("c\r\nrest\r\n");
        EXPECT_EQ(hasher.digest(), crypto::hash_of("a bc").bytes);
        EXPECT_EQ(hasher.canonical_bytes(), byte_view("a bc\r\nrest\r\n").size());
    }
    body_hasher nothing(simple, 0);
    nothing.feed("abc");
    EXPECT_EQ(nothing.digest(), crypto::hash_of("").bytes);
    body_hasher whole(simple);
    EXPECT_EQ(whole.digest(), crypto::hash_of("\r\n").bytes);
    EXPECT_EQ(whole.canonical_bytes(), 2U);
}

TEST(append_field, gives_what_the_table_says) {
    struct row {
        byte_view field;
        byte_view relaxed_form;
    };

    for (const row& one : {
             row{"A: X\r\n", "a:X\r\n"}, // RFC 6376 section 3.4.5, both.
             row{"B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
             row{"Subject:\r\n", "subject:\r\n"},
             row{"Subject: \t \r\n \r\n", "subject:\r\n"},
             row{"Subject:a\r\n  b\r\n\tc\r\n", "subject:a b c\r\n"},
             row{"Subject: a : b\r\n", "subject:a : b\r\n"},
             row{"SUBJECT \t:\t a", "subject:a"},
             row{"X: a\rb\nc\r\n", "x:a\rb\nc\r\n"},
             row{"X: \xc3\x84\r\n", "x:\xc3\x84\r\n"},
             row{"DKIM-Signature: v=1;\r\n\tb=", "dkim-signature:v=1; b="},
         }) {
        std::string out = "before";
        append_field(out, one.field, relaxed);
        EXPECT_EQ(out, "before" + std::string(one.relaxed_form));
        out.clear();
        append_field(out, one.field, simple);
        EXPECT_EQ(out, one.field);
    }
}

} // namespace
} // namespace ebbgate::dkim
