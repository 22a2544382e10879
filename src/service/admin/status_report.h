// What `ebbgatectl status` shows, as one JSON object: the sum of the shards, and each of them.
//
// Owner   The management thread.

#pragma once

#include "relay/shard.h"
#include "service/bans/ban_keeper.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::admin {

// What the listeners for files did since the start.
struct file_facts {
    std::uint64_t requests = 0;
    std::uint64_t downloads = 0;
    std::uint64_t sent_bytes = 0;
    std::uint64_t not_found = 0;
    std::uint64_t limited = 0;
    std::uint64_t challenges = 0;
    std::array<std::uint64_t, 6> by_class{}; // [2]: answers with 2xx
};

struct daemon_facts {
    std::string version;
    std::string hostname;
    std::uint64_t uptime_seconds = 0;
    std::uint64_t policy_fingerprint = 0;
    bool policy_is_stale = false; // The newest file was refused; the one before is in force.
    std::string policy_fault;     // Why.
    std::uint64_t policy_reloads = 0;
    std::uint64_t policy_reloads_refused = 0;
    std::uint64_t tenants = 0;
    bans::ban_keeper::status_values bans;
    std::string durable_by;
    std::uint64_t log_blocks_dropped = 0;
    std::uint64_t log_bytes_unwritten = 0; // 0: what the status tells is in the logs.
    std::vector<std::string> listener_names;
    std::vector<std::string> listener_kinds;
    std::vector<std::uint16_t> ports;
    std::uint16_t http_port = 0; // Of the admin listener; 0: there is none.
    std::optional<file_facts> files;
};

[[nodiscard]] std::string status_json(const daemon_facts& facts,
                                      const std::vector<relay::shard_status>& shards);

} // namespace ebbgate::admin
