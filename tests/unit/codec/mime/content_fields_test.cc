// Content- fields as mailers and attackers write them: the names that any reader could show.

#include "ebbgate/mime/charset.h"

#include "recorder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace ebbgate::mime {
namespace {

using enum ambiguity;

content_fields read(const std::string& fields) {
    const recorder seen = record(fields + "\r\n", fields.size() + 2, 1);
    return seen.contents.at(0);
}

std::vector<ambiguity> kinds_of(ambiguity_set set) {
    std::vector<ambiguity> out;
    for (std::size_t i = 0; i < ambiguity_count; ++i) {
        if (set.has(static_cast<ambiguity>(i))) {
            out.push_back(static_cast<ambiguity>(i));
        }
    }
    return out;
}

struct name_case {
    const char* disposition;
    std::vector<std::string> names;
    std::vector<ambiguity> unclear;
};

const std::vector<name_case>& name_cases() {
    static const std::vector<name_case> cases{
        {"attachment; filename=a.pdf", {"a.pdf"}, {}},
        {"attachment; filename=\"a b.pdf\"", {"a b.pdf"}, {}},
        {"attachment; FileName = \"a.pdf\" ;", {"a.pdf"}, {}},
        {"attachment (a; filename=x.exe); filename=a.pdf (b)", {"a.pdf", "a.pdf (b)"}, {}},
        {"attachment; filename=\"a\\\"b.pdf\"", {"a\"b.pdf"}, {}},
        {"attachment; filename=\"C:\\dir\\a.pdf\"", {"C:dira.pdf", "C:\\dir\\a.pdf"}, {}},
        {"attachment;\r\n filename=\"a\r\n b.pdf\"", {"a b.pdf"}, {}},
        {"attachment; filename=\"\xc3\xa9.pdf\"", {"\xc3\xa9.pdf"}, {}},
        {"attachment; filename=\"\xe9.pdf\"", {"\xef\xbf\xbd.pdf"}, {invalid_text}},
        {"attachment; name=a.exe", {"a.exe"}, {}},

        {"attachment; filename=my file.exe", {"my file.exe", "my"}, {malformed_parameter}},
        {"attachment; filename=a.exe(.pdf)", {"a.exe", "a.exe(.pdf)"}, {malformed_parameter}},
        {"attachment; filename=\"a.pdf\".exe", {"a.pdf", "a.pdf.exe"}, {malformed_parameter}},
        {"attachment; filename=\"a.pdf\" name=\"b.exe\"",
         {"a.pdf", "a.pdfname=b.exe", "b.exe"},
         {malformed_parameter}},
        {"attachment; filename=a\"b.pdf;c\".exe",
         {"a\"b.pdf", "a\"b.pdf;c\".exe"},
         {malformed_parameter}},
        {"attachment; filename=a b\"c.pdf;d\".exe; x=y",
         {"a b\"c.pdf", "a", "a b\"c.pdf;d\".exe"},
         {malformed_parameter}},
        {"attachment; filename=\"a.pdf\"b\";c\".exe",
         {"a.pdf", "a.pdfb", "\"a.pdf\"b\";c\".exe"},
         {malformed_parameter}},
        {"attachment; filename=a\"b.pdf; x=y",
         {"a\"b.pdf", "a\"b.pdf; x=y"},
         {malformed_parameter}},
        {"attachment filename=a.exe", {"a.exe"}, {malformed_field}},
        {"attachment; filename *=utf-8''a.exe", {}, {malformed_field, malformed_parameter}},
        {"attachment; filename: a.exe", {}, {malformed_field, malformed_parameter}},
        {"attachment; \"filename\"=a.exe", {}, {malformed_field}},
        {"attachment; filename=\"a.exe", {"a.exe"}, {malformed_parameter}},
        {"attachment; filename=\"a.exe; x=y", {"a.exe; x=y", "a.exe"}, {malformed_parameter}},
        {"attachment; filename=a.pdf; filename=b.exe", {"a.pdf", "b.exe"}, {doubled_parameter}},
        {"attachment; = ; filename=a.pdf", {"a.pdf"}, {malformed_parameter}},
        {"; filename=a.pdf", {"a.pdf"}, {malformed_field}},
        {"attachment; (filename=a.pdf", {}, {malformed_field}},
        {"attachment; filename", {}, {malformed_parameter}},
        {"attachment; filename=", {""}, {}},

        {"attachment; filename*=utf-8''%e2%82%ac.pdf", {"\xe2\x82\xac.pdf"}, {}},
        {"attachment; filename*=ISO-8859-1'en'%a3.pdf", {"\xc2\xa3.pdf"}, {}},
        {"attachment; filename*=windows-1252''%80.pdf", {"\xe2\x82\xac.pdf"}, {}},
        {"attachment; filename*=koi8-r''%c1.pdf", {"\xd0\xb0.pdf"}, {}},
        {"attachment; filename*=nonsense''%c1.pdf",
         {"\xef\xbf\xbd.pdf"},
         {unknown_charset, invalid_text}},
        {"attachment; filename*=../../x''a.pdf", {"a.pdf"}, {unknown_charset}},
        {"attachment; filename*=a.pdf", {"a.pdf"}, {malformed_parameter}},
        {"attachment; filename*=utf-8''a%2.pdf", {"a%2.pdf"}, {malformed_parameter}},
        {"attachment; filename=a.pdf; filename*=utf-8''a.pdf", {"a.pdf"}, {}},
        {"attachment; filename=a.pdf; filename*=utf-8''b.exe",
         {"b.exe", "a.pdf"},
         {plain_and_extended}},
        {"attachment; filename*0=a; filename*1=.exe", {"a.exe"}, {}},
        {"attachment; filename*1=.exe; filename*0=a", {"a.exe"}, {}},
        {"attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=\".pd%66\"",
         {"\xe2\x82\xac.pd%66"},
         {}},
        {"attachment; filename*0=a.pdf; filename*2=.exe", {"a.pdf.exe"}, {broken_continuation}},
        {"attachment; filename*1=.exe", {".exe"}, {broken_continuation}},
        {"attachment; filename*00=a.exe", {"a.exe"}, {broken_continuation}},
        {"attachment; filename*0=a; filename*0=b.exe", {"ab.exe"}, {broken_continuation}},
        {"attachment; filename*x=a.exe", {}, {broken_continuation}},
        {"attachment; filename*=utf-8''a.pdf; filename*0=b.exe",
         {"a.pdf", "b.exe"},
         {doubled_parameter}},

        {"attachment; filename=\"=?utf-8?B?YS5leGU=?=\"", {"a.exe"}, {}},
        {"attachment; filename==?utf-8?Q?a=2Eexe?=", {"a.exe"}, {}},
        {"attachment; filename=\"=?utf-8?Q?a_?=\r\n =?utf-8?Q?b.exe?=\"", {"a b.exe"}, {}},
        {"attachment; filename=\"=?utf-8?B?4oI=?= =?utf-8?B?rC5wZGY=?=\"",
         {"\xe2\x82\xac.pdf"},
         {}},
        {"attachment; filename=\"=?utf-8?Q?a?=.exe\"",
         {"a.exe", "=?utf-8?Q?a?=.exe"},
         {broken_encoded_word}},
        {"attachment; filename=\"=?utf-8?Q?a.exe\"", {"=?utf-8?Q?a.exe"}, {broken_encoded_word}},
        {"attachment; filename=\"=?x-none?Q?a.exe?=\"", {"a.exe"}, {unknown_charset}},
    };
    return cases;
}

TEST(ContentFields, KeepsEachNameAReaderCouldShow) {
    for (const name_case& it : name_cases()) {
        SCOPED_TRACE(it.disposition);
        const content_fields found =
            read("Content-Disposition: " + std::string(it.disposition) + "\r\n");
        EXPECT_EQ(found.names, it.names);
        EXPECT_EQ(kinds_of(found.unclear), it.unclear);
    }
}

TEST(ContentFields, JoinsNamesOfTypeAndDisposition) {
    const content_fields same = read("Content-Type: application/pdf; name=a.pdf\r\n"
                                     "Content-Disposition: attachment; filename=a.pdf\r\n");
    EXPECT_EQ(same.names, std::vector<std::string>{"a.pdf"});
    EXPECT_TRUE(same.unclear.empty());
    const content_fields other = read("Content-Type: application/pdf; name=b.exe\r\n"
                                      "Content-Disposition: attachment; filename=a.pdf\r\n");
    EXPECT_EQ(other.names, (std::vector<std::string>{"a.pdf", "b.exe"}));
    EXPECT_EQ(kinds_of(other.unclear), std::vector{names_differ});
}

TEST(ContentFields, TakesNamesFromFieldsOfTheirOwn) {
    const content_fields found =
        read("Content-Name: =?utf-8?q?a=2Eexe?=\r\nX-Sun-Data-Name: b.exe\r\n"
             "Content-Type: application/pdf; name=c.pdf\r\n");
    EXPECT_EQ(found.names, (std::vector<std::string>{"c.pdf", "a.exe", "b.exe"}));
    EXPECT_TRUE(found.unclear.empty());
}

TEST(ContentFields, ReadsTheOtherFields) {
    const content_fields found = read("content-TYPE: Text / HTML ; Charset=\"UTF-8\"\r\n"
                                      "Content-Transfer-Encoding: (x) BASE64 \r\n"
                                      "Content-Disposition: Inline\r\n"
                                      "Content-ID: <a@b> \r\n");
    EXPECT_TRUE(found.is("text", "html"));
    EXPECT_EQ(found.charset, "UTF-8");
    EXPECT_EQ(found.encoding, transfer_encoding::base64);
    EXPECT_EQ(found.disposition, "inline");
    EXPECT_EQ(found.content_id, "<a@b>");
    EXPECT_EQ(kinds_of(found.unclear), std::vector<ambiguity>{});
}

TEST(ContentFields, SaysWhatIsUnclear) {
    const std::vector<std::pair<std::string, std::vector<ambiguity>>> cases{
        {"Content-Type: text\r\n", {malformed_field}},
        {"Content-Type: a/b/c\r\n", {malformed_field}},
        {"Content-Type:\r\n", {malformed_field}},
        {"Content-Type: text/plain charset=utf-8\r\n", {malformed_field}},
        {"Content-Transfer-Encoding: base-64\r\n", {unknown_encoding}},
        {"Content-Transfer-Encoding: base64; x=y\r\n", {malformed_field}},
        {"Content-Transfer-Encoding: base64, 7bit\r\n",
         {malformed_field, malformed_parameter, unknown_encoding}},
        {"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n",
         {doubled_field}},
        {"Content-ID: <a>\r\nContent-ID: <b>\r\n", {doubled_field}},
        {"Content-Type: text/plain; boundary=a; boundary=b\r\n",
         {doubled_parameter, conflicting_boundaries}},
        {"Content-Type: text/plain; boundary=a; boundary*=''b\r\n", {conflicting_boundaries}},
        {"Content-Type: text/plain; boundary=\"a \"\r\n", {conflicting_boundaries}},
        {"Content-Type: text/plain; boundary=\" a\"\r\n", {conflicting_boundaries}},
        {"Content-Type: text/plain; boundary=a; boundary *=''b\r\n",
         {malformed_field, malformed_parameter}},
        {"Content-Type: text/plain; charset\r\n", {malformed_parameter}},
    };
    for (const auto& [fields, unclear] : cases) {
        EXPECT_EQ(kinds_of(read(fields).unclear), unclear) << fields;
    }
}

TEST(ContentFields, BoundsParametersAndNames) {
    std::string fields = "Content-Disposition: attachment";
    for (int i = 0; i < 200; ++i) {
        fields += "; filename=" + std::to_string(i);
    }
    const content_fields found = read(fields + "\r\n");
    EXPECT_EQ(found.names.size(), names_max);
    EXPECT_TRUE(found.unclear.has(too_many_parameters));
}

TEST(ContentFields, SaysThatAReadingOfANameIsTooLong) {
    const std::string long_text(2'000, 'x');
    for (const std::string& value : {"a " + long_text + ".exe",
                                     "\"a.pdf\"" + long_text + ".exe",
                                     "a\"" + long_text + ";b\".exe",
                                     "a(" + long_text + ").exe"}) {
        EXPECT_TRUE(read("Content-Disposition: attachment; filename=" + value + "\r\n")
                        .unclear.has(too_many_parameters))
            << value.substr(0, 10);
    }
    for (const std::string& value : {long_text + ".exe", '"' + long_text + " x.exe\""}) {
        const content_fields found =
            read("Content-Disposition: attachment; filename=" + value + "\r\n");
        EXPECT_EQ(found.names.size(), 1);
        EXPECT_TRUE(found.names.front().ends_with(".exe"));
        EXPECT_TRUE(found.unclear.empty());
    }
}

TEST(ContentFields, TakesTimeLinearInTheHeader) {
    for (const byte_view piece :
         {"=?", "=?a?b?", "(", "\"", ";", "=", "filename*0=", "\\", "'", "a=b\";"}) {
        std::string value = "Content-Disposition: a; filename=\"";
        while (value.size() < 60'000) {
            value += piece;
        }
        const auto begin = std::chrono::steady_clock::now();
        static_cast<void>(read(value + "\r\n"));
        // Square time would take minutes.
        EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2)) << piece;
    }
}

TEST(Charset, DecodesToUtf8) {
    struct charset_case {
        const char* charset;
        byte_view bytes;
        const char* text;
        bool known = true;
        bool valid = true;
    };

    const byte_view replaced = "\xef\xbf\xbd";
    const std::string r(replaced);
    const std::string overlong = r + r, surrogate = r + r + r, beyond = r + r + r + r;
    const std::vector<charset_case> cases{
        {"UTF-8", "a\xf0\x9f\x98\x80", "a\xf0\x9f\x98\x80"},
        {"utf-8*en", "\xc3\xa9", "\xc3\xa9"},
        {"utf-8", "\xc0\xaf", overlong.c_str(), true, false},
        {"utf-8", "\xed\xa0\x80", surrogate.c_str(), true, false},
        {"utf-8", "\xf4\x90\x80\x80", beyond.c_str(), true, false},
        {"utf-8", "a\xc3", "a\xef\xbf\xbd", true, false},
        {"iso-8859-1", "\xe9\x80", "\xc3\xa9\xc2\x80"},
        {"windows-1252", "\x80\x81", "\xe2\x82\xac\xef\xbf\xbd", true, false},
        {"Shift_JIS", "\x93\xfa", "\xe6\x97\xa5"},
        {"shift_jis", "a\xff", "a\xef\xbf\xbd", true, false},
        {"shift_jis", "a\x93", "a\xef\xbf\xbd", true, false},
        {"iso-2022-jp", "\x1b$BF|\x1b(B", "\xe6\x97\xa5"},
        {"utf-7", "+ZeU-", "\xe6\x97\xa5"},
        {"gbk", "\xc8\xd5", "\xe6\x97\xa5"},
        {"utf-8//TRANSLIT", "a", "a", false},
        {"", "a", "a", false},
    };
    for (const charset_case& it : cases) {
        const decoded_text found = to_utf8(it.charset, it.bytes);
        EXPECT_EQ(found.text, it.text) << it.charset;
        EXPECT_EQ(found.charset_known, it.known) << it.charset;
        EXPECT_EQ(found.valid, it.valid) << it.charset;
    }
}

} // namespace
} // namespace ebbgate::mime
