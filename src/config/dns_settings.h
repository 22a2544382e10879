// How names are resolved: "dns" of ebbgate.json.
//
// Owner   A value.

#pragma once

#include "config/address.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::config {

enum class address_family : std::uint8_t {
    any, // Both, IPv6 first.
    ipv4,
    ipv6,
    prefer_ipv4,
};

struct dns_settings {
    std::vector<endpoint> servers; // Whom to ask. None: those of /etc/resolv.conf ("system").
    std::string trust_anchor;      // Absolute. Empty: the distribution's, when it is there.
    bool validate = true;          // False: "trust_anchor": "none".
    std::chrono::seconds timeout{30};
    bool allow_private = false; // Exchangers in private networks and on this host are used.
    address_family family = address_family::any;
};

inline constexpr std::size_t dns_servers_max = 16;

} // namespace ebbgate::config
