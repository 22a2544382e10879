// What the queue of a shard tells of itself to people who ask, and which part of it they mean.
//
// Owner   Values.

#pragma once

#include "stage/schedule/item.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::relay {

// How a recipient of a queued message stands, for `why`.
struct recipient_standing {
    std::uint32_t recipient = 0;        // In the envelope.
    std::uint32_t attempts = 0;         // That reached its destination.
    std::int64_t next_unix_ms = 0;      // 0: it is held, or tried now.
    std::string last_reply;             // Empty: none is known any more.
    std::string destination_fault;      // No connection works; empty: none was refused.
    std::string lane;                   // What it waits for, in words; empty: its turn.
    std::int64_t lane_until_unix_s = 0; // Until when, as far as is known. 0: it is not.
    std::string destination;            // As `queue` shows it.
    bool is_held = false;
    bool is_tried_now = false;
};

// Which messages a command is about. What is empty is not asked for.
struct queue_filter {
    std::optional<std::uint64_t> message_id;
    std::string domain; // Of recipients, lower case; or a lane's destination, "relay.test:25".
    std::string tenant;
};

// Ages of messages in minutes: below 5, 10, 20, 40, ... 1280, and above.
inline constexpr std::size_t age_classes = 10;
[[nodiscard]] std::size_t age_class_of(std::int64_t age_ms) noexcept;

// A lane of one shard, for `queue`; the sum of those of one name with add().
struct lane_standing {
    std::string lane;        // Its key.
    std::string destination; // The domain, or "relay.test:25".
    schedule::counters counters;
    std::array<std::uint64_t, age_classes> ages{};
    std::int64_t suspended_until_unix_s = 0; // 0: it is not; as the next two.
    std::int64_t backed_off_until_unix_s = 0;
    std::int64_t paused_until_unix_s = 0;
    std::int64_t oldest_age_ms = 0;
    bool is_blocked = false;
    std::string fault; // Why the latest connection never worked.

    void add(const lane_standing& other);
};

struct queue_overview {
    std::vector<lane_standing> lanes; // In no order; only those with something to tell.
    lane_standing held;               // Its `held` and `ages`.
};

struct listed_item {
    std::uint64_t message_id = 0;
    std::string lane; // Empty: held.
    std::string tenant;
    std::string last_reply;
    std::int64_t age_ms = 0;
    std::int64_t next_unix_s = 0; // 0: it is held or tried now.
    std::uint32_t recipients = 0;
    std::uint32_t attempts = 0;
    bool is_urgent = false;
    bool is_deferred = false;
    bool is_in_flight = false;
    bool is_held = false;
};

struct queue_page {
    std::vector<listed_item> items;
    std::uint32_t next = 0; // Where the next page begins. 0: there is none.
};

struct bounce_count {
    std::uint64_t recipients = 0;
    std::uint64_t messages = 0;
    std::uint64_t in_flight = 0; // Recipients that are tried now: they are left alone.
};

} // namespace ebbgate::relay
