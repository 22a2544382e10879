// Whatever bytes are written must be read back by the parser, on one line.

#include "codec/json/document.h"
#include "codec/json/writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace ebbgate::json {
namespace {

TEST(JsonWriter, NestedValuesAreSeparated) {
    std::string out;
    writer json(out);
    json.begin_object().member("a", 1).member("b", "x").key("c").begin_array();
    json.number(-1).number(std::numeric_limits<std::uint64_t>::max()).null().boolean(false);
    json.begin_object().end_object().begin_array().end_array().end_array();
    json.member("d", true).member("e", 1.5).key_escaped("q\"").real(1.0 / 0.0).end_object();
    EXPECT_EQ(out,
              R"({"a":1,"b":"x","c":[-1,18446744073709551615,null,false,{},[]],)"
              R"("d":true,"e":1.5,"q\"":null})");
}

struct escape_case {
    const char* name;
    std::string_view text;
    std::string_view escaped;
};

constexpr escape_case escapes[] = {
    {"plain", "abc", "abc"},
    {"quote and backslash", "\"\\", "\\\"\\\\"},
    {"line ends", "a\r\nb\tc", "a\\r\\nb\\tc"},
    {"NUL and ESC", std::string_view("\0\x1b[2J", 5), "\\u0000\\u001b[2J"},
    {"DEL", "\x7f", "\\u007f"},
    {"good UTF-8", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"C1 control", "\xc2\x9b", "\\u009b"},
    {"lone continuation", "a\x80z", "a\xef\xbf\xbdz"},
    {"overlong slash", "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"surrogate", "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"beyond Unicode", "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"cut sequence", "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
};

TEST(JsonWriter, EscapesExactly) {
    for (const escape_case& c : escapes) {
        SCOPED_TRACE(c.name);
        std::string out;
        append_escaped(out, c.text);
        EXPECT_EQ(out, c.escaped);
    }
}

TEST(JsonWriter, RandomBytesAreAlwaysReadBack) {
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        std::string text(random() % 40, '\0');
        for (char& c : text) {
            c = static_cast<char>(random() % 4 == 0 ? random() % 256 : 0xb0 + random() % 0x48);
        }
        std::string out;
        writer(out).begin_object().member("t", text).end_object();
        ASSERT_TRUE(document::parse(out).has_value()) << out;
        EXPECT_EQ(out.find('\n'), std::string::npos);
        std::string again;
        append_escaped(again, document::parse(out)->root().find("t")->text());
        EXPECT_EQ("{\"t\":\"" + again + "\"}", out);
    }
}

} // namespace
} // namespace ebbgate::json
