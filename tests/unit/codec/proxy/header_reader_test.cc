// Every header is read whole, cut at each byte, and byte by byte, with the client's first bytes
// behind it: all must agree, and none may be taken from the client.

#include "codec/proxy/header_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::proxy {
namespace {

struct reading {
    std::size_t consumed_bytes = 0;
    std::optional<proxy::header> header;
    std::optional<header_fault> fault;

    bool operator==(const reading&) const = default;
};

reading read(byte_view bytes, std::size_t first_bytes, std::size_t then_bytes) {
    header_reader reader;
    reading out;
    std::size_t take = first_bytes;
    while (out.consumed_bytes < bytes.size() && !out.header && !out.fault) {
        const std::string chunk(bytes.substr(out.consumed_bytes, take)); // Its own heap block.
        take = then_bytes;
        const header_step step = reader.feed(chunk);
        out.consumed_bytes += step.consumed_bytes;
        out.header = step.header;
        out.fault = step.fault;
        EXPECT_TRUE(out.header || out.fault || step.consumed_bytes == chunk.size());
    }
    return out;
}

void expect_reading(const std::string& bytes, const reading& wanted, const std::string& name) {
    SCOPED_TRACE(name);
    for (std::size_t cut = 1; cut <= bytes.size(); ++cut) {
        ASSERT_EQ(read(bytes, cut, bytes.size()), wanted) << "cut at " << cut;
    }
    ASSERT_EQ(read(bytes, 1, 1), wanted) << "byte by byte";
}

config::endpoint at(const char* text) {
    const auto parsed = config::parse_endpoint(text);
    EXPECT_TRUE(parsed) << text;
    return parsed.value_or(config::endpoint{});
}

std::string v2(char command, char family, const std::string& rest, int length = -1) {
    const auto bytes = static_cast<unsigned>(length < 0 ? static_cast<int>(rest.size()) : length);
    return std::string("\r\n\r\n\0\r\nQUIT\n", 12) + command + family +
           static_cast<char>(bytes >> 8) + static_cast<char>(bytes & 0xff) + rest;
}

const std::string v4_block("\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x02\x4b", 12);
const std::string v6_block = std::string("\x20\x01\x0d\xb8") + std::string(11, '\0') + '\1' +
                             std::string("\x20\x01\x0d\xb8") + std::string(11, '\0') + '\2' +
                             std::string("\xff\xff\x00\x19", 4);

const header v4_header{header_kind::proxied, at("192.0.2.1:12345"), at("198.51.100.2:587")};
const header v6_header{header_kind::proxied, at("[2001:db8::1]:65535"), at("[2001:db8::2]:25")};
const header local_header{header_kind::local, {}, {}};
const header unknown_header{};

struct good_case {
    const char* name;
    std::string bytes;
    header wanted;
};

std::vector<good_case> good_cases() {
    const std::string longest = "PROXY UNKNOWN " + std::string(v1_bytes_max - 16, 'f') + "\r\n";
    const std::string tlv("\x04\x00\x01\x00", 4);
    const std::string unix_block(216, '/');
    return {
        {"v1 IPv4", "PROXY TCP4 192.0.2.1 198.51.100.2 12345 587\r\n", v4_header},
        {"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 65535 25\r\n", v6_header},
        {"v1 IPv4 in IPv6 is IPv4",
         "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 12345 587\r\n",
         v4_header},
        {"v1 port 0",
         "PROXY TCP4 192.0.2.1 198.51.100.2 0 587\r\n",
         {header_kind::proxied, at("192.0.2.1:0"), at("198.51.100.2:587")}},
        {"v1 unknown", "PROXY UNKNOWN\r\n", unknown_header},
        {"v1 unknown with more", "PROXY UNKNOWN ffff:f...f:ffff x\r\n", unknown_header},
        {"v1 as long as may be", longest, unknown_header},
        {"v2 IPv4", v2(0x21, 0x11, v4_block), v4_header},
        {"v2 IPv6", v2(0x21, 0x21, v6_block), v6_header},
        {"v2 TLVs", v2(0x21, 0x11, v4_block + tlv + tlv), v4_header},
        {"v2 as long as may be",
         v2(0x21, 0x21, v6_block + std::string(v2_bytes_max - 16 - 36, 'x')),
         v6_header},
        {"v2 local", v2(0x20, 0x00, ""), local_header},
        {"v2 local with addresses", v2(0x20, 0x11, v4_block), local_header},
        {"v2 local, unknown family", v2(0x20, 0x7f, "xyz"), local_header},
        {"v2 unspecified", v2(0x21, 0x00, ""), unknown_header},
        {"v2 unspecified with TLV", v2(0x21, 0x00, tlv), unknown_header},
        {"v2 UDP", v2(0x21, 0x12, v4_block), unknown_header},
        {"v2 Unix stream", v2(0x21, 0x31, unix_block), unknown_header},
        {"v2 Unix datagram", v2(0x21, 0x32, unix_block), unknown_header},
    };
}

TEST(ProxyHeader, IsReadHoweverItIsCut) {
    for (const good_case& c : good_cases()) {
        expect_reading(c.bytes + "EHLO x\r\n", {c.bytes.size(), c.wanted, std::nullopt}, c.name);
    }
}

TEST(ProxyHeader, IsNotThereBeforeItsLastByte) {
    for (const good_case& c : good_cases()) {
        const byte_view all_but_one = byte_view(c.bytes).substr(0, c.bytes.size() - 1);
        EXPECT_EQ(read(all_but_one, all_but_one.size(), 1),
                  (reading{all_but_one.size(), std::nullopt, std::nullopt}))
            << c.name;
    }
}

TEST(ProxyHeader, AnythingElseIsRefusedAtItsFirstWrongByte) {
    using enum header_fault;

    struct bad_case {
        const char* name;
        std::string bytes;
        std::size_t consumed_bytes; // 0: all.
        header_fault fault;
    };

    const std::string nul(1, '\0');
    for (const bad_case& c : std::vector<bad_case>{
             {"SMTP", "EHLO x\r\n", 1, not_proxy},
             {"TLS", "\x16\x03\x01", 1, not_proxy},
             {"almost v1", "PROXX TCP4", 5, not_proxy},
             {"lower case", "proxy TCP4", 1, not_proxy},
             {"tab", "PROXY\tTCP4", 6, not_proxy},
             {"almost v2", "\r\n\r\nQUIT", 5, not_proxy},
             {"bare LF", "PROXY UNKNOWN\n", 0, not_proxy},
             {"v1 too long", "PROXY UNKNOWN " + std::string(94, 'f') + "\r\n", 107, too_long},
             {"v1 never ends", "PROXY " + std::string(500, 'x'), 107, too_long},
             {"v1 empty", "PROXY \r\n", 0, bad_address},
             {"v1 unknown in lower case", "PROXY unknown\r\n", 0, bad_address},
             {"v1 no ports", "PROXY TCP4 192.0.2.1 198.51.100.2\r\n", 0, bad_address},
             {"v1 one port", "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", 0, bad_address},
             {"v1 three ports", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", 0, bad_address},
             {"v1 final blank", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", 0, bad_address},
             {"v1 two blanks", "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", 0, bad_address},
             {"v1 port too big", "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", 0, bad_address},
             {"v1 port 01", "PROXY TCP4 192.0.2.1 198.51.100.2 1 01\r\n", 0, bad_address},
             {"v1 port -1", "PROXY TCP4 192.0.2.1 198.51.100.2 1 -1\r\n", 0, bad_address},
             {"v1 port +1", "PROXY TCP4 192.0.2.1 198.51.100.2 1 +1\r\n", 0, bad_address},
             {"v1 octal", "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", 0, bad_address},
             {"v1 short form", "PROXY TCP4 192.0.513 198.51.100.2 1 2\r\n", 0, bad_address},
             {"v1 wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", 0, bad_address},
             {"v1 wrong family 6", "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", 0, bad_address},
             {"v1 scope", "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n", 0, bad_address},
             {"v1 NUL", "PROXY TCP4 192.0.2.1" + nul + " 198.51.100.2 1 2\r\n", 0, bad_address},
             {"v1 bare CR", "PROXY UNKNOWN \r x\r\n", 0, bad_address},
             {"v2 version 1", v2(0x11, 0x11, v4_block), 16, bad_version},
             {"v2 command 2", v2(0x22, 0x11, v4_block), 16, bad_version},
             {"v2 family 4", v2(0x21, 0x41, v4_block), 16, bad_address},
             {"v2 TCP without family", v2(0x21, 0x01, v4_block), 16, bad_address},
             {"v2 IPv4 cut", v2(0x21, 0x11, v4_block, 11), 16, too_short},
             {"v2 IPv6 cut", v2(0x21, 0x21, v6_block, 35), 16, too_short},
             {"v2 too long", v2(0x21, 0x11, v4_block, v2_bytes_max - 15), 16, too_long},
             {"v2 all", v2(0x21, 0x11, v4_block, 0xffff), 16, too_long},
             {"v2 local too long", v2(0x20, 0x00, "", 0xffff), 16, too_long},
         }) {
        const std::size_t consumed = c.consumed_bytes == 0 ? c.bytes.size() : c.consumed_bytes;
        expect_reading(c.bytes, {consumed, std::nullopt, c.fault}, c.name);
    }
}

} // namespace
} // namespace ebbgate::proxy
