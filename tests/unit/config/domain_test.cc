// Domains are compared as lower-case A-labels, by IDNA2008 with UTS 46, non-transitional.

#include "config/domain.h"

#include <gtest/gtest.h>

#include <string>

namespace ebbgate::config {
namespace {

struct domain_case {
    std::string_view given;
    std::string_view expected; // Empty: refused.
};

constexpr domain_case cases[] = {
    {"example", "example"},
    {"Acme.EXAMPLE", "acme.example"},
    {"b\xc3\xbc"
     "cher.example",
     "xn--bcher-kva.example"},
    {"B\xc3\x9c"
     "CHER.Example",
     "xn--bcher-kva.example"},
    // Decomposed: u and a combining diaeresis.
    {"bu\xcc\x88"
     "cher.example",
     "xn--bcher-kva.example"},
    {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
    // Non-transitional: the sharp s is not "ss".
    {"stra\xc3\x9f"
     "e.example",
     "xn--strae-oqa.example"},
    // The ideographic full stop is a dot.
    {"a\xe3\x80\x82"
     "example",
     "a.example"},
    // Full-width letters are letters.
    {"\xef\xbd\x81.example", "a.example"},
    {"", ""},
    {".", ""},
    {"a..b", ""},
    {"a.example.", ""},
    {"-a.example", ""},
    {"a b.example", ""},
    {"a@b.example", ""},
    {"192.0.2.1", ""},
    {"[192.0.2.1]", ""},
    {"xn--zzzzzzz999.example", ""}, // Not Punycode of anything.
    {"xn--a.example", ""},
    {"\xff.example", ""},
    {"a\xe2\x80\xae"
     "b.example",
     ""}, // A bidi override.
    {std::string_view("a\0b.example", 11), ""},
    {std::string_view("\xc3\xbc\0.example", 11), ""},
};

TEST(Domain, IsComparedInOneForm) {
    for (const domain_case& c : cases) {
        const auto made = to_a_labels(c.given);
        EXPECT_EQ(made.value_or(""), c.expected) << c.given;
        if (made) {
            EXPECT_EQ(to_a_labels(*made), made) << c.given;
        }
    }
}

TEST(Domain, IsBounded) {
    const std::string label(63, 'a');
    const std::string longest = label + '.' + label + '.' + label + '.' + label; // 255 bytes.
    EXPECT_EQ(to_a_labels(longest), longest);
    EXPECT_FALSE(to_a_labels(longest + 'a').has_value());
    EXPECT_FALSE(to_a_labels(label + "a.example").has_value());
    std::string umlauts;
    for (int i = 0; i < 2000; ++i) {
        umlauts += "\xc3\xbc";
    }
    EXPECT_FALSE(to_a_labels(umlauts).has_value());
}

} // namespace
} // namespace ebbgate::config
