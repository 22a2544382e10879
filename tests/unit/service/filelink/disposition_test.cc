// Names and types as a browser gets them: nothing of the sender's leaves its quotation marks.

#include "service/filelink/disposition.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace ebbgate::filelink {
namespace {

struct name_case {
    std::string_view name;
    std::string_view expected; // Behind "attachment; ".
};

using namespace std::string_view_literals; // NOLINT(google-build-using-namespace): NULs in names

constexpr name_case names[] = {
    {"report.pdf", R"(filename="report.pdf")"},
    {"annual report (final), v2.pdf", R"(filename="annual report (final), v2.pdf")"},
    {"Gr\xc3\xb6\xc3\x9f"
     "e.pdf",
     R"(filename="Gr__e.pdf"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf)"},
    {"\xf0\x9f\x98\x80.txt", R"(filename="_.txt"; filename*=UTF-8''%F0%9F%98%80.txt)"},
    {"a\"b.pdf", R"(filename="a_b.pdf"; filename*=UTF-8''a%22b.pdf)"},
    {"100%41.pdf", R"(filename="100_41.pdf"; filename*=UTF-8''100%2541.pdf)"},
    {"a;b='c'.pdf", R"(filename="a;b='c'.pdf")"},
    // Paths.
    {"../../etc/passwd", R"(filename="passwd")"},
    {"C:\\Windows\\evil.dll", R"(filename="evil.dll")"},
    {"a/", R"(filename="download")"},
    {"..", R"(filename="download")"},
    {"", R"(filename="download")"},
    {" . ", R"(filename="download")"},
    {".bashrc", R"(filename="bashrc")"},
    {"a.exe. . ", R"(filename="a.exe")"},
    // Controls and direction.
    {"a\r\nSet-Cookie: x=1.pdf", R"(filename="aSet-Cookie: x=1.pdf")"},
    {"a\0b.pdf"sv, R"(filename="ab.pdf")"},
    {"a\x7f\x1b[2J.pdf", R"(filename="a[2J.pdf")"},
    {"invoice\xe2\x80\xae"
     "fdp.exe",
     R"(filename="invoicefdp.exe")"},
    {"a\xe2\x81\xa6"
     "b\xe2\x80\x8b.txt",
     R"(filename="ab.txt")"},
    {"a\xc2\x85"
     "b.txt",
     R"(filename="ab.txt")"},
    // No UTF-8.
    {"a\xff\xc3.pdf", R"(filename="a__.pdf")"},
    {"\xc0\xaf.pdf", R"(filename="__.pdf")"},
};

TEST(disposition, names_are_one_quoted_text_and_one_encoded) {
    for (const name_case& one : names) {
        EXPECT_EQ(attachment_disposition(one.name), "attachment; " + std::string(one.expected));
    }
}

TEST(disposition, every_byte_leaves_a_header_of_one_line_in_ascii) {
    for (int first = 0; first < 256; ++first) {
        for (int second = 0; second < 256; ++second) {
            const std::string name = {static_cast<char>(first), static_cast<char>(second), 'x'};
            const std::string value = attachment_disposition(name);
            EXPECT_TRUE(std::ranges::all_of(value, [](char c) { return c >= 0x20 && c < 0x7f; }));
            EXPECT_EQ(std::ranges::count(value, '"'), 2) << first << ' ' << second;
            EXPECT_EQ(value.find('\\'), std::string::npos);
        }
    }
}

TEST(disposition, a_long_name_keeps_its_extension_and_whole_characters) {
    std::string name;
    for (int count = 0; count < 300; ++count) {
        name += "\xc3\xa4";
    }
    const std::string clean = clean_name(name + ".pdf");
    EXPECT_LE(clean.size(), name_bytes_max);
    EXPECT_GT(clean.size(), name_bytes_max - 4);
    EXPECT_TRUE(clean.ends_with("\xc3\xa4.pdf"));
    EXPECT_EQ(clean.find('_'), std::string::npos);
    EXPECT_EQ(clean_name(std::string(500, 'x')).size(), name_bytes_max);
    EXPECT_EQ(clean_name("a." + std::string(500, 'x')).size(), name_bytes_max);
}

TEST(harmless_type, what_a_browser_runs_and_what_is_no_type_are_octets) {
    for (const std::string_view good :
         {"application/pdf",
          "image/png",
          "text/plain",
          "text/csv",
          "application/zip",
          "application/postscript",
          "video/mp4",
          "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
          "application/vnd.ms-excel",
          "application/json"}) {
        EXPECT_EQ(harmless_type(good), good);
    }
    EXPECT_EQ(harmless_type("Application/PDF"), "application/pdf");
    for (const std::string_view bad : {"text/html",
                                       "TEXT/HTML",
                                       "application/xhtml+xml",
                                       "image/svg+xml",
                                       "text/xml",
                                       "application/xml",
                                       "application/xml-dtd",
                                       "application/rss+xml",
                                       "application/xslt+xml",
                                       "text/xsl",
                                       "application/javascript",
                                       "text/javascript",
                                       "text/ecmascript",
                                       "application/x-javascript",
                                       "text/css",
                                       "text/cache-manifest",
                                       "application/x-shockwave-flash",
                                       "application/wasm",
                                       "message/rfc822",
                                       "multipart/related",
                                       "multipart/x-mixed-replace",
                                       "",
                                       "pdf",
                                       "/",
                                       "application/",
                                       "/pdf",
                                       "application/pdf; charset=x",
                                       "application/pdf\r\nSet-Cookie: a",
                                       "application/p df",
                                       "application/pdf/x",
                                       "*/*"}) {
        EXPECT_EQ(harmless_type(bad), "application/octet-stream") << bad;
    }
    EXPECT_EQ(harmless_type("application/" + std::string(128, 'a')), "application/octet-stream");
}

} // namespace
} // namespace ebbgate::filelink
