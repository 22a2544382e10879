// Every record is read whole, and refused when it is cut at any byte or has one byte too many.

#include "codec/dns/rdata.h"
#include "wire_name.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace ebbgate::dns {
namespace {

using namespace std::string_literals;      // NOLINT(google-build-using-namespace): literals
using namespace std::string_view_literals; // NOLINT(google-build-using-namespace): literals

struct name_case {
    std::string_view name;
    std::string_view wire;
    std::string_view text;
};

constexpr name_case names[] = {
    {"the root", "\0"sv, ""},
    {"one label", "\7example\0"sv, "example"},
    {"case is folded", "\2MX\7ExAmPlE\0"sv, "mx.example"},
    {"an underscore stands", "\3_25\4_tcp\0"sv, "_25._tcp"},
    {"an address looks like one", "\003192\0010\0012\0011\0"sv, "192.0.2.1"},
    {"a dot within a label", "\3a.b\0"sv, "a\\046b"},
    {"a backslash", "\1\\\0"sv, "\\092"},
    {"a zero byte", "\1\0\0"sv, "\\000"},
    {"a high byte", "\1\xe9\0"sv, "\\233"},
    {"a line feed", "\2a\n\0"sv, "a\\010"},
};

TEST(DnsName, IsReadInOneFormAndNeverInPart) {
    for (const name_case& c : names) {
        SCOPED_TRACE(c.name);
        EXPECT_EQ(read_name(c.wire), c.text);
        for (std::size_t cut = 0; cut < c.wire.size(); ++cut) {
            EXPECT_FALSE(read_name(c.wire.substr(0, cut)).has_value()) << cut;
        }
        EXPECT_FALSE(read_name(std::string(c.wire) + '\0').has_value());
    }
}

TEST(DnsName, APointerAndALongLabelAreRefused) {
    EXPECT_FALSE(read_name("\xc0\x0c"sv).has_value());
    EXPECT_FALSE(read_name("\1a\xc0\0"sv).has_value());
    EXPECT_FALSE(read_name('\x40' + std::string(64, 'a') + '\0').has_value());
    EXPECT_TRUE(read_name('\x3f' + std::string(63, 'a') + '\0').has_value());
}

TEST(DnsName, Has255BytesAtMost) {
    const std::string label = '\x3f' + std::string(63, 'a');
    const std::string most = label + label + label + '\x3d' + std::string(61, 'b') + '\0';
    ASSERT_EQ(most.size(), name_wire_bytes_max);
    EXPECT_EQ(read_name(most)->size(), 253U);
    EXPECT_FALSE(
        read_name(label + label + label + '\x3e' + std::string(62, 'b') + '\0').has_value());
}

TEST(DnsRecord, MxIsRefusedWhenCut) {
    const std::string wire = "\x01\x02" + wire_name("mx1.Example.net");
    const mail_exchanger expected{258, "mx1.example.net"};
    EXPECT_EQ(read_mx(wire), expected);
    for (std::size_t cut = 0; cut < wire.size(); ++cut) {
        EXPECT_FALSE(read_mx(wire.substr(0, cut)).has_value()) << cut;
    }
    EXPECT_FALSE(read_mx(wire + 'x').has_value());
    EXPECT_EQ(read_mx("\0\0\0"sv), mail_exchanger{});
}

TEST(DnsRecord, AnAddressHasItsLength) {
    const std::string v4 = "\xc0\0\2\1"s;
    const std::string v6 = "\x20\x01\x0d\xb8" + std::string(11, '\0') + '\1';
    EXPECT_EQ(read_a(v4), config::parse_ip_address("192.0.2.1"));
    EXPECT_EQ(read_aaaa(v6), config::parse_ip_address("2001:db8::1"));
    for (std::size_t length = 0; length <= v6.size() + 1; ++length) {
        const std::string wire(length, 'x');
        EXPECT_EQ(read_a(wire).has_value(), length == 4) << length;
        EXPECT_EQ(read_aaaa(wire).has_value(), length == 16) << length;
    }
}

TEST(DnsRecord, TxtIsJoined) {
    EXPECT_EQ(read_txt("\5v=spf\0021 "sv), "v=spf1 ");
    EXPECT_EQ(read_txt("\0"sv), "");
    EXPECT_EQ(read_txt("\0\1a\0"sv), "a");
    EXPECT_FALSE(read_txt("").has_value());
    const std::string wire = '\x03' + "abc"s + '\x02' + "de"s;
    for (std::size_t cut = 0; cut < wire.size(); ++cut) {
        // Between two strings the rest is a record of its own.
        EXPECT_EQ(read_txt(wire.substr(0, cut)).has_value(), cut == 4) << cut;
    }
    std::string large;
    for (int i = 0; i < 255; ++i) {
        large += '\xff' + std::string(255, 'x');
    }
    EXPECT_EQ(read_txt(large)->size(), 255U * 255U);
}

TEST(DnsRecord, TlsaNeedsData) {
    const auto read = read_tlsa("\3\1\2data"sv);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(*read, (tlsa_record{3, 1, 2, "data"}));
    for (std::size_t cut = 0; cut <= 3; ++cut) {
        EXPECT_FALSE(read_tlsa("\3\1\2"sv.substr(0, cut)).has_value()) << cut;
    }
}

TEST(DnsRecord, NamesToAskFor) {
    EXPECT_EQ(reverse_name(*config::parse_ip_address("192.0.2.1")), "1.2.0.192.in-addr.arpa");
    EXPECT_EQ(reverse_name(*config::parse_ip_address("2001:db8::1")),
              "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    EXPECT_EQ(tlsa_name(25, "mx.example"), "_25._tcp.mx.example");
}

} // namespace
} // namespace ebbgate::dns
