// What the policy says, as plain values: tenants, accounts, routes, delivery, bans.
//
// Stage   3 of 8: parts of the snapshot, which is the only one to make them.
// Owner   Values.
// Bounds  The constants here; the loader refuses what exceeds them.

#pragma once

#include "ebbgate/base/bytes.h"

#include "config/address.h"
#include "config/server.h"
#include "stage/policy/content.h"
#include "stage/policy/egress.h"
#include "stage/policy/limit.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::policy {

inline constexpr std::size_t tenants_max = 100'000;
inline constexpr std::size_t accounts_max = 1'000'000;
inline constexpr std::size_t routes_max = 100'000;
inline constexpr std::size_t relay_hosts_max = 1'000'000;

inline constexpr std::size_t domains_max = 1'000'000;
inline constexpr std::size_t policy_bytes_max = 1024 * mib;
inline constexpr std::uint32_t no_index = 0xffff'ffff;

struct account {
    std::string login;
    std::string password_hash;  // crypt(3): yescrypt, bcrypt, sha512crypt, sha256crypt, scrypt.
    std::uint32_t tenant = 0;   // Index into snapshot::tenants().
    std::uint32_t position = 0; // In the file's list; no_index: added by command.
    std::uint32_t own_limits = no_index;          // See snapshot::limits_of().
    std::uint32_t senders_owner = no_index;       // no_index: all of the tenant's.
    std::optional<policy::mail_class> mail_class; // Nothing: the tenant's.
    bool null_sender = false;                     // May use <>.
};

struct tenant {
    std::string name;
    std::string company;   // For texts; the name when not given.
    std::string hostname;  // Greeting, Received and SNI; empty: the server's.
    config::tls_files tls; // Resolved paths; empty: the server's certificate.
    std::vector<account> accounts;
    std::vector<config::ip_network> relay_hosts;
    std::vector<std::string> domains; // Lower-case A-labels; each covers its subdomains.
    limit_settings limits;
    egress_pool egress;
    policy::mail_class mail_class = policy::mail_class::bulk;
    std::optional<std::chrono::seconds> suppression_keep;   // Of hard bounces; nothing: not kept.
    std::shared_ptr<const attachment_settings> attachments; // Null: not judged.
    std::shared_ptr<const filelink_settings> filelink;      // Null: none.
    std::vector<dkim_key> dkim;                             // Sorted by domain: see keys_for().
    strictness unsigned_mail = strictness::refuse; // With `dkim`, for domains without a key.
    std::uint32_t index = 0;                       // Into snapshot::tenants().
    std::uint32_t file = 0;                        // Into snapshot::files().
    std::uint32_t item = no_index; // In the file's `tenants`; no_index: the file is the tenant.
    bool check_header_from = true;
    bool null_sender = false; // relay_hosts may use <>.
};

enum class relay_kind : std::uint8_t { host, mx, discard, hold };
enum class tls_mode : std::uint8_t { off, opportunistic, required, verify };

struct route {
    std::string match; // Lower case: "example.com", "*.example.com" or "*".
    relay_kind relay = relay_kind::host;
    config::host_and_port host; // For relay_kind::host.
    tls_mode tls = tls_mode::opportunistic;
    std::optional<config::ip_address> source; // Instead of the tenant's.
    // Routes with the same key share a lane and its connections, e.g. "mx.example:25/required".
    // With relay_kind::mx it is for the domain to complete it.
    std::string destination;
};

struct retry_settings {
    std::chrono::seconds first{60};
    double factor = 2;
    std::chrono::seconds max{4 * 3600};
    std::chrono::seconds max_age{5 * 24 * 3600};
    std::chrono::seconds delay_notice{4 * 3600}; // 0: none is sent.

    bool operator==(const retry_settings&) const = default;
};

// Of a delivery, from one step to the next. RFC 5321 4.5.3.2.
struct delivery_timeouts {
    std::chrono::seconds connect{30};
    std::chrono::seconds greeting{300};
    std::chrono::seconds command{300};
    std::chrono::seconds data{120};
    std::chrono::seconds body{180};
    std::chrono::seconds final{600};

    bool operator==(const delivery_timeouts&) const = default;
};

// An 8-bit body for a peer without 8BITMIME.
enum class eight_bit_mode : std::uint8_t { send, bounce };

struct delivery_settings {
    retry_settings retry;
    std::uint32_t connections_per_destination = 20;
    std::uint32_t messages_per_connection = 1000;
    std::chrono::seconds idle_timeout{30};
    std::uint16_t mx_port = 25;
    std::string bounce_rules;               // Resolved path; empty: those that are shipped.
    std::uint32_t connections_max = 10'000; // Of all shards, to all destinations.
    config::rate message_rate = config::unlimited_rate;
    config::rate connection_rate = config::unlimited_rate;
    std::vector<shaping_rule> shaping; // The first that matches wins.
    delivery_timeouts timeouts;
    eight_bit_mode eight_bit = eight_bit_mode::send;
    bool chunking = true;

    // For destinations that no rule names.
    [[nodiscard]] policy::shaping standard() const {
        return {connections_per_destination,
                messages_per_connection,
                idle_timeout,
                message_rate,
                connection_rate};
    }

    // `hosts`: the names of its mail hosts, or of the relay; any that matches does. Lower case.
    [[nodiscard]] policy::shaping shaping_for(std::string_view domain,
                                              std::span<const std::string> hosts) const;

    bool operator==(const delivery_settings&) const = default;
};

// 127.0.0.0/8 and ::1.
[[nodiscard]] std::vector<config::ip_network> loopback();

struct ban_settings {
    std::uint32_t max_retry = 3;
    std::chrono::seconds find_time{600};
    std::chrono::seconds ban_time{600};
    std::chrono::seconds ban_time_max{7 * 24 * 3600};
    bool ban_time_increment = false;
    std::vector<config::ip_network> ignore = loopback(); // Replaced when given.
    std::string log = "ban.log";                         // Relative to log_dir.

    bool operator==(const ban_settings&) const = default;
};

} // namespace ebbgate::policy
