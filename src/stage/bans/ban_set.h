// Who is banned, for the threads that accept connections: what the kernel does not refuse (no
// privilege, a PROXY header, a connection that waited in the backlog) is refused there.
//
// Input   Changes, from the ban thread.
// Output  is_banned(), from any thread: a short lock of one of many, none while nobody is banned.
// Owner   The daemon; it outlives the shards.
// Bounds  The bans of the table, 40 bytes each.

#pragma once

#include "stage/bans/network_set.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_set>

namespace ebbgate::bans {

class ban_set {
public:
    void reserve(std::size_t networks);
    void add(const config::ip_network& network);
    void remove(const config::ip_network& network);
    void set_white_list(network_set white);

    [[nodiscard]] bool is_banned(const config::ip_address& address) const;

private:
    static constexpr std::size_t stripe_count = 256;

    struct stripe {
        mutable std::mutex lock;
        std::unordered_set<config::ip_network, network_hash> networks;
    };

    [[nodiscard]] static std::size_t stripe_of(const config::ip_network& network);

    std::array<stripe, stripe_count> stripes_;
    std::array<std::atomic<std::uint32_t>, 129> by_prefix_{}; // How many have this length.
    std::atomic<std::uint32_t> count_ = 0;
    mutable std::mutex white_lock_;
    std::shared_ptr<const network_set> white_;
};

} // namespace ebbgate::bans
