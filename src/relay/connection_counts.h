// How many clients are connected: in all, by address, by tenant. One count for all shards, so that
// a limit is what it says, however the kernel spreads the connections over them.
//
// Owner   The daemon; any thread. Outlives the shards.
// Fails   Says that a limit is reached; the caller refuses and leaves again.
// Bounds  As many entries as there are connections.

#pragma once

#include "config/address.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace ebbgate::relay {

enum class admission : std::uint8_t { granted, too_many, too_busy };

class connection_counts {
public:
    // A client by its client_key(). Counted whatever the answer is: leave() follows.
    [[nodiscard]] admission
    enter(const config::ip_address& client, std::uint64_t all_max, std::uint32_t client_max);
    void leave(const config::ip_address& client);

    // False: the tenant has `max` already, and this one is not counted. 0: no limit.
    [[nodiscard]] bool enter_tenant(std::string_view tenant, std::uint32_t max);
    void leave_tenant(std::string_view tenant);

    [[nodiscard]] std::uint64_t all() const noexcept {
        return all_.load(std::memory_order_relaxed);
    }

private:
    // Neighbouring addresses land apart, so shards seldom wait for each other.
    static constexpr std::size_t stripes = 64;

    struct alignas(64) stripe {
        std::mutex lock;
        std::unordered_map<config::ip_address, std::uint32_t, config::ip_address_hash> clients;
    };

    [[nodiscard]] stripe& stripe_of(const config::ip_address& client) noexcept {
        return stripes_[config::ip_address_hash()(client) % stripes];
    }

    std::atomic<std::uint64_t> all_{0};
    std::array<stripe, stripes> stripes_;
    std::mutex tenants_lock_;
    std::map<std::string, std::uint32_t, std::less<>> tenants_;
};

} // namespace ebbgate::relay
