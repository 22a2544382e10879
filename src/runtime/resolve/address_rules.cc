#include "runtime/resolve/address_rules.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ifaddrs.h>
#include <string_view>

namespace ebbgate::dns {

namespace {

using config::ip_address;

struct special {
    config::ip_network network;
    address_use use;
};

config::ip_network network(std::string_view text) {
    return config::parse_ip_network(text).value(); // Of the constants below.
}

const std::vector<special>& specials() {
    using enum address_use;
    static const std::vector<special> all = {
        {network("0.0.0.0/8"), no_host},    {network("10.0.0.0/8"), inner},
        {network("100.64.0.0/10"), inner},  {network("127.0.0.0/8"), inner},
        {network("169.254.0.0/16"), inner}, {network("172.16.0.0/12"), inner},
        {network("192.0.0.0/24"), inner},   {network("192.168.0.0/16"), inner},
        {network("198.18.0.0/15"), inner},  {network("224.0.0.0/4"), no_host},
        {network("240.0.0.0/4"), no_host},  {network("::1"), inner},
        {network("::/96"), no_host},        {network("100::/64"), no_host},
        {network("fc00::/7"), inner},       {network("fe80::/10"), inner},
        {network("fec0::/10"), inner},      {network("ff00::/8"), no_host},
        {network("64:ff9b:1::/48"), inner},
    };
    return all;
}

ip_address v4_at(const ip_address& address, std::size_t at) noexcept {
    const auto& bytes = address.bytes;
    const std::uint8_t v4[4] = {bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]};
    return config::ip_address_from_v4(v4);
}

std::vector<ip_address> without_doubles(std::vector<ip_address> all) {
    std::ranges::sort(all);
    const auto rest = std::ranges::unique(all);
    all.erase(rest.begin(), rest.end());
    return all;
}

} // namespace

address_use use_of(const ip_address& address) noexcept {
    static const config::ip_network translated = network("64:ff9b::/96");
    static const config::ip_network six_to_four = network("2002::/16");
    for (const special& one : specials()) {
        if (one.network.holds(address)) {
            return one.use;
        }
    }
    if (translated.holds(address)) {
        return use_of(v4_at(address, 12));
    }
    if (six_to_four.holds(address)) {
        return use_of(v4_at(address, 2));
    }
    return address_use::open;
}

std::vector<ip_address> by_family(std::vector<ip_address> v4,
                                  std::vector<ip_address> v6,
                                  config::address_family family,
                                  std::size_t addresses_max) {
    using config::address_family;
    if (family == address_family::ipv4) {
        v6.clear();
    } else if (family == address_family::ipv6) {
        v4.clear();
    }
    auto first = without_doubles(std::move(family == address_family::prefer_ipv4 ? v4 : v6));
    auto second = without_doubles(std::move(family == address_family::prefer_ipv4 ? v6 : v4));
    // Half is the first family's, and what the second leaves.
    const std::size_t second_kept = std::min(second.size(), addresses_max / 2);
    first.resize(std::min(first.size(), addresses_max - second_kept));
    second.resize(std::min(second.size(), addresses_max - first.size()));
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

std::vector<ip_address> own_addresses() {
    std::vector<ip_address> all;
    ifaddrs* first = nullptr;
    if (getifaddrs(&first) != 0) {
        return all;
    }
    for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
        ip_address address;
        if (one->ifa_addr == nullptr) {
            continue;
        }
        if (one->ifa_addr->sa_family == AF_INET) {
            std::uint8_t bytes[4];
            std::memcpy(bytes,
                        &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr,
                        sizeof bytes);
            address = config::ip_address_from_v4(bytes);
        } else if (one->ifa_addr->sa_family == AF_INET6) {
            std::memcpy(address.bytes.data(),
                        &reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr,
                        address.bytes.size());
        } else {
            continue;
        }
        if (!address.is_loopback()) {
            all.push_back(address);
        }
    }
    freeifaddrs(first);
    return without_doubles(std::move(all));
}

} // namespace ebbgate::dns
