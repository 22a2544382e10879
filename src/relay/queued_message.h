// A durable message that still has recipients to deliver to, as it is in memory: new, or in work.
//
// Owner   Outbound of one shard.
// Bounds  As many as arrive and are in work; their bodies while the shard's hot budget allows. What
//         waits is a cold_message.

#pragma once

#include "ebbgate/base/chunks.h"
#include "ebbgate/message/envelope.h"
#include "ebbgate/spool/location.h"

#include "stage/schedule/recipient_set.h"
#include "stage/schedule/slots.h"

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
    bool is_damaged = false; // What is stored of the body is: it can only bounce.
    std::uint64_t body_bytes = 0;
    schedule::recipient_set outstanding;
    // Have ended, and their sender is not told durably yet: for the spool they are outstanding.
    schedule::recipient_set reporting;
    std::uint32_t items = 0; // Delivery items that the scheduler or a connection holds.
    std::uint32_t first_slot = schedule::no_slot; // Of one of them.
    std::uint32_t users = 0;                      // Who works on it: it stays in memory.

    [[nodiscard]] std::uint64_t bytes() const noexcept { return prefix.size() + body_bytes; }
};

// What survives a restart besides the envelope: who is done, how often it was tried, when next.
struct delivery_state {
    std::uint32_t attempts = 0;
    std::int64_t next_unix_ms = 0;
    bool is_noticed = false; // The sender was told that it is late.
    schedule::recipient_set outstanding;
};

[[nodiscard]] std::string encode_state(const delivery_state& state);
// Nothing for what is not a state; the message then starts over.
[[nodiscard]] std::optional<delivery_state> decode_state(byte_view bytes);

} // namespace ebbgate::relay
