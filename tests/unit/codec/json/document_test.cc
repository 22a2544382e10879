// The parser is judged by the public JSON test suite where it is present, and by tables.

#include "codec/json/document.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

namespace ebbgate::json {
namespace {

namespace fs = std::filesystem;

// EBBGATE_CORPORA names the folder; otherwise a sibling `shared/corpora` of the source tree.
fs::path corpus_folder() {
    if (const char* named = std::getenv("EBBGATE_CORPORA"); named != nullptr) {
        return fs::path(named) / "json" / "test_parsing";
    }
    for (fs::path at = fs::absolute(__FILE__).parent_path(); at.has_relative_path();
         at = at.parent_path()) {
        const fs::path candidate = at / "shared" / "corpora" / "json" / "test_parsing";
        if (fs::is_directory(candidate)) {
            return candidate;
        }
    }
    return {};
}

std::string read_all(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(JsonDocument, AgreesWithTheParsingTestSuite) {
    const fs::path folder = corpus_folder();
    if (folder.empty() || !fs::is_directory(folder)) {
        std::cout << "skipped: corpus not present\n";
        GTEST_SKIP() << "skipped: corpus not present";
    }
    std::size_t files = 0;
    for (const auto& file : fs::directory_iterator(folder)) {
        const std::string name = file.path().filename().string();
        const std::string text = read_all(file.path());
        parse_limits limits;
        const auto strict = document::parse(text, limits);
        // RFC 8259 only advises against duplicate keys; the suite accepts them, we do not.
        limits.duplicate_keys_allowed = true;
        const auto lenient = document::parse(text, limits);
        ++files;
        if (name.starts_with("y_")) {
            EXPECT_TRUE(lenient.has_value()) << name << ": " << lenient.error().message;
            EXPECT_EQ(strict.has_value(), !name.starts_with("y_object_duplicated_key")) << name;
        } else if (name.starts_with("n_")) {
            EXPECT_FALSE(lenient.has_value()) << name;
            EXPECT_FALSE(strict.has_value()) << name;
        }
    }
    EXPECT_GT(files, 300U);
}

struct fault_case {
    const char* name;
    std::string_view text;
    std::uint32_t line;
    std::string_view pointer;
    std::string_view message_part;
};

constexpr fault_case refused[] = {
    {"empty", "", 1, "", "expected a JSON value"},
    {"only white space", " \n ", 2, "", "expected"},
    {"duplicate key", "{\"a\":1,\n\"b\":{\"x\":1,\n\"x\":2}}", 3, "/b/x", "duplicate key"},
    {"duplicate key by escape", "{\"a\":1,\"\\u0061\":2}", 1, "/a", "duplicate key"},
    {"duplicate among many",
     R"({"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"c":2})",
     1,
     "/c",
     "duplicate key"},
    {"trailing content", "{}\n{}", 1, "", "end of the text"},
    {"trailing bracket", "[1]]", 1, "", "end of the text"},
    {"invalid UTF-8", "{\n\"a\":\"\xff\"}", 2, "", "UTF-8"},
    {"raw newline in a string", "{\"a\":\"b\nc\"}", 1, "", "control character"},
    {"unclosed string", "{\n\"a\":\"b", 2, "", "quote"},
    {"bare word", "{\"a\":[1,\nyes]}", 2, "/a/1", "expected a value"},
    {"leading zero", "{\"a\":01}", 1, "/a", "expected a value"},
    {"too large a number", "[1e999]", 1, "/0", "too large"},
    {"missing comma", "{\"a\":1 \"b\":2}", 1, "", "comma"},
    {"control character after null", "[null\x1a]", 1, "", "comma"},
    {"control character after a number", "[1\x1a]", 1, "", "comma"},
    {"two scalars", "[null null]", 1, "", "comma"},
    {"scalar and string", "[1\"a\"]", 1, "/0", "expected a value"},
    {"comment", "{} // no", 1, "", "nothing after it"},
    {"byte order mark", "\xef\xbb\xbf{}", 1, "", "byte order mark"},
    {"pointer characters are escaped", "{\"a/b~c\":nope}", 1, "/a~1b~0c", "expected a value"},
};

TEST(JsonDocument, EveryFaultNamesItsLineAndPointer) {
    for (const fault_case& c : refused) {
        SCOPED_TRACE(c.name);
        const auto parsed = document::parse(c.text);
        ASSERT_FALSE(parsed.has_value());
        EXPECT_EQ(parsed.error().line, c.line);
        EXPECT_EQ(parsed.error().pointer, c.pointer);
        EXPECT_NE(parsed.error().message.find(c.message_part), std::string::npos)
            << parsed.error().message;
    }
}

TEST(JsonDocument, ValuesKnowTheirPlace) {
    const auto parsed =
        document::parse("{\n \"a\": [1, -2.5,\n  \"x\\ny\"],\n \"b/c\": {\"d\": true}\n}");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    const value* a = parsed->root().find("a");
    ASSERT_NE(a, nullptr);
    ASSERT_EQ(a->children().size(), 3U);
    EXPECT_EQ(a->children()[0].integer(), 1);
    EXPECT_EQ(a->children()[1].real(), -2.5);
    EXPECT_EQ(a->children()[2].text(), "x\ny");
    EXPECT_EQ(a->children()[2].line(), 3U);
    EXPECT_EQ(a->children()[2].pointer(), "/a/2");
    const value* d = parsed->root().find("b/c")->find("d");
    ASSERT_NE(d, nullptr);
    EXPECT_EQ(d->pointer(), "/b~1c/d");
    EXPECT_EQ(d->line(), 4U);
    EXPECT_TRUE(d->boolean());
    EXPECT_EQ(parsed->root().find("absent"), nullptr);
}

TEST(JsonDocument, NumbersBeyondSixtyFourBitsBecomeReal) {
    const auto parsed = document::parse("[9223372036854775807,-9223372036854775808,"
                                        "9223372036854775808,18446744073709551616,1e-999,-0]");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    const auto items = parsed->root().children();
    EXPECT_EQ(items[0].integer(), INT64_MAX);
    EXPECT_EQ(items[1].integer(), INT64_MIN);
    EXPECT_EQ(items[2].kind(), kind::real);
    EXPECT_EQ(items[2].real(), 9223372036854775808.0);
    EXPECT_EQ(items[3].real(), 18446744073709551616.0);
    EXPECT_EQ(items[4].real(), 0.0);
    EXPECT_EQ(items[5].integer(), 0);
}

TEST(JsonDocument, RootScalarsAreValues) {
    EXPECT_EQ(document::parse(" 12 ")->root().integer(), 12);
    EXPECT_EQ(document::parse("\"x\" ")->root().text(), "x");
    EXPECT_TRUE(document::parse("null")->root().is(kind::null));
    EXPECT_TRUE(document::parse("true\n")->root().boolean());
    EXPECT_FALSE(document::parse("\"x\" 1").has_value());
    EXPECT_FALSE(document::parse("1 2").has_value());
    EXPECT_FALSE(document::parse("nul").has_value());
}

TEST(JsonDocument, BoundsAreKept) {
    parse_limits limits;
    const std::string deep(32, '[');
    EXPECT_TRUE(document::parse(deep + std::string(32, ']'), limits).has_value());
    EXPECT_FALSE(document::parse("[" + deep + std::string(33, ']'), limits).has_value());
    EXPECT_FALSE(document::parse(std::string(100'000, '['), limits).has_value());
    limits.values_max = 3;
    EXPECT_TRUE(document::parse("[1,2]", limits).has_value());
    EXPECT_FALSE(document::parse("[1,2,3]", limits).has_value());
    EXPECT_TRUE(document::parse(R"(["{[,,,,,,,,,,\"[{"])", limits).has_value());
    limits.text_bytes_max = 4;
    EXPECT_FALSE(document::parse("[1,2]", limits).has_value());
}

TEST(JsonDocument, TooManySeparatorsAreRefusedBeforeAnythingIsBuilt) {
    parse_limits limits;
    limits.values_max = 3;
    const auto stopped = document::parse("[\"[,\",\n[[,[[,[", limits);
    ASSERT_FALSE(stopped.has_value());
    EXPECT_EQ(stopped.error().message, "the text holds too many values");
    EXPECT_EQ(stopped.error().line, 2U);
    // As many as three values can have.
    EXPECT_TRUE(document::parse("[[],{}]", limits).has_value());
}

TEST(JsonDocument, MembersAndKeysAreBounded) {
    parse_limits limits;
    limits.members_max = 2;
    limits.key_bytes_max = 3;
    EXPECT_TRUE(document::parse(R"({"abc":1,"b":{"c":1,"d":1}})", limits).has_value());
    const auto many = document::parse("{\"a\":{\"b\":1,\n\"c\":1,\"d\":1}}", limits);
    ASSERT_FALSE(many.has_value());
    EXPECT_EQ(many.error().pointer, "/a");
    EXPECT_EQ(many.error().message, "an object holds too many members");
    const auto long_key = document::parse(R"({"abcd":1})", limits);
    ASSERT_FALSE(long_key.has_value());
    EXPECT_EQ(long_key.error().message, "a key is too long");
}

TEST(JsonDocument, MayBeMovedAndOwnsItsTexts) {
    std::string text = R"({"key":["plain","esc\u00e9\n",{"n":-7}]})";
    auto first = document::parse_owned(std::move(text));
    ASSERT_TRUE(first.has_value());
    const document second = std::move(*first);
    first = std::unexpected(parse_fault{});
    const value& items = *second.root().find("key");
    ASSERT_EQ(items.children().size(), 3U);
    EXPECT_EQ(items.children()[0].text(), "plain");
    EXPECT_EQ(items.children()[1].text(), "esc\xc3\xa9\n");
    EXPECT_EQ(items.children()[2].find("n")->integer(), -7);
    EXPECT_EQ(items.children()[2].find("n")->pointer(), "/key/2/n");
}

TEST(JsonDocument, ATruncatedTextIsNeverAccepted) {
    const std::string whole = R"({"a":[1,2.5,{"b":"c\u00e9"}],"d":null,"e":true})";
    ASSERT_TRUE(document::parse(whole).has_value());
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        EXPECT_FALSE(document::parse(whole.substr(0, cut)).has_value()) << cut;
    }
}

} // namespace
} // namespace ebbgate::json
