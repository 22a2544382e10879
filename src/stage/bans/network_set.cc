#include "stage/bans/network_set.h"

#include <xxhash.h>

#include <algorithm>
#include <random>
#include <utility>

namespace ebbgate::bans {

namespace {

std::uint64_t make_seed() {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
}

} // namespace

bool holds(const config::ip_network& network, const config::ip_address& address) noexcept {
    return config::masked(address, network.prefix_bits) == network.address;
}

bool holds(const config::ip_network& outer, const config::ip_network& inner) noexcept {
    return outer.prefix_bits <= inner.prefix_bits && holds(outer, inner.address);
}

std::size_t network_hash::operator()(const config::ip_network& network) const {
    static const std::uint64_t seed = make_seed();
    static_assert(sizeof network == 17, "no padding may be hashed");
    return XXH3_64bits_withSeed(&network, sizeof network, seed);
}

network_set::network_set(std::vector<config::ip_network> networks) : members_(std::move(networks)) {
    // An outer network sorts before all that lies in it.
    std::sort(members_.begin(), members_.end());
    std::size_t kept = 0;
    for (const config::ip_network& network : members_) {
        if (kept == 0 || !bans::holds(members_[kept - 1], network)) {
            members_[kept++] = network;
        }
    }
    members_.resize(kept);
    members_.shrink_to_fit();
}

bool network_set::holds(const config::ip_address& address) const noexcept {
    return holds(config::ip_network{address, 128});
}

bool network_set::holds(const config::ip_network& network) const noexcept {
    const auto after = std::upper_bound(members_.begin(), members_.end(), network);
    return after != members_.begin() && bans::holds(*std::prev(after), network);
}

std::vector<config::ip_network> network_set::within(const config::ip_network& network) const {
    std::vector<config::ip_network> found;
    for (auto at = std::lower_bound(members_.begin(), members_.end(), network);
         at != members_.end() && bans::holds(network, *at);
         ++at) {
        found.push_back(*at);
    }
    return found;
}

} // namespace ebbgate::bans
