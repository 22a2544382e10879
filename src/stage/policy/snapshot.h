// The policy in force: tenants, accounts, routes and delivery settings, as one immutable value.
//
// Stage   3 of 8. Before it: session. After it: content.
// Input   policy.json; every key is documented in docs/policy.md.
// Output  Lookups that need no lock and no allocation on the hot path.
// Owner   Built on the management thread, shared read-only by all shards; a message keeps the
//         snapshot it began with.
// Fails   load() and parse() return all faults; a snapshot that exists is consistent.
// Bounds  tenants_max, accounts_max, routes_max, relay_hosts_max.

#pragma once

#include "config/address.h"
#include "config/fault.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::policy {

inline constexpr std::size_t tenants_max = 100'000;
inline constexpr std::size_t accounts_max = 1'000'000;
inline constexpr std::size_t routes_max = 100'000;
inline constexpr std::size_t relay_hosts_max = 1'000'000;

struct account {
    std::string login;
    std::string password_hash; // crypt(3): yescrypt, bcrypt, sha512crypt, sha256crypt, scrypt.
    std::uint32_t tenant = 0;  // Index into snapshot::tenants().
};

struct tenant_limits {
    std::uint32_t recipients_per_message = 1000; // The next RCPT gets 452 4.5.3.
    std::uint64_t upload_bytes = 25'000'000;     // Announced as SIZE; beyond: 552 5.3.4.
    std::uint64_t message_bytes = 25'000'000;    // Of the final message; beyond: 552 5.3.4.
};

struct tenant {
    std::string name;
    std::string company;  // For texts; the name when not given.
    std::string hostname; // Greeting and Received; empty: the server's.
    std::vector<account> accounts;
    std::vector<config::ip_network> relay_hosts;
    tenant_limits limits;
};

enum class relay_kind : std::uint8_t { host, discard, hold };
enum class tls_mode : std::uint8_t { off, opportunistic, required };

struct route {
    std::string match; // Lower case: "example.com", "*.example.com" or "*".
    relay_kind relay = relay_kind::host;
    config::host_and_port host; // For relay_kind::host.
    tls_mode tls = tls_mode::opportunistic;
    // Routes with the same key share a lane and its connections, e.g. "mx.example:25/required".
    std::string destination;
};

struct retry_settings {
    std::chrono::seconds first{60};
    double factor = 2;
    std::chrono::seconds max{4 * 3600};
    std::chrono::seconds max_age{5 * 24 * 3600};
};

struct delivery_settings {
    retry_settings retry;
    std::uint32_t connections_per_destination = 20;
    std::uint32_t messages_per_connection = 1000;
    std::chrono::seconds idle_timeout{30};
};

class snapshot {
public:
    [[nodiscard]] const std::vector<tenant>& tenants() const noexcept { return tenants_; }

    [[nodiscard]] const std::vector<route>& routes() const noexcept { return routes_; }

    [[nodiscard]] const delivery_settings& delivery() const noexcept { return delivery_; }

    // Of the file's bytes: tells two versions apart in `status` and in log records.
    [[nodiscard]] std::uint64_t fingerprint() const noexcept { return fingerprint_; }

    // Logins compare exactly. Null: no such account (spend the time of a hash check anyway).
    [[nodiscard]] const account* find_account(std::string_view login) const noexcept;

    [[nodiscard]] const tenant& tenant_of(const account& account) const noexcept {
        return tenants_[account.tenant];
    }

    [[nodiscard]] const tenant* find_tenant(std::string_view name) const noexcept;

    // The tenant whose relay_hosts hold the address, longest prefix first. Null: nobody's.
    [[nodiscard]] const tenant*
    tenant_for_address(const config::ip_address& address) const noexcept;
    [[nodiscard]] const tenant* tenant_for_address(std::string_view address) const noexcept;

    // The first route in file order that matches, any case. Null: no route (550 5.4.4).
    [[nodiscard]] const route* route_for(std::string_view domain) const noexcept;
    // The same, as if there were no `hold` routes.
    [[nodiscard]] const route* route_past_hold_for(std::string_view domain) const noexcept;

private:
    friend class snapshot_builder;

    struct text_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept;
    };

    struct address_hash {
        std::size_t operator()(const config::ip_address& address) const noexcept;
    };

    template <typename mapped>
    using text_map = std::unordered_map<std::string, mapped, text_hash, std::equal_to<>>;

    struct prefix_table {
        std::uint8_t prefix_bits = 0;
        std::unordered_map<config::ip_address, std::uint32_t, address_hash> tenants;
    };

    struct account_place {
        std::uint32_t tenant = 0;
        std::uint32_t account = 0;
    };

    static constexpr std::uint32_t no_route = 0xffff'ffff;

    // Values are indices into routes_: the first route with this match.
    struct route_index {
        text_map<std::uint32_t> exact;
        text_map<std::uint32_t> suffix; // "*.d" under the key "d".
        std::uint32_t catch_all = no_route;

        // False: a route before it has this match.
        bool add(std::string_view match, std::uint32_t index);
    };

    [[nodiscard]] const route* find_route(const route_index& among,
                                          std::string_view domain) const noexcept;

    std::vector<tenant> tenants_;
    std::vector<route> routes_;
    delivery_settings delivery_;
    std::uint64_t fingerprint_ = 0;

    text_map<account_place> accounts_by_login_;
    text_map<std::uint32_t> tenants_by_name_;
    std::vector<prefix_table> relay_hosts_; // Longest prefix first.
    route_index all_routes_;
    route_index routes_past_hold_;
};

using snapshot_pointer = std::shared_ptr<const snapshot>;

[[nodiscard]] std::expected<snapshot_pointer, config::faults> load(const std::string& path);

// The same from text; `file` names it in faults.
[[nodiscard]] std::expected<snapshot_pointer, config::faults> parse(std::string_view text,
                                                                    const std::string& file);

// Every fault of the file, none when it is good: for `--check` and editors.
[[nodiscard]] config::faults check(const std::string& path);

} // namespace ebbgate::policy
