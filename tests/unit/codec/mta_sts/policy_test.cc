// MTA-STS records and policies, good and bad.

#include "codec/mta_sts/policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::mta_sts {
namespace {

const std::string whole = "version: STSv1\r\nmode: enforce\r\nmx: mail.Example.test\r\n"
                          "mx: *.example.test\r\nmax_age: 604800\r\n";

TEST(parse_policy, reads_the_example_of_the_rfc) {
    const auto read = parse_policy(whole);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->mode, mode::enforce);
    EXPECT_EQ(read->mx, (std::vector<std::string>{"mail.example.test", "*.example.test"}));
    EXPECT_EQ(read->max_age_s, 604800);
    EXPECT_EQ(parse_policy(to_text(*read)), read);
}

TEST(parse_policy, is_as_tolerant_as_the_grammar) {
    const policy expected{mode::testing, {"a.test"}, 86400};
    for (const char* text : {
             "version: STSv1\nmode: testing\nmx: a.test\nmax_age: 86400",
             "version:STSv1\nmode:testing\nmx:a.test\nmax_age:86400\n",
             "version: \t STSv1 \t\nmode: testing \r\nmx: a.test\nmax_age: 86400\r\n",
             "max_age: 86400\nmx: a.test\nmode: testing\nversion: STSv1\n",
             "version: STSv1\nmode: testing\nmx: a.test\nmax_age: 86400\nx-more.of_it: a: b c\n",
             "version: STSv1\nmode: testing\nmode: enforce\nmx: a.test\nmax_age: 86400\n",
             "version: STSv1\nmode: testing\nmx: a.test\nmax_age: 86400\nversion: STSv2\n",
             "version: STSv1\nnote: J\xc3\xb6rg\nmode: testing\nmx: a.test\nmax_age: 86400\n\n",
         }) {
        EXPECT_EQ(parse_policy(text), expected) << text;
    }
    EXPECT_EQ(parse_policy("version: STSv1\nmode: none\nmax_age: 1\n"),
              (policy{mode::none, {}, 1}));
    EXPECT_EQ(parse_policy("version: STSv1\nmode: none\nmax_age: 9999999999\n")->max_age_s,
              max_age_s_max);
}

TEST(parse_policy, says_what_is_wrong) {
    using enum policy_fault;
    const std::string head = "version: STSv1\nmode: enforce\nmax_age: 60\n";
    std::string many = head;
    for (std::size_t at = 0; at <= mx_patterns_max; ++at) {
        many += "mx: m" + std::to_string(at) + ".test\n";
    }

    const struct {
        std::string text;
        policy_fault fault;
    } rows[] = {
        {"", bad_version},
        {"mode: enforce\nmax_age: 60\nmx: a.test\n", bad_version},
        {"version: STSv2\nmode: enforce\nmax_age: 60\nmx: a.test\n", bad_version},
        {"version: stsv1\n", bad_version},
        {"Version: STSv1\nmode: none\nmax_age: 1\n", bad_version},
        {"version: STSv1\nmode: Enforce\n", bad_mode},
        {"version: STSv1\nmax_age: 60\nmx: a.test\n", bad_mode},
        {"version: STSv1\nmode: none\n", bad_max_age},
        {"version: STSv1\nmode: none\nmax_age: -1\n", bad_max_age},
        {"version: STSv1\nmode: none\nmax_age: 1 day\n", bad_max_age},
        {"version: STSv1\nmode: none\nmax_age: 12345678901\n", bad_max_age},
        {head, no_mx},
        {head + "mx: \n", bad_line},
        {head + "mx: .test\n", bad_mx},
        {head + "mx: a..test\n", bad_mx},
        {head + "mx: -a.test\n", bad_mx},
        {head + "mx: a.*.test\n", bad_mx},
        {head + "mx: *\n", bad_mx},
        {head + "mx: a.test, b.test\n", bad_mx},
        {head + "mx: [192.0.2.1]\n", bad_mx},
        {head + "mx: " + std::string(64, 'a') + ".test\n", bad_mx},
        {head + "mx : a.test\n", bad_line},
        {head + "nonsense\n", bad_line},
        {head + " mx: a.test\n", bad_line},
        {head + "mx: a.test\rmx: b.test\n", bad_line},
        {head + "x: a\x01\n", bad_line},
        {head + std::string(33, 'x') + ": a\n", bad_line},
        {many, too_many_mx},
        {head + std::string(policy_bytes_max, '\n'), too_long},
        {"<html>not found</html>", bad_line},
    };

    for (const auto& row : rows) {
        const auto read = parse_policy(row.text);
        ASSERT_FALSE(read.has_value()) << row.text;
        EXPECT_EQ(read.error(), row.fault) << row.text << to_text(read.error());
    }
}

TEST(parse_policy, cut_anywhere_never_says_more_than_it_read) {
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
        const auto read = parse_policy(byte_view(whole).substr(0, bytes));
        // max_age is the last: without a digit of it there is no policy. A CR alone ends no line.
        EXPECT_EQ(read.has_value(), bytes > whole.find("6048") && bytes + 1 < whole.size())
            << bytes;
        if (read) {
            EXPECT_EQ(read->mode, mode::enforce);
            EXPECT_EQ(read->mx.size(), 2U);
        }
    }
}

TEST(policy_matches, wildcards_stand_for_one_label) {
    const policy read{mode::enforce, {"mail.example.test", "*.example.test"}, 60};
    EXPECT_TRUE(read.matches("mail.example.test"));
    EXPECT_TRUE(read.matches("MAIL.Example.test."));
    EXPECT_TRUE(read.matches("a.example.test"));
    EXPECT_FALSE(read.matches("example.test"));
    EXPECT_FALSE(read.matches(".example.test"));
    EXPECT_FALSE(read.matches("a.b.example.test"));
    EXPECT_FALSE(read.matches("mail.example.test.evil.test"));
    EXPECT_FALSE(read.matches(""));
    EXPECT_FALSE(policy{}.matches("a.test"));
}

TEST(parse_record, takes_the_id) {
    const struct {
        const char* text;
        const char* id; // Null: not valid.
    } rows[] = {
        {"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
        {"v=STSv1;id=1", "1"},
        {"v=STSv1 ; \t id=1 ; ", "1"},
        {"v=STSv1; a.b-c_d=x:y; id=1", "1"},
        {"v=STSv1; id=1; id=2", "1"},
        {"v=STSv1; id=12345678901234567890123456789012", "12345678901234567890123456789012"},
        {"v=STSv1; id=123456789012345678901234567890123", nullptr},
        {"v=STSv1", nullptr},
        {"v=STSv1;", nullptr},
        {"v=STSv1; a=b", nullptr},
        {"v=STSv1; id=", nullptr},
        {"v=STSv1; id=a-b", nullptr},
        {"v=STSv1; id=1 2", nullptr},
        {"v=STSv1; id=1;;", nullptr},
        {"v=STSv1;; id=1", nullptr},
        {"v=STSv1; id=1; junk", nullptr},
        {"v=STSv1; id=1 ", nullptr},
        {"v=STSv1; ID=1", nullptr},
        {"V=STSv1; id=1", nullptr},
        {"v=STSv12; id=1", nullptr},
        {" v=STSv1; id=1", nullptr},
        {"v=spf1 -all", nullptr},
        {"", nullptr},
    };

    for (const auto& row : rows) {
        const auto id = parse_record(row.text);
        EXPECT_EQ(id.has_value(), row.id != nullptr) << row.text;
        EXPECT_EQ(id.value_or(""), row.id == nullptr ? "" : row.id) << row.text;
    }
    const std::string record = "v=STSv1; id=20160831085700Z;";
    for (std::size_t bytes = 0; bytes < record.size(); ++bytes) {
        EXPECT_EQ(parse_record(record.substr(0, bytes)).has_value(), bytes > record.find("2016"));
    }
}

TEST(find_id, wants_exactly_one_record) {
    const std::string one = "v=STSv1; id=1;";
    EXPECT_EQ(find_id(std::vector<std::string>{"v=spf1 -all", one}), "1");
    EXPECT_FALSE(find_id(std::vector<std::string>{one, one}).has_value());
    EXPECT_FALSE(find_id(std::vector<std::string>{"v=STSv1; id=!", one}).has_value());
    EXPECT_FALSE(find_id(std::vector<std::string>{}).has_value());
}

} // namespace
} // namespace ebbgate::mta_sts
