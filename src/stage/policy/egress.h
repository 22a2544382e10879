// How mail leaves: from which addresses, how fast to whom, and what goes first.
//
// Stage   3 of 8: parts of the snapshot, which is the only one to make them.
// Owner   Values.
// Bounds  The constants here; the loader refuses what exceeds them.

#pragma once

#include "config/address.h"
#include "config/rate.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::policy {

inline constexpr std::size_t sources_max = 1024; // Of one tenant.
inline constexpr std::uint32_t source_weight_max = 1000;
inline constexpr std::size_t shaping_rules_max = 10'000;

// An address of this machine that mail leaves from.
struct egress_source {
    config::ip_address address;
    std::string ehlo; // Empty: the pool's.
    std::uint32_t weight = 1;
    bool drain = false; // No new connection leaves from it.

    bool operator==(const egress_source&) const = default;
};

// Empty: the kernel chooses the address.
struct egress_pool {
    std::vector<egress_source> sources;
    std::string ehlo; // Empty: the tenant's hostname, or the server's.

    bool operator==(const egress_pool&) const = default;
};

enum class mail_class : std::uint8_t { bulk, transactional };

// What one destination takes from one source.
struct shaping {
    std::uint32_t connection_limit = 20;
    std::uint32_t deliveries_per_connection = 1000;
    std::chrono::seconds idle_timeout{30};
    config::rate message_rate = config::unlimited_rate;
    config::rate connection_rate = config::unlimited_rate;

    bool operator==(const shaping&) const = default;
};

struct shaping_rule {
    std::string domain; // "example.com", "*.example.com" or "*", lower case; empty: `host` is set.
    std::string host;   // The same for the name of a mail host.
    policy::shaping limits; // With what the rule does not say taken from `delivery`.

    bool operator==(const shaping_rule&) const = default;
};

// "*" matches all, "*.d" the names below d, anything else itself. `name` in lower case.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name) noexcept;

} // namespace ebbgate::policy
