// What a ban is, and the settings that make one: the values of this folder.
//
// Stage   1 of 8 decides with it; the shards only ask.
// Owner   Values. Times are unix microseconds.
// Bounds  Settings beyond their bounds are brought within them by bounded().

#pragma once

#include "config/address.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::bans {

enum class strike_cause : std::uint8_t { login, insecure_auth, sender, interrupted_auth, manual };

[[nodiscard]] std::string_view to_text(strike_cause cause) noexcept;
[[nodiscard]] std::optional<strike_cause> parse_cause(std::string_view text) noexcept;

// Until somebody lifts it.
inline constexpr std::int64_t never_ends = INT64_MAX;
inline constexpr std::chrono::seconds forever = std::chrono::seconds::max();

struct ban {
    config::ip_network network;
    config::ip_address address; // The one that struck last; of a network banned by hand its first.
    std::int64_t since_us = 0;
    std::int64_t until_us = 0;
    std::uint32_t count = 1; // The how manieth of this network, as far as remembered.
    strike_cause cause = strike_cause::login;

    bool operator==(const ban&) const = default;
};

// As the log and the operator see it: the address that struck, or the network banned by hand.
[[nodiscard]] std::string name_of(const ban& ban);

// What is counted together: an IPv4 address, an IPv6 /64.
[[nodiscard]] config::ip_network counted_network(const config::ip_address& address) noexcept;

[[nodiscard]] std::vector<config::ip_network> loopback_networks();

struct settings {
    static constexpr std::uint32_t max_retry_max = 100;
    static constexpr std::uint32_t doublings_max = 20;
    static constexpr std::chrono::seconds time_max{100LL * 365 * 86'400};

    std::uint32_t max_retry = 3;
    std::chrono::seconds find_time{600};
    std::chrono::seconds ban_time{600};

    // With increment the n-th ban lasts ban_time * factor * 2^(n-1), doublings_max times at most,
    // never less than ban_time and never more than ban_time_max.
    bool ban_time_increment = false;
    double ban_time_factor = 1;
    std::chrono::seconds ban_time_max{365LL * 86'400};
    std::chrono::seconds remember_time{86'400}; // After its end a ban counts for so long.

    std::vector<config::ip_network> ignore = loopback_networks();
    std::vector<config::ip_network> never; // As ignore: relay_hosts and proxies.
};

[[nodiscard]] settings bounded(settings given);

// Of the ban with this count.
[[nodiscard]] std::chrono::seconds duration_of(const settings& settings, std::uint32_t count);

// The end, or never_ends for a duration that no clock reaches.
[[nodiscard]] std::int64_t end_of(std::int64_t since_us, std::chrono::seconds duration) noexcept;

} // namespace ebbgate::bans
