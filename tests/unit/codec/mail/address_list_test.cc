// What an honest mailer writes is taken, and each known way to show a reader another author is
// refused.

#include "ebbgate/mail/address_list.h"

#include "codec/mail/display_name.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::mail {
namespace {

std::string list_of(const std::vector<mailbox>& mailboxes) {
    std::string out;
    for (const mailbox& one : mailboxes) {
        out += (out.empty() ? "" : ", ") + one.local + '@' + one.domain;
    }
    return out;
}

TEST(AddressList, HonestFormsAreTaken) {
    struct good_case {
        std::string text;
        std::string wanted;
    };

    for (const good_case& c : std::vector<good_case>{
             {"a@b.example", "a@b.example"},
             {" \t a@b.example \t", "a@b.example"},
             {"<a@b.example>", "a@b.example"},
             {"< a@b.example >", "a@b.example"},
             {"Name <a@b.example>", "a@b.example"},
             {"Name<a@b.example>", "a@b.example"},
             {"\"Name\" <a@b.example>", "a@b.example"},
             {"\"Last, First\" <a@b.example>", "a@b.example"},
             {"\"a \\\"b\\\" \\\\ c\" <a@b.example>", "a@b.example"},
             {"\"\" <a@b.example>", "a@b.example"},
             {"John Q. Public <a@b.example>", "a@b.example"},
             {"Dr. \"J\" D. (boss) <a@b.example> (again)", "a@b.example"},
             {"\"[Team] Name\" <a@b.example>", "a@b.example"},
             {"J . Doe <a@b.example>", "a@b.example"},
             {"O'Neil & Sons #1 <a@b.example>", "a@b.example"},
             {"a@b.example (Name)", "a@b.example"},
             {"(Name) a@b.example", "a@b.example"},
             {"a@b.example (Name (nick), \\) x)", "a@b.example"},
             {"=?utf-8?q?J=C3=B6rg?= <a@b.example>", "a@b.example"},
             {"\"=?utf-8?b?SsO2cmc=?=\" <a@b.example>", "a@b.example"},
             {"=?iso-2022-jp?B?GyRCJUAlSSVAJSwlMCUhGyhC?= <a@b.example>", "a@b.example"},
             {"J\xc3\xb6rg <a@b.example>", "a@b.example"},
             {"J\xc3\xb6rg <j\xc3\xb6rg@b\xc3\xbc"
              "cher.example>",
              "j\xc3\xb6rg@b\xc3\xbc"
              "cher.example"},
             {"a@b.example, c@d.example", "a@b.example, c@d.example"},
             {"A <a@b.example>,\"B, C\" <c@d.example> , e@f.example (g, h)",
              "a@b.example, c@d.example, e@f.example"},
             {"A@B.Example", "A@B.Example"},
             {"\"a\"@b.example", "a@b.example"},
             {"\"a.b\"@b.example", "a.b@b.example"},
             {"\"\\a\"@b.example", "a@b.example"},
             {"\"a b\"@b.example", "\"a b\"@b.example"},
             {"\"a..b\"@b.example", "\"a..b\"@b.example"},
             {"a+b=c@b.example", "a+b=c@b.example"},
             {"a@[192.0.2.1]", "a@[192.0.2.1]"},
             {"a@localhost", "a@localhost"},
             // The name repeats the address, or is no address.
             {"a@b.example <a@b.example>", "a@b.example"},
             {"\"a@b.example\" <a@b.example>", "a@b.example"},
             {"\"'A@b.Example'\" <a@b.example>", "a@b.example"},
             {"a@b.example (a@b.example)", "a@b.example"},
             {"\"=?utf-8?q?a@b.example?=\" <a@b.example>", "a@b.example"},
             {"\"Jobs @ Acme.example\" <a@b.example>", "a@b.example"},
             {"\"@handle\" <a@b.example>", "a@b.example"},
             {"\"Coffee@Work\" <a@b.example>", "a@b.example"},
             {"\"Coffee@Work.\" <a@b.example>", "a@b.example"},
         }) {
        const auto got = parse_mailbox_list(c.text);
        ASSERT_TRUE(got.has_value()) << c.text << ": fault " << static_cast<int>(got.error());
        EXPECT_EQ(list_of(*got), c.wanted) << c.text;
    }
}

struct bad_case {
    std::string text;
    address_fault fault;
};

void expect_faults(const std::vector<bad_case>& cases) {
    for (const bad_case& c : cases) {
        const auto got = parse_mailbox_list(c.text);
        if (got.has_value()) {
            ADD_FAILURE() << c.text << ": taken as " << list_of(*got);
        } else {
            EXPECT_EQ(static_cast<int>(got.error()), static_cast<int>(c.fault)) << c.text;
        }
    }
}

TEST(AddressList, WhatReadersMayTakeForAnotherAddressIsRefused) {
    using enum address_fault;
    const std::string nul(1, '\0');
    expect_faults({
        // An address broken up.
        {"(c) a (d) @ (e) b.example", ambiguous},
        {"a @b.example", ambiguous},
        {"a@ b.example", bad_address},
        {"a@b .example", ambiguous},
        {"a. b@c.example", ambiguous},
        {"a@b.exam ple", ambiguous},
        {"<a @b.example>", ambiguous},
        {"<a@b.example(c)>", ambiguous},
        {"<(c)a@b.example>", ambiguous},
        {"x a@b.example", ambiguous},
        {"\"a\".b@c.example", ambiguous},
        {"\"a\" b@c.example", ambiguous},
        {"a@b@c.example", ambiguous},
        // Two where one belongs.
        {"a@good.example <b@evil.example>", hidden_address},
        {"A@b.example <a@b.example>", hidden_address},
        {"<a@good.example> <b@evil.example>", ambiguous},
        {"<a@good.example>b@evil.example", ambiguous},
        {"<a@good.example> b@evil.example", ambiguous},
        {"a@good.example b@evil.example", ambiguous},
        {"<a@good.example, b@evil.example>", ambiguous},
        {"<a@good.example> evil", ambiguous},
        {"<<a@good.example>>", ambiguous},
        {"<a@good.example>>", ambiguous},
        {"<a@good.example <b@evil.example>>", ambiguous},
        {"A <a@good.example> B <b@evil.example>", ambiguous},
        {"a@good.example;b@evil.example", syntax},
        {"a@good.example: b@evil.example", ambiguous},
        // Encoded words as addresses.
        {"=?utf-8?q?a=40evil.example?=", no_address},
        {"=?utf-8?q?a=40evil.example=3E?=@good.example", ambiguous},
        {"<=?utf-8?q?a=40evil.example=3E?=@good.example>", ambiguous},
        {"<\"=\\?utf-8\\?q?a?=\"@good.example>", ambiguous},
        {"<a@=?utf-8?q?good.example?=>", ambiguous},
        // Quotes made to be misread.
        {"\"a@good.example\"@evil.example", ambiguous},
        {"\"<a@good.example>\"@evil.example", ambiguous},
        {"\"a\\\"b\"@evil.example", ambiguous},
        {"\"a,b\"@evil.example", ambiguous},
        // Groups and routes.
        {"undisclosed:;", group},
        {"Team: a@good.example, b@good.example;", group},
        {"Re: name <a@good.example>", group},
        {"<@good.example:b@evil.example>", source_route},
        {"<@good.example,@x.example:b@evil.example>", source_route},
        {"@good.example:b@evil.example", ambiguous},
        // Bytes.
        {"a@good.example" + nul + "@evil.example", not_text},
        {"a@good.example\r\nFrom: b@evil.example", not_text},
        {"\x1b$B <a@good.example>", not_text},
        {"J\xf6rg <a@good.example>", not_text},
        {"\x7f <a@good.example>", not_text},
        {"\xc2\x85 <a@good.example>", not_text},
    });
}

TEST(AddressList, ANameThatShowsAnotherAddressIsRefused) {
    using enum address_fault;
    expect_faults({
        {"\"a@good.example\" <b@evil.example>", hidden_address},
        {"\"Boss a@good.example\" <b@evil.example>", hidden_address},
        {"\"(a@good.example)\" <b@evil.example>", hidden_address},
        {"\"a\\@good.example\" <b@evil.example>", hidden_address},
        {"\"a@good.example.\" <b@evil.example>", hidden_address},
        {"b@evil.example (a@good.example)", hidden_address},
        {"(a@good.example) b@evil.example", hidden_address},
        {"Name (a@good.example) <b@evil.example>", hidden_address},
        {"<b@evil.example> (a@good.example)", hidden_address},
        {"\"b@evil.example a@good.example\" <b@evil.example>", hidden_address},
        {"=?utf-8?q?a=40good.example?= <b@evil.example>", hidden_address},
        {"=?UTF-8?B?YUBnb29kLmV4YW1wbGU=?= <b@evil.example>", hidden_address},
        {"=?utf-8?b?YUBnb29kLmV4YW1wbGU?= <b@evil.example>", hidden_address},
        {"=?utf-8?q?a=40?= =?utf-8?q?good.example?= <b@evil.example>", hidden_address},
        {"=?utf-8?q?a?= =?utf-8?q?=40good.example?= <b@evil.example>", hidden_address},
        {"\"=?utf-8?q?a=40good.example?=\" <b@evil.example>", hidden_address},
        {"\"=?utf-8?q?Boss a=40good.example?=\" <b@evil.example>", hidden_address},
        {"=?utf-8*en?q?a=40good.example?= <b@evil.example>", hidden_address},
        {"=?utf-7?q?a+AEA-good.example?= <b@evil.example>", hidden_address},
        {"=?utf7?q?a+AEA-good.example?= <b@evil.example>", hidden_address},
        {"=?csUTF7?q?a+AEA-good.example?= <b@evil.example>", hidden_address},
        {"=?x-unicode-2-0-utf-7?q?a+AEA-good.example?= <b@evil.example>", hidden_address},
        {"=?IBM037?q?=81=7C?= <b@evil.example>", hidden_address},
        {"=?ebcdic-us?q?=81=7C?= <b@evil.example>", hidden_address},
        {"\"\xe2\x80\xae"
         "elpmaxe.doog@a\" <b@evil.example>",
         hidden_address},
        {"=?utf-8?q?=E2=81=A7elpmaxe.doog=40a?= <b@evil.example>", hidden_address},
        {"\"a@good\xe2\x80\xa4"
         "example\" <b@evil.example>",
         hidden_address},
        {"\"a@good\xef\xb9\x92"
         "example\" <b@evil.example>",
         hidden_address},
        {"=?utf-8?q?x=00?= <b@evil.example>", hidden_address},
        {"=?utf-8?q?x=0A?= <b@evil.example>", hidden_address},
        {"=?utf-8?q?=3Ca=3E?= <b@evil.example>", hidden_address},
        {"\"<\" <b@evil.example>", hidden_address},
        {"\"=?utf-8?b?a@good.example?=\" <b@evil.example>", hidden_address},
        {"=?utf-8?b?\" <a\"?= <b@evil.example>", hidden_address},
        {"\"a\xef\xbc\xa0good\xef\xbc\x8e"
         "example\" <b@evil.example>",
         hidden_address},
        {"c@d.example, \"a@good.example\" <b@evil.example>", hidden_address},
        {"\"c@d.example\" <b@evil.example>, c@d.example", hidden_address},
    });
}

TEST(AddressList, WhatIsNoListIsRefused) {
    using enum address_fault;
    const std::string label(63, 'l');
    expect_faults({
        {"", empty},
        {" \t ", empty},
        {"(only a comment)", empty},
        {"Name", no_address},
        {"Name, Other <a@b.example>", no_address},
        {"\"Name\"", no_address},
        {"<>", no_address},
        {"Name < >", no_address},
        {"Name \"", syntax},
        {"\"Name <a@b.example>", syntax},
        {"\"Name\\", syntax},
        {"(Name <a@b.example>", syntax},
        {"a@b.example (", syntax},
        {"a@b.example (\\", syntax},
        {") a@b.example", syntax},
        {"Name\\ <a@b.example>", syntax},
        {"[Team] Name <a@b.example>", syntax},
        {". <a@b.example>", syntax},
        {".Name <a@b.example>", syntax},
        {"(((((five))))) a@b.example", syntax},
        {"a@b.example,", no_address},
        {",a@b.example", no_address},
        {"a@b.example,,c@d.example", no_address},
        {"a@b.example;", syntax},
        {"Name <a@b.example", ambiguous},
        {"Name a@b.example>", ambiguous},
        {"<a>", ambiguous},
        {"a@", bad_address},
        {"@b.example", ambiguous},
        {".a@b.example", bad_address},
        {"a..b@b.example", bad_address},
        {"a@b..example", bad_address},
        {"a@b.example.", bad_address},
        {"a@-b.example", bad_address},
        {"a@b_c.example", bad_address},
        {"a@[192.0.2.1", ambiguous},
        {"a@[evil.example]", bad_address},
        {std::string(65, 'a') + "@b.example", bad_address},
        {"a@" + label + "." + label + "." + label + "." + label + ".x", bad_address},
    });
}

TEST(AddressList, IsBounded) {
    std::string list = "a@b.example";
    for (std::size_t i = 1; i < mailboxes_max; ++i) {
        list += ", a@b.example";
    }
    const auto most = parse_mailbox_list(list);
    ASSERT_TRUE(most.has_value());
    EXPECT_EQ(most->size(), mailboxes_max);
    EXPECT_EQ(parse_mailbox_list(list + ", a@b.example").error(), address_fault::too_many);
    const std::string blanks(address_list_bytes_max - 11, ' ');
    EXPECT_TRUE(parse_mailbox_list(blanks + "a@b.example").has_value());
    EXPECT_EQ(parse_mailbox_list(blanks + " a@b.example").error(), address_fault::too_long);
}

TEST(AddressList, OneFormForEachLocalPart) {
    EXPECT_EQ(canonical_local("a"), "a");
    EXPECT_EQ(canonical_local("\"a\""), "a");
    EXPECT_EQ(canonical_local("\"\\a\\.\\b\""), "a.b");
    EXPECT_EQ(canonical_local("\"a b\""), "\"a b\"");
    EXPECT_EQ(canonical_local("\"a\\ b\""), "\"a b\"");
    EXPECT_EQ(canonical_local("\"a\\\"b\""), "\"a\\\"b\"");
    EXPECT_EQ(canonical_local("\"a\\\\b\""), "\"a\\\\b\"");
    EXPECT_EQ(canonical_local("\"\""), "\"\"");
    EXPECT_EQ(canonical_local("\".a\""), "\".a\"");
}

TEST(DisplayName, EncodedWordsAreDecodedAsReadersDo) {
    EXPECT_EQ(decode_encoded_words("a =?x?q?b_=63=6?= d"), "a b c=6 d");
    EXPECT_EQ(decode_encoded_words("=?x?Q?a?= \t =?x?B?Yg==?="), "ab");
    EXPECT_EQ(decode_encoded_words("=?x?q?a?= b =?x?q?c?="), "a b c");
    EXPECT_EQ(decode_encoded_words("=?x?b?Y W\r\nJj?="), "abc");
    EXPECT_EQ(decode_encoded_words("=?x?z?a?="), "=?x?z?a?=");
    EXPECT_EQ(decode_encoded_words("=?x?q?a"), "=?x?q?a");
    EXPECT_EQ(decode_encoded_words("=?x?q?a?= =?x?q?b"), "a =?x?q?b");
    EXPECT_EQ(decode_encoded_words("=?=?x?q?a?="), "=?a");
    EXPECT_EQ(decode_encoded_words("=?"), "=?");
    EXPECT_EQ(decode_encoded_words("=?iso-2022-jp?q?a=1B$B@@=1B(Bb?="), "ab");
    EXPECT_EQ(decode_encoded_words("=?iso-2022-jp?q?a=1B$B@@?="), "a");
}

} // namespace
} // namespace ebbgate::mail
