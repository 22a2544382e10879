// Which addresses mail may be sent to when a stranger's DNS names them, and in which order.
//
// Input   An address from an A or AAAA record.
// Fails   Never.
// Specs   RFC 6890 and IANA's special-purpose registries; RFC 6052 and RFC 3056 for IPv6 addresses
//         that carry an IPv4 one, which is judged.

#pragma once

#include "config/address.h"
#include "config/dns_settings.h"

#include <cstdint>
#include <vector>

namespace ebbgate::dns {

enum class address_use : std::uint8_t {
    open,
    inner,   // Loopback, private, link-local, shared: only by configuration.
    no_host, // Unspecified, multicast, reserved: never. 0.0.0.0 would be this host.
};

[[nodiscard]] address_use use_of(const config::ip_address& address) noexcept;

// In the order of the policy, without doubles, at most `addresses_max`: of both families something.
[[nodiscard]] std::vector<config::ip_address> by_family(std::vector<config::ip_address> v4,
                                                        std::vector<config::ip_address> v6,
                                                        config::address_family family,
                                                        std::size_t addresses_max);

// Of this host's interfaces, without loopback: an exchanger there is ourselves.
[[nodiscard]] std::vector<config::ip_address> own_addresses();

} // namespace ebbgate::dns
