// What the scheduler is given and gives back: plain values.

#pragma once

#include "stage/schedule/back_off.h"
#include "stage/schedule/recipient_set.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ebbgate::schedule {

using lane_id = std::uint32_t;
inline constexpr lane_id no_lane = 0xffff'ffff;

struct settings {
    std::uint32_t connections_per_lane_max = 20;
    retry_settings retry;
    // A destination that refuses connections: all of its lane waits this long, doubling.
    std::int64_t suspend_first_ms = 30'000;
    std::int64_t suspend_max_ms = 30 * 60'000;
    // So many urgent items in a row at most, while others wait: these must not starve.
    std::uint32_t urgent_run_max = 8;
    std::int64_t notice_age_ms = 0; // A due item this old is late; 0: none is.
    // Lanes without items and connections that are remembered, with their counters.
    std::size_t lanes_idle_max = 10'000;
};

// What one delivery attempt is about: a message, and its recipients at one destination.
struct delivery_item {
    std::uint64_t message_id = 0;
    recipient_set recipients;       // Indices into the envelope; defer() those that remain.
    std::int64_t arrived_ms = 0;    // On the scheduler's clock; negative for what came before it.
    std::int64_t not_before_ms = 0; // For add(): not due earlier than this.
    std::uint32_t tenant = 0;       // Below tenants_max: whose turn it takes in its lane.
    bool is_urgent = false;         // Goes before what is not.
    bool is_noticed = false;        // next_late() has told of it.
    std::uint16_t attempts = 0;     // That were made before this one.
    lane_id lane = no_lane;         // Filled in by the scheduler, as the next one.
    std::uint32_t slot = 0;
    std::uint32_t sibling = 0xffff'ffff; // With release(): see done().
};

inline constexpr std::uint32_t tenants_max = 0x8000'0000;

enum class grant_action : std::uint8_t {
    open,      // Open a new connection for the lane, with a new permit.
    wake_idle, // Resume one of the lane's parked connections: unpark() its permit.
};

struct lane_work {
    lane_id lane = no_lane;
    grant_action action = grant_action::open;
};

// What a delivery connection carries while it lives; made from lane_work::lane, ended by close().
struct connection_permit {
    enum class stage_type : std::uint8_t {
        opening, // Granted, has not asked for an item yet.
        active,
        parked,
        closed,
    };

    lane_id lane = no_lane;
    stage_type stage = stage_type::opening;
};

struct defer_result {
    bool expired = false;    // max_age is over: the item is out of the scheduler; bounce it.
    std::int64_t due_ms = 0; // Else, when it comes up again.
};

struct counters {
    std::uint64_t ready = 0;       // Due, waiting for a connection.
    std::uint64_t deferred = 0;    // Waiting for their time.
    std::uint64_t in_flight = 0;   // Taken, not yet settled.
    std::uint64_t held = 0;        // Only in the total.
    std::uint64_t connections = 0; // Granted and not closed, parked ones included.
    std::uint64_t connections_idle = 0;
    std::uint64_t done_total = 0; // These since the start, or since the lane was made.
    std::uint64_t deferred_total = 0;
    std::uint64_t expired_total = 0;

    [[nodiscard]] std::uint64_t waiting() const noexcept { return ready + deferred + in_flight; }
};

struct lane_view {
    lane_id id = no_lane;
    std::string_view destination; // Valid until the next call that changes the scheduler.
    schedule::counters counters;
    std::int64_t suspended_until_ms = 0;  // By an operator. 0: not, as with the next two.
    std::int64_t backed_off_until_ms = 0; // Because the destination refused.
    std::int64_t paused_until_ms = 0;     // By a rate.
    std::int64_t oldest_age_ms = 0;       // 0 when nothing waits; exact to the second.
    bool is_blocked = false;              // Others have all the connections it may have.
    bool is_full = false;                 // It has them itself, and all are in use.

    // Nothing leaves before. 0: it may now.
    [[nodiscard]] std::int64_t waits_until_ms() const noexcept;
};

// An item that waits, for people who ask.
struct waiting_item {
    std::uint64_t message_id = 0;
    std::uint32_t slot = 0;
    std::uint32_t tenant = 0;
    std::uint16_t attempts = 0;
    bool is_urgent = false;
    bool is_deferred = false; // Else it is due, or in flight.
    bool is_in_flight = false;
    bool is_held = false;
    bool is_put_off = false; // Deferred without an attempt.
    bool is_noticed = false;
    lane_id lane = no_lane;  // Unless held.
    std::int64_t due_ms = 0; // When deferred.
    std::int64_t arrived_ms = 0;
};

} // namespace ebbgate::schedule
