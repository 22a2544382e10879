// A durable message that still has recipients to deliver to.
//
// Owner   Outbound of one shard.
// Bounds  Its body is in memory only while the shard's hot budget allows.

#pragma once

#include "ebbgate/base/chunks.h"
#include "ebbgate/message/envelope.h"
#include "ebbgate/spool/location.h"

#include "stage/schedule/attempt_notes.h"
#include "stage/schedule/recipient_set.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::relay {

struct queued_message {
    message::envelope envelope;
    std::string prefix; // Header lines put on top of the body.
    spool::location where;
    chunks body; // When `hot`.
    bool hot = false;
    std::uint64_t body_bytes = 0;
    schedule::recipient_set outstanding;
    std::uint32_t items = 0; // Delivery items that the scheduler or a connection holds.
    std::string state;       // The latest that the spool was told; empty: none.
    // For `why`: since the start, and what the spool remembered then.
    schedule::attempt_notes tried;
    std::uint32_t recovered_attempts = 0;
    std::int64_t recovered_next_unix_ms = 0;

    [[nodiscard]] std::uint64_t bytes() const noexcept { return prefix.size() + body_bytes; }
};

// What survives a restart besides the envelope: who is done, how often it was tried, when next.
struct delivery_state {
    std::uint32_t attempts = 0;
    std::int64_t next_unix_ms = 0;
    schedule::recipient_set outstanding;
};

[[nodiscard]] std::string encode_state(const delivery_state& state);
// Nothing for what is not a state; the message then starts over.
[[nodiscard]] std::optional<delivery_state> decode_state(byte_view bytes);

} // namespace ebbgate::relay
