// Networks, and which of them holds an address: the white list.
//
// Owner   A value; built whole, then only read.
// Bounds  A look-up is one binary search; 17 bytes a network.

#pragma once

#include "config/address.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ebbgate::bans {

[[nodiscard]] bool holds(const config::ip_network& network,
                         const config::ip_address& address) noexcept;
[[nodiscard]] bool holds(const config::ip_network& outer, const config::ip_network& inner) noexcept;

// Seeded anew in each process: clients choose addresses, and must not choose collisions. Not
// noexcept on purpose: that makes libstdc++ keep the hash in the node, not hash each neighbour
// anew.
struct network_hash {
    std::size_t operator()(const config::ip_network& network) const;
};

class network_set {
public:
    network_set() = default;
    explicit network_set(std::vector<config::ip_network> networks);

    [[nodiscard]] bool holds(const config::ip_address& address) const noexcept;
    [[nodiscard]] bool holds(const config::ip_network& network) const noexcept;

    // The members that lie in `network`, smaller than it or the same.
    [[nodiscard]] std::vector<config::ip_network> within(const config::ip_network& network) const;

    // Sorted; none lies in another.
    [[nodiscard]] const std::vector<config::ip_network>& members() const noexcept {
        return members_;
    }

private:
    std::vector<config::ip_network> members_;
};

} // namespace ebbgate::bans
