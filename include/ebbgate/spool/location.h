// Where a stored message lies, and the numbers that order a shard's log.
//
// Owner   Values. A location is valid until its message was marked done or moved.
// Specs   docs/spool-format.md.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <limits>

namespace ebbgate::spool {

inline constexpr std::uint32_t no_body_file = std::numeric_limits<std::uint32_t>::max();

struct location {
    std::uint64_t segment_id = 0;
    std::uint64_t lsn = 0;
    std::uint64_t body_bytes = 0;
    std::uint32_t offset = 0;               // Of the record in its segment.
    std::uint32_t record_bytes = 0;         // As stored: header, meta, inline body, padding.
    std::uint32_t body_file = no_body_file; // Number of the body file of a large message.

    bool operator==(const location&) const = default;
};

// Inclusive at both ends.
struct lsn_range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;

    bool operator==(const lsn_range&) const = default;
};

struct spool_identity {
    char bytes[16] = {};

    bool operator==(const spool_identity&) const = default;
};

} // namespace ebbgate::spool
