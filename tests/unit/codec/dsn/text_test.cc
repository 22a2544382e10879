#include "codec/dsn/text.h"

#include <gtest/gtest.h>

namespace ebbgate::dsn {
namespace {

TEST(DsnText, CleansLines) {
    EXPECT_EQ(clean_line("  a\r\n\tb \x1b[0m\x7f ", 100), "a b ?[0m?");
    EXPECT_EQ(clean_line("a  b", 100, blanks::as_they_are), "a  b");
    EXPECT_EQ(clean_line("\xc3\xbc\xff\xc2\x85\xe2\x80\xae", 100), "\xc3\xbc???");
    EXPECT_EQ(clean_line("abc\xc3\xbc", 4), "abc ...");
    EXPECT_EQ(clean_line("", 4), "");
}

TEST(DsnText, HidesWhatIsPrivate) {
    const std::pair<const char*, const char*> cases[] = {
        {"connect to 10.0.0.1:25: refused", "connect to [private address]:25: refused"},
        {"[127.0.0.1].", "[[private address]]."},
        {"192.168.7.8, 172.16.0.1 172.32.0.1", "[private address], [private address] 172.32.0.1"},
        {"at 10.0.0.1.", "at [private address]."},
        {"IPv6:fe80::1", "IPv6:[private address]"},
        {"fd00::1:2 ::1 ::ffff:10.0.0.1", "[private address] [private address] [private address]"},
        {"2001:db8::1 and 203.0.113.5 listed", "2001:db8::1 and 203.0.113.5 listed"},
        {"550 5.1.1 a::b 12:30:15", "550 5.1.1 a::b 12:30:15"},
        {"host10.0.0.1x", "host10.0.0.1x"},
        {"", ""},
        {"::", "::"},
    };
    for (const auto& [from, to] : cases) {
        EXPECT_EQ(without_private_addresses(from), to);
    }
    EXPECT_EQ(without_paths("open /var/lib/x/1.log: no, (/etc/y)"), "open [...]: no, ([...])");
    EXPECT_EQ(without_paths("see https://a.example/b and/or c"),
              "see https://a.example/b and/or c");
}

TEST(DsnText, FoldsFields) {
    std::string out;
    append_field(out, "A", "b");
    EXPECT_EQ(out, "A: b\r\n");
    for (const std::string& value : {std::string(5'000, 'x'),
                                     "a " + std::string(2'000, 'x') + " b",
                                     std::string("a") + std::string(200, ' ') + "b",
                                     [] {
                                         std::string words;
                                         for (int i = 0; i < 300; ++i) {
                                             words += "word ";
                                         }
                                         return words + "end";
                                     }()}) {
        out.clear();
        append_field(out, "Name", value);
        std::string unfolded;
        for (std::size_t at = 0; at < out.size();) {
            const std::size_t end = out.find("\r\n", at);
            const std::string line = out.substr(at, end - at);
            EXPECT_LE(line.size(), line_bytes_max);
            EXPECT_NE(line.find_first_not_of(' '), std::string::npos);
            EXPECT_TRUE(at == 0 || line.starts_with(' '));
            unfolded += line;
            at = end + 2;
        }
        if (value.find(std::string(1'000, 'x')) == std::string::npos) {
            EXPECT_EQ(unfolded, "Name: " + value);
        }
    }
}

TEST(DsnText, CodesAddresses) {
    const std::string address = "\xe7\x94\xb0+\\=\xf0\x9f\x98\x80 x@example.org";
    const std::string coded = encode_utf8_address(address);
    EXPECT_EQ(coded, "\\x{7530}\\x{2B}\\x{5C}\\x{3D}\\x{1F600}\\x{20}x@example.org");
    EXPECT_EQ(decode_utf8_address(coded), address);
    EXPECT_EQ(decode_utf8_address("\\x{} \\x{D800} \\x{110000} \\x{A} \\x{zz} \\x{41"),
              "\\x{} \\x{D800} \\x{110000} \\x{A} \\x{zz} \\x{41");
}

TEST(DsnText, WritesNames) {
    EXPECT_EQ(display_phrase("Mail Delivery System"), "Mail Delivery System");
    EXPECT_EQ(display_phrase("a, \"b\\"), "\"a, \\\"b\\\\\"");
    EXPECT_EQ(display_phrase("=?x"), "\"=?x\"");
    EXPECT_EQ(display_phrase("\xc3\x96 a"), "=?UTF-8?Q?=C3=96_a?=");
}

TEST(DsnText, QuotesLines) {
    EXPECT_EQ(quoted_printable("a=\xc3\xbc \nb\n"), "a=3D=C3=BC=20\r\nb\r\n");
    const std::string quoted = quoted_printable(std::string(100, 'x') + "\n");
    EXPECT_EQ(quoted, std::string(75, 'x') + "=\r\n" + std::string(25, 'x') + "\r\n");
}

} // namespace
} // namespace ebbgate::dsn
