// Where mail may be sent to, at both ends of each special network; and the order of families.

#include "runtime/resolve/address_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::dns {
namespace {

config::ip_address ip(const std::string& text) {
    return config::parse_ip_address(text).value();
}

TEST(AddressRules, InnerAddressesAndTheirNeighbours) {
    using enum address_use;
    const std::vector<std::pair<const char*, address_use>> all = {
        {"0.0.0.0", no_host},
        {"0.255.255.255", no_host},
        {"1.0.0.0", open},
        {"9.255.255.255", open},
        {"10.0.0.0", inner},
        {"10.255.255.255", inner},
        {"11.0.0.0", open},
        {"100.63.255.255", open},
        {"100.64.0.0", inner},
        {"100.127.255.255", inner},
        {"100.128.0.0", open},
        {"126.255.255.255", open},
        {"127.0.0.1", inner},
        {"128.0.0.0", open},
        {"169.254.169.254", inner},
        {"172.15.255.255", open},
        {"172.16.0.0", inner},
        {"172.31.255.255", inner},
        {"172.32.0.0", open},
        {"192.167.255.255", open},
        {"192.168.0.0", inner},
        {"192.169.0.0", open},
        {"198.17.255.255", open},
        {"198.18.0.0", inner},
        {"198.20.0.0", open},
        {"223.255.255.255", open},
        {"224.0.0.0", no_host},
        {"255.255.255.255", no_host},
        {"::", no_host},
        {"::1", inner},
        {"::2", no_host},
        {"2001:db8::1", open},
        {"fbff::1", open},
        {"fc00::", inner},
        {"fdff::1", inner},
        {"fe00::1", open},
        {"fe80::1", inner},
        {"febf::1", inner},
        {"fec0::1", inner},
        {"ff02::1", no_host},
        {"::ffff:10.0.0.1", inner},
        {"::ffff:127.0.0.1", inner},
        {"64:ff9b::10.0.0.1", inner},
        {"64:ff9b::0.0.0.0", no_host},
        {"64:ff9b::192.0.2.1", open},
        {"64:ff9b:1::1", inner},
        {"2002:7f00:1::1", inner},
        {"2002:c000:201::1", open},
    };
    for (const auto& [text, use] : all) {
        EXPECT_EQ(use_of(ip(text)), use) << text;
    }
}

std::vector<config::ip_address> some(const std::string& prefix, int count) {
    std::vector<config::ip_address> all;
    for (int i = 1; i <= count; ++i) {
        all.push_back(ip(prefix + std::to_string(i)));
    }
    return all;
}

TEST(AddressRules, BothFamiliesHaveAPlace) {
    using enum config::address_family;
    const auto count = [](config::address_family family, int v4, int v6) {
        const auto all = by_family(some("192.0.2.", v4), some("2001:db8::", v6), family, 16);
        std::string shown;
        for (const config::ip_address& one : all) {
            shown += one.is_v4() ? '4' : '6';
        }
        return shown;
    };
    EXPECT_EQ(count(any, 2, 3), "66644");
    EXPECT_EQ(count(prefer_ipv4, 2, 3), "44666");
    EXPECT_EQ(count(ipv4, 2, 3), "44");
    EXPECT_EQ(count(ipv6, 2, 3), "666");
    EXPECT_EQ(count(any, 40, 40), std::string(8, '6') + std::string(8, '4'));
    EXPECT_EQ(count(any, 1, 40), std::string(15, '6') + "4");
    EXPECT_EQ(count(any, 40, 1), "6" + std::string(15, '4'));
    EXPECT_EQ(count(prefer_ipv4, 40, 0), std::string(16, '4'));
}

TEST(AddressRules, AnAddressCountsOnce) {
    EXPECT_EQ(
        by_family({ip("192.0.2.1"), ip("192.0.2.1")}, {}, config::address_family::any, 16).size(),
        1U);
}

TEST(AddressRules, LoopbackIsNoAddressOfOurs) {
    for (const config::ip_address& one : own_addresses()) {
        EXPECT_FALSE(one.is_loopback()) << to_text(one);
    }
}

} // namespace
} // namespace ebbgate::dns
