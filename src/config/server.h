// The server configuration, `ebbgate.json`: what needs a restart to change.
//
// Input   A file; every key is documented in docs/ebbgate.schema.json.
// Output  A value with every default filled in and every path resolved, or all faults at once.
// Owner   Built once before the shards start; immutable afterwards.
// Fails   On unknown keys, wrong kinds and ranges, and on keys of features that are not built.

#pragma once

#include "ebbgate/base/bytes.h"

#include "config/address.h"
#include "config/dns_settings.h"
#include "config/fault.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::config {

enum class listener_kind : std::uint8_t { smtp, smtps, http, https };

// Serves stored attachments, not mail.
[[nodiscard]] constexpr bool is_for_files(listener_kind kind) noexcept {
    return kind == listener_kind::http || kind == listener_kind::https;
}

[[nodiscard]] std::string_view name_of(listener_kind kind) noexcept;

// Of http and https. A client is an IPv4 address or the /64 of an IPv6 address.
struct file_limits {
    std::uint32_t max_connections = 1'000;       // Of the listener: reset.
    std::uint32_t max_connections_per_ip = 32;   // 429; the double is reset.
    std::uint32_t max_requests_per_minute = 300; // Of a client: 429.
    std::uint32_t max_not_found_per_minute = 30; // Of a client, then 429 for all it asks.
};

struct listener {
    std::string name;
    listener_kind kind = listener_kind::smtp;
    endpoint listen;    // Port 0: the kernel chooses, `status` tells.
    std::string tenant; // Others' logins get 535. Empty: everybody's.
    // Whose connections begin with a PROXY header; from others one is just a bad command.
    std::vector<ip_network> proxies;
    file_limits files;
    std::string acme_webroot; // Of http and https; empty: no challenges are answered.
};

struct tls_files {
    std::string certificate; // Empty: none given; smtps and https listeners are then a fault.
    std::string key;

    bool operator==(const tls_files&) const = default;
};

// How policies of MTA-STS are fetched. For tests: a web server on loopback with its own authority.
struct mta_sts_settings {
    std::string ca; // PEM bundle; empty: the system's.
    std::optional<endpoint> connect_to;

    bool operator==(const mta_sts_settings&) const = default;
};

// Each is refused with the reply beside it; the replies stand in the session's table.
struct connection_limits {
    std::uint32_t max_connections = 100'000;               // 421 4.3.2
    std::uint32_t max_connections_per_ip = 1'000;          // 421 4.7.0
    std::uint32_t max_messages_per_connection = 10'000;    // 421 4.7.0
    std::uint32_t max_errors_per_connection = 20;          // 421 4.7.0
    std::uint32_t max_commands_per_connection = 1'000'000; // 421 4.7.0
    std::chrono::seconds client_timeout{300};              // 421 4.4.2, RFC 5321 4.5.3.2.7
    std::chrono::seconds session_time_max{6 * 3600};       // 421 4.4.2, also amid a message
    // Slots of the sending limits, 64 bytes each on the disk: a sender, an account, a tenant takes
    // one for each rule. 1,048,576 at first.
    std::uint32_t counters = 1U << 20;
    std::uint64_t memory_bytes = 1 * gib; // 421 4.3.2 and slower reading
};

enum class log_sync : std::uint8_t { automatic, dsync, fsync };

struct spool_settings {
    std::uint64_t segment_bytes = 64 * mib;
    std::uint64_t free_bytes_min = 256 * mib; // Below: 452 4.3.1 for new mail.
    config::log_sync log_sync = config::log_sync::automatic;
    std::uint64_t inline_bytes_max = 1 * mib; // Larger bodies get a file of their own.
};

enum class feature_override : std::uint8_t { automatic, on, off };

// What the running kernel is asked to do; `auto` probes at start.
struct io_uring_settings {
    feature_override defer_taskrun = feature_override::automatic;
};

struct server {
    std::string file; // Where it came from, absolute.
    std::string hostname;
    std::uint32_t shards = 0; // 0: as many as there are cores ("auto").
    std::string data_dir;
    std::string log_dir;
    std::string policy;
    tls_files tls;
    std::string authorities = "/etc/ssl/certs"; // Trusted when delivering: PEM bundle or folder.
    mta_sts_settings mta_sts;
    std::vector<listener> listeners;
    std::string admin_socket;
    std::optional<endpoint> admin_listen; // HTTP in clear text, so on loopback only.
    dns_settings dns;
    connection_limits limits;
    spool_settings spool;
    io_uring_settings io_uring;
};

inline constexpr std::uint32_t shards_max = 64;
inline constexpr std::size_t listeners_max = 256;
inline constexpr std::size_t proxies_max = 256; // Networks of one listener.

[[nodiscard]] std::expected<server, faults> load(const std::string& path);

// The same from text; `file` names it in faults and its folder resolves relative paths.
[[nodiscard]] std::expected<server, faults> parse(std::string_view text, const std::string& file);

} // namespace ebbgate::config
