// Decides when each delivery is due, and how many may run to one destination.
//
// Stage   6 of 8. Before it: spool. After it: deliver.
// Input   Delivery items from inbound and recovery, attempt results from outbound, the time.
// Output  Lanes that may open or wake a connection, the next item of a lane, expired items.
// Owner   One per shard. No I/O, no threads, no clock: time is an argument, in milliseconds of a
//         clock that never goes back.
// Fails   Never; nothing is refused here, inbound already said 250.
// Bounds  64 bytes an item plus one lane record a destination; lanes_idle_max idle lanes are kept.
//         Every operation is O(log n) in the items or better, but flush(), which is bounded by
//         its argument, and oldest_age_ms() of all lanes.
//
// A connection's life, seen from here. next_due() grants a connection: open one, or wake an idle
// one. Its coroutine calls take_next() until that returns nothing, and settles each item with
// exactly one of done(), defer() or put_back(). Then it calls park() (it stays open, idle) or
// close_connection(). A parked connection that closes calls close_idle().

#pragma once

#include "stage/schedule/back_off.h"
#include "stage/schedule/indexed_heap.h"
#include "stage/schedule/recipient_set.h"
#include "stage/schedule/slab.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::schedule {

using lane_id = std::uint32_t;
inline constexpr lane_id no_lane = 0xffff'ffff;

struct settings {
    std::uint32_t connections_per_lane_max = 20;
    retry_settings retry;
    // A destination that refuses connections: all of its lane waits this long, doubling.
    std::int64_t suspend_first_ms = 30'000;
    std::int64_t suspend_max_ms = 30 * 60'000;
    // Lanes without items or connections that are remembered, with their counters.
    std::size_t lanes_idle_max = 10'000;
};

// What one delivery attempt is about: a message, and its recipients at one destination.
struct delivery_item {
    std::uint64_t message_id = 0;
    recipient_set recipients;        // Indices into the envelope; defer() those that remain.
    std::int64_t arrived_ms = 0;     // On this scheduler's clock; before its start after a restart.
    std::int64_t not_before_ms = 0;  // For add(): not due earlier than this.
    std::uint32_t size_kib = 0;      // Rounded up; for counters and choices, never for limits.
    std::uint16_t attempts = 0;      // That were made before this one.
    lane_id lane = no_lane;          // Filled in by take_next().
    std::uint32_t handle = 0;        // Filled in by take_next(); belongs to the scheduler.
};

enum class grant_action : std::uint8_t {
    open,      // Open a new connection for the lane.
    wake_idle, // Resume one of the lane's parked connections.
};

struct lane_work {
    lane_id lane = no_lane;
    grant_action action = grant_action::open;
};

struct defer_result {
    bool expired = false;     // max_age is over: the item is out of the scheduler; bounce it.
    std::int64_t due_ms = 0;  // Else, when it comes up again.
};

struct counters {
    std::uint64_t ready = 0;     // Due, waiting for a connection.
    std::uint64_t deferred = 0;  // Waiting for their time.
    std::uint64_t in_flight = 0; // Taken, not yet settled.
    std::uint64_t held = 0;
    std::uint64_t connections = 0; // Granted and not closed, parked ones included.
    std::uint64_t connections_idle = 0;
    std::uint64_t done_total = 0; // Settled by done(), since the start or the lane's creation.
    std::uint64_t deferred_total = 0;
    std::uint64_t expired_total = 0;

    [[nodiscard]] std::uint64_t waiting() const noexcept { return ready + deferred + in_flight; }
};

struct lane_view {
    lane_id id = no_lane;
    std::string_view destination;
    schedule::counters counters;
    std::int64_t suspended_until_ms = 0; // 0: not suspended.
    std::int64_t oldest_arrived_ms = 0;  // Meaningless when nothing waits.
};

class scheduler {
public:
    scheduler(const settings& settings, std::uint64_t seed, std::int64_t now_ms);

    // A new policy: holds for every later decision; running back-offs keep their time.
    void configure(const settings& settings);

    // Items of one destination that are due leave in the order they came.
    lane_id add(delivery_item item, std::string_view destination, std::int64_t now_ms);

    // Kept until release(): no time, no expiry.
    void hold(delivery_item item, std::int64_t now_ms);
    // Takes it out of the hold; the caller adds it again where policy now says.
    [[nodiscard]] std::optional<delivery_item> release(std::uint64_t message_id);
    [[nodiscard]] std::optional<delivery_item> release_next();

    // A lane with due items, a free permit and no suspension, in turn. Call until it returns
    // nothing; each return is one connection to open or to wake.
    [[nodiscard]] std::optional<lane_work> next_due(std::int64_t now_ms);

    // The next item for a granted connection; nothing: the lane is empty or suspended.
    [[nodiscard]] std::optional<delivery_item> take_next(lane_id lane, std::int64_t now_ms);

    // An item whose max_age ran out before its next attempt, out of the scheduler: bounce it.
    [[nodiscard]] std::optional<delivery_item> next_expired(std::int64_t now_ms);

    // Settles a taken item: nothing of it is left to deliver.
    void done(const delivery_item& item);
    // Settles a taken item: item.recipients are tried again. `not_before_ms` may postpone further
    // (a greylisting host that says when). Counts as an attempt.
    defer_result defer(const delivery_item& item, std::int64_t now_ms,
                       std::int64_t not_before_ms = 0);
    // Settles a taken item that was never tried (the connection failed first): first in line.
    void put_back(const delivery_item& item, std::int64_t now_ms);

    // The destination refused or broke a connection: the whole lane waits, each time twice as
    // long, then one connection probes it. Returns when.
    std::int64_t suspend(lane_id lane, std::int64_t now_ms);
    // An operator's suspension or resumption; the back-off is left as it is or cleared.
    void suspend_until(lane_id lane, std::int64_t until_ms);
    void resume(lane_id lane);
    // A greeting and EHLO went well: back-off and probing end.
    void connected(lane_id lane);

    void park(lane_id lane);
    void close_connection(lane_id lane);
    void close_idle(lane_id lane);

    // When next_due() or next_expired() may have something new; nothing: not before an input.
    [[nodiscard]] std::optional<std::int64_t> next_wakeup_ms(std::int64_t now_ms) const;

    // Makes up to `items_max` deferred items of a lane due now; returns how many it was.
    std::size_t flush(lane_id lane, std::size_t items_max, std::int64_t now_ms);

    [[nodiscard]] std::optional<lane_id> find_lane(std::string_view destination) const;
    [[nodiscard]] std::string_view destination(lane_id lane) const;
    [[nodiscard]] lane_view view(lane_id lane) const;
    void for_each_lane(const std::function<void(const lane_view&)>& visit) const;

    [[nodiscard]] const counters& total() const noexcept { return total_; }
    // Of what waits, held items included; 0 when nothing does. O(lanes).
    [[nodiscard]] std::int64_t oldest_age_ms(std::int64_t now_ms) const;
    [[nodiscard]] std::size_t footprint_bytes() const noexcept;

private:
    enum class state : std::uint8_t { free, ready, deferred, in_flight, held };

    struct entry;
    struct lane;
    struct entry_list;

    // See scheduler.cc for the meaning of each list.
    #include "stage/schedule/scheduler_private.inc"
};

} // namespace ebbgate::schedule
