#include "ebbgate/smtp/address.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace ebbgate::smtp {
namespace {

TEST(Address, MailboxesOfRfc5321AreAccepted) {
    for (byte_view text : {"a@b",
                           "user@example.test",
                           "first.last+tag@sub.example.test",
                           "\"quoted string\"@example.test",
                           "\"a\\\"b\"@example.test",
                           "\"\"@example.test",
                           "!#$%&'*+-/=?^_`{|}~@example.test",
                           "user%far.test@example.test",
                           "user@[192.0.2.1]",
                           "user@[IPv6:2001:db8::1]",
                           "user@[ipv6:::1]",
                           "user@xn--bcher-kva.test",
                           "1@1.test",
                           "far.test!user@example.test"}) {
        EXPECT_TRUE(parse_mailbox(text, false).has_value()) << text;
    }
}

TEST(Address, OtherThingsAreNot) {
    using enum address_fault;

    struct bad_case {
        std::string text;
        address_fault fault;
    };

    const std::string label(63, 'l');
    const std::string long_domain = label + "." + label + "." + label;
    for (const bad_case& c : {
             bad_case{"", bad_local_part},
             bad_case{"a", bad_local_part},
             bad_case{"@b.test", source_route},
             bad_case{"@a.test:b@c.test", source_route},
             bad_case{"a@", bad_domain},
             bad_case{".a@b.test", bad_local_part},
             bad_case{"a.@b.test", bad_local_part},
             bad_case{"a..b@b.test", bad_local_part},
             bad_case{"a b@b.test", bad_local_part},
             bad_case{"a@b@c.test", bad_domain},
             bad_case{"a@b..test", bad_domain},
             bad_case{"a@b.test.", bad_domain},
             bad_case{"a@-b.test", bad_domain},
             bad_case{"a@b-.test", bad_domain},
             bad_case{"a@b_c.test", bad_domain},
             bad_case{"a@b.test\r\nX: y", bad_domain},
             bad_case{std::string("a\0@b.test", 9), bad_local_part},
             bad_case{std::string("a@b.test\0", 9), bad_domain},
             bad_case{std::string("\"a\0\"@b.test", 11), bad_local_part},
             bad_case{"\"a\r\n\"@b.test", bad_local_part},
             bad_case{"\"a\"b@b.test", bad_local_part},
             bad_case{"a\"b\"@b.test", bad_local_part},
             bad_case{"\"a", bad_local_part},
             bad_case{"a(comment)@b.test", bad_local_part},
             bad_case{"a@[1.2.3]", bad_literal},
             bad_case{"a@[1.2.3.256]", bad_literal},
             bad_case{"a@[IPv6:1::2::3]", bad_literal},
             bad_case{"a@[2001:db8::1]", bad_literal},
             bad_case{"a@[tag:anything]", bad_literal},
             bad_case{"a@[]", bad_literal},
             bad_case{"a@[1.2.3.4]x", bad_domain},
             bad_case{"a@" + label + "l.test", bad_domain},
             bad_case{std::string(65, 'a') + "@b.test", too_long},
             bad_case{std::string(64, 'a') + "@" + long_domain, too_long},
             bad_case{"j\xc3\xb6rg@b.test", needs_smtputf8},
             bad_case{"a@b\xc3\xbc.test", needs_smtputf8},
         }) {
        const auto parsed = parse_mailbox(c.text, false);
        ASSERT_FALSE(parsed.has_value()) << c.text;
        EXPECT_EQ(parsed.error(), c.fault) << c.text;
    }
}

TEST(Address, Utf8IsCheckedWhereItIsAllowed) {
    EXPECT_TRUE(parse_mailbox("j\xc3\xb6rg@b\xc3\xbc.test", true)->utf8);
    EXPECT_FALSE(parse_mailbox("a@b.test", true)->utf8);
    // Overlong, cut short, a surrogate, above the last code point, a C1 control.
    for (byte_view text : {"\xc0\xaf@b.test",
                           "\xc3@b.test",
                           "\xed\xa0\x80@b.test",
                           "\xf4\x90\x80\x80@b.test",
                           "\xc2\x85@b.test",
                           "a@b.test\xff"}) {
        EXPECT_FALSE(parse_mailbox(text, true).has_value()) << text;
    }
}

TEST(Address, TakePathStopsBehindTheBracket) {
    byte_view input = "<a@b.test> SIZE=1";
    const auto path = take_path(input, {path_kind::reverse, false});
    ASSERT_TRUE(path.has_value());
    EXPECT_EQ(path->text, "a@b.test");
    EXPECT_EQ(path->local, "a");
    EXPECT_EQ(path->domain, "b.test");
    EXPECT_EQ(input, " SIZE=1");

    input = "<\"a>b\"@b.test>";
    EXPECT_EQ(take_path(input, {path_kind::forward, false})->local, "\"a>b\"");
    EXPECT_TRUE(input.empty());

    input = "<postmaster>";
    EXPECT_FALSE(take_path(input, {path_kind::reverse, false}).has_value());
}

TEST(Address, EveryPrefixIsRefusedWithoutReadingBehindIt) {
    for (byte_view whole : {"<\"a\\\"b c\"@[IPv6:2001:db8::1]>", "<a.b@c.test>"}) {
        for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
            const std::string prefix(whole.substr(0, bytes));
            byte_view input = prefix;
            EXPECT_FALSE(take_path(input, {path_kind::forward, true}).has_value()) << prefix;
        }
    }
}

// The public isemail test set, when it is there: what RFC 5321 allows must be accepted, what is an
// error must not. Its other categories are addresses of headers, not of envelopes.
std::string element(const std::string& test, const std::string& name) {
    const std::size_t start = test.find("<" + name + ">");
    const std::size_t end = test.find("</" + name + ">");
    if (start == std::string::npos || end == std::string::npos) {
        return {};
    }
    return test.substr(start + name.size() + 2, end - start - name.size() - 2);
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
}

std::string decode_entities(std::string text) {
    for (int code = 0; code < 33; ++code) {
        char entity[16];
        std::snprintf(entity, sizeof(entity), "&#x24%02X;", code);
        replace_all(text, entity, std::string(1, static_cast<char>(code)));
    }
    replace_all(text, "&#xA9;", "\xc2\xa9");
    replace_all(text, "&lt;", "<");
    replace_all(text, "&gt;", ">");
    replace_all(text, "&quot;", "\"");
    replace_all(text, "&amp;", "&");
    return text;
}

TEST(Address, AgreesWithTheIsemailSet) {
    const char* corpora = std::getenv("EBBGATE_CORPORA");
    std::ifstream file(std::string(corpora == nullptr ? "" : corpora) +
                       "/address/isemail-tests.xml");
    if (corpora == nullptr || !file) {
        GTEST_SKIP() << "no corpus";
    }
    const std::string all{std::istreambuf_iterator<char>(file), {}};
    std::size_t accepted = 0;
    std::size_t refused = 0;
    for (std::size_t at = all.find("<test id"); at != std::string::npos;) {
        const std::size_t next = all.find("<test id", at + 1);
        const std::string test = all.substr(at, next - at);
        at = next;
        const std::string address = decode_entities(element(test, "address"));
        const std::string category = element(test, "category");
        const std::string diagnosis = element(test, "diagnosis");
        const bool good = category == "ISEMAIL_VALID_CATEGORY" || category == "ISEMAIL_DNSWARN" ||
                          category == "ISEMAIL_RFC5321" ||
                          // "::" for one group only: RFC 5321 had it, RFC 5952 advises against.
                          diagnosis == "ISEMAIL_RFC5321_IPV6DEPRECATED";
        const bool got = parse_mailbox(address, false).has_value();
        EXPECT_EQ(got, good) << address << "  " << category << " " << diagnosis;
        (got ? accepted : refused) += 1;
    }
    EXPECT_GT(accepted, 20U);
    EXPECT_GT(refused, 100U);
}

} // namespace
} // namespace ebbgate::smtp
