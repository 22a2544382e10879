// Conditional requests: each header alone, and which of two counts.

#include "service/filelink/conditions.h"
#include "service/filelink/http_date.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace ebbgate::filelink {
namespace {

constexpr std::string_view date = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::string_view sooner = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr std::string_view later = "Sun, 06 Nov 1994 08:49:38 GMT";
constexpr std::int64_t date_unix_s = 784'111'777;

http::request with(std::initializer_list<http::header> headers) {
    http::request asked;
    asked.method = "GET";
    asked.headers = headers;
    return asked;
}

const validators& file() {
    static const validators made{"\"a1\"", date_unix_s};
    return made;
}

struct verdict_case {
    http::request asked;
    verdict expected;
};

http::header field(std::string_view name, std::string_view value) {
    return {std::string(name), std::string(value)};
}

TEST(conditions, each_header_alone) {
    const verdict_case cases[] = {
        {with({}), verdict::go_on},
        {with({field("If-Match", "*")}), verdict::go_on},
        {with({field("if-match", "\"a1\"")}), verdict::go_on},
        {with({field("If-Match", "\"b\", \"a1\"")}), verdict::go_on},
        {with({field("If-Match", "\"b\""), field("If-Match", "\"a1\"")}), verdict::go_on},
        {with({field("If-Match", "\"b\"")}), verdict::failed},
        {with({field("If-Match", "W/\"a1\"")}), verdict::failed},
        {with({field("If-Match", "a1")}), verdict::failed},
        {with({field("If-Match", "")}), verdict::failed},
        {with({field("If-None-Match", "*")}), verdict::not_modified},
        {with({field("If-None-Match", "\"a1\"")}), verdict::not_modified},
        {with({field("If-None-Match", "W/\"a1\"")}), verdict::not_modified},
        {with({field("If-None-Match", "\"b\" ,W/\"c,d\",, \"a1\" ,")}), verdict::not_modified},
        {with({field("If-None-Match", "\"b\""), field("If-None-Match", "\"a1\"")}),
         verdict::not_modified},
        {with({field("If-None-Match", "\"b\"")}), verdict::go_on},
        {with({field("If-None-Match", "\"A1\"")}), verdict::go_on},
        {with({field("If-None-Match", "\"a1")}), verdict::go_on},
        {with({field("If-None-Match", "\"a1\"x")}), verdict::go_on},
        {with({field("If-None-Match", "\"a1\" \"b\"")}), verdict::go_on},
        {with({field("If-None-Match", "w/\"a1\"")}), verdict::go_on},
        {with({field("If-Modified-Since", date)}), verdict::not_modified},
        {with({field("If-Modified-Since", later)}), verdict::not_modified},
        {with({field("If-Modified-Since", sooner)}), verdict::go_on},
        {with({field("If-Modified-Since", "yesterday")}), verdict::go_on},
        {with({field("If-Modified-Since", date), field("If-Modified-Since", date)}),
         verdict::go_on},
        {with({field("If-Unmodified-Since", date)}), verdict::go_on},
        {with({field("If-Unmodified-Since", later)}), verdict::go_on},
        {with({field("If-Unmodified-Since", sooner)}), verdict::failed},
        {with({field("If-Unmodified-Since", "")}), verdict::go_on},
    };
    for (const verdict_case& one : cases) {
        EXPECT_EQ(judge(one.asked, file()), one.expected)
            << (one.asked.headers.empty()
                    ? "nothing"
                    : one.asked.headers[0].name + ": " + one.asked.headers[0].value);
    }
}

// RFC 9110 section 13.2.2.
TEST(conditions, entity_tags_count_more_than_dates_and_failing_comes_first) {
    EXPECT_EQ(
        judge(with({field("If-Match", "\"a1\""), field("If-Unmodified-Since", sooner)}), file()),
        verdict::go_on);
    EXPECT_EQ(
        judge(with({field("If-None-Match", "\"b\""), field("If-Modified-Since", later)}), file()),
        verdict::go_on);
    EXPECT_EQ(
        judge(with({field("If-None-Match", "\"a1\""), field("If-Modified-Since", sooner)}), file()),
        verdict::not_modified);
    EXPECT_EQ(judge(with({field("If-None-Match", "\"a1\""), field("If-Match", "\"b\"")}), file()),
              verdict::failed);
    EXPECT_EQ(judge(with({field("If-Match", "*"), field("If-None-Match", "*")}), file()),
              verdict::not_modified);
}

TEST(conditions, a_range_holds_for_the_same_file_only) {
    for (const auto& [value, holds] :
         std::initializer_list<std::pair<std::string_view, bool>>{{"\"a1\"", true},
                                                                  {" \"a1\" ", true},
                                                                  {"W/\"a1\"", false},
                                                                  {"\"b\"", false},
                                                                  {"\"a1\", \"b\"", false},
                                                                  {"*", false},
                                                                  {"", false},
                                                                  {date, true},
                                                                  {sooner, false},
                                                                  {later, false}}) {
        EXPECT_EQ(holds_range(with({field("If-Range", value)}), file()), holds) << value;
    }
    EXPECT_TRUE(holds_range(with({}), file()));
    EXPECT_FALSE(holds_range(with({field("If-Range", date), field("If-Range", date)}), file()));
}

TEST(http_date, the_three_forms_are_read_and_nothing_else) {
    for (const std::string_view good : {date,
                                        std::string_view("Sunday, 06-Nov-94 08:49:37 GMT"),
                                        std::string_view("Sun Nov  6 08:49:37 1994"),
                                        std::string_view(" Sun, 06 Nov 1994 08:49:37 GMT ")}) {
        EXPECT_EQ(parse_http_date(good), date_unix_s) << good;
    }
    for (const std::string_view bad : {"",
                                       "784111777",
                                       "Sun, 06 Nov 1994 08:49:37",
                                       "Sun, 06 Nov 1994 08:49:37 CET",
                                       "Sun, 06 Nov 1994 08:49:37 GMT+1",
                                       "Sun, 06 Nov 1994 25:49:37 GMT",
                                       "Sun, 06 Foo 1994 08:49:37 GMT",
                                       "1994-11-06T08:49:37Z"}) {
        EXPECT_EQ(parse_http_date(bad), std::nullopt) << bad;
    }
    EXPECT_EQ(parse_http_date(std::string_view("Sun, 06 Nov 1994 08:49:37 GMT\0x", 31)),
              std::nullopt);
}

} // namespace
} // namespace ebbgate::filelink
