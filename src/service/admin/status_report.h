// What `ebbgatectl status` shows, as one JSON object: the sum of the shards, and each of them.
//
// Owner   The management thread.

#pragma once

#include "relay/shard.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::admin {

struct daemon_facts {
    std::string version;
    std::string hostname;
    std::uint64_t uptime_seconds = 0;
    std::uint64_t policy_fingerprint = 0;
    bool policy_is_stale = false; // The newest file was refused; the one before is in force.
    std::string durable_by;
    std::uint64_t log_blocks_dropped = 0;
    std::vector<std::string> listener_names;
    std::vector<std::string> listener_kinds;
    std::vector<std::uint16_t> ports;
};

[[nodiscard]] std::string status_json(const daemon_facts& facts,
                                      const std::vector<relay::shard_status>& shards);

} // namespace ebbgate::admin
