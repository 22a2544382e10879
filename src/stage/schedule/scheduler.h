// Decides when each delivery is due, and how many connections may run to one destination.
//
// Stage   6 of 8. Before it: spool. After it: deliver.
// Input   Delivery items from inbound and recovery, attempt results from outbound, the time.
// Output  Lanes that may open or wake a connection, the next item of a lane, expired items.
// Owner   One per shard. No I/O, no threads, no clock: time is an argument, in milliseconds of a
//         clock that never goes back.
// Fails   Never: nothing is refused here, inbound already said 250. Misuse is asserted.
// Bounds  64 bytes an item and 256 for each tick or time span in use (due_wheel.h), 88 more for the
// first
//         due item of a tenant in a lane, one record a lane;
//         settings.lanes_idle_max. Each operation is O(log items + log lanes) or better, except
//         flush() and next_expired() catching up, which are bounded by an argument or a constant,
//         and oldest_age_ms() and for_each_lane(), which visit each lane.
//
// A connection's life, seen from here. next_due() grants it: open one with a new permit, or
// unpark() one. It calls take_next() until that returns nothing, and settles each item
// it got with exactly one of done(), defer(), put_back() or drop(). Then it calls park() (the
// connection stays open, idle) or close().
//
// A lane that cannot be reached costs nothing to others: its items wait in its own list, and it is
// not in the turn of next_due() until its back-off ends; then one connection probes it. Four things
// keep a lane out of the turn, each with its own end: back-off, an operator's suspension, a rate's
// pause, and that others have all the connections it may have (block()).

#pragma once

#include "stage/schedule/due_wheel.h"
#include "stage/schedule/indexed_heap.h"
#include "stage/schedule/item.h"
#include "stage/schedule/ready_queue.h"
#include "stage/schedule/slots.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::schedule {

class scheduler {
public:
    scheduler(const settings& settings, std::uint64_t seed);
    scheduler(const scheduler&) = delete; // The heap and the queues hold references to their owner.
    scheduler& operator=(const scheduler&) = delete;

    // A new policy: holds for every later decision; waits that run keep their time.
    void configure(const settings& settings);

    // `soon_due` is told whose messages' times come next, a few dozen at once.
    void set_soon_due(std::function<void(std::span<const std::uint64_t>)> soon_due) {
        times_.set_soon_due(std::move(soon_due));
    }

    // A lane's id is good while it has items or connections; an idle one may be forgotten later.
    // Items of a lane that are due leave as ready_queue.h says. Set a lane's own limit with
    // connections_max, or 0 for the setting. `sibling`: the slot of another item of the same
    // message, if it has one. Returns the item's slot.
    std::uint32_t add(const delivery_item& item,
                      std::string_view destination,
                      std::int64_t now_ms,
                      std::uint32_t sibling = no_slot);
    void set_connections_max(lane_id lane, std::uint32_t connections_max);

    // The next of the items of a message, in a ring; itself when it is the only one.
    [[nodiscard]] std::uint32_t sibling_of(std::uint32_t slot) const {
        return slots_[slot].sibling;
    }

    [[nodiscard]] delivery_item item_at(std::uint32_t slot) const { return item_of(slot); }

    [[nodiscard]] waiting_item look_at(std::uint32_t slot, std::int64_t now_ms) const;

    // Kept until release(): no time, no expiry. One item a message. Returns its slot.
    std::uint32_t hold(const delivery_item& item, std::uint32_t sibling = no_slot);
    // Out of the hold, and out of the scheduler: the caller adds it where policy now says.
    [[nodiscard]] std::optional<delivery_item> release(std::uint64_t message_id);
    [[nodiscard]] std::optional<delivery_item> release_next(); // The one held longest.
    [[nodiscard]] recipient_set held_of(std::uint64_t message_id) const;

    // One connection to open or to wake, lanes in turn. Call until it returns nothing.
    [[nodiscard]] std::optional<lane_work> next_due(std::int64_t now_ms);

    // The next item for this connection; nothing: its lane has none due, or is suspended.
    [[nodiscard]] std::optional<delivery_item> take_next(connection_permit& permit,
                                                         std::int64_t now_ms);

    // An item whose max_age ended before an attempt could be made, in hand: bounce it, drop() it.
    [[nodiscard]] std::optional<delivery_item> next_expired(std::int64_t now_ms);

    // An item that is late and has just become so, once: it still waits, or is in flight by now.
    [[nodiscard]] std::optional<delivery_item> next_late(std::int64_t now_ms);

    // Settle a taken item. Nothing of it is left to deliver; returns another item of the message,
    // or no_slot:
    std::uint32_t done(const delivery_item& item);
    // item.recipients are tried again, at back-off time or at not_before_ms if that is later; an
    // item that has expired stays in hand, for drop():
    defer_result
    defer(const delivery_item& item, std::int64_t now_ms, std::int64_t not_before_ms = 0);
    // It was never tried (the connection failed first); it is first in line, attempts unchanged:
    void put_back(const delivery_item& item, std::int64_t now_ms);
    // Not settled yet: from here on only these of its recipients are the item's.
    void keep(const delivery_item& item);
    // It waits until then, whatever its age; attempts unchanged:
    void put_aside(const delivery_item& item, std::int64_t until_ms, std::int64_t now_ms);
    // It was not tried and shall not be before then; attempts unchanged:
    void put_off(const delivery_item& item, std::int64_t until_ms, std::int64_t now_ms);
    // Its message is gone (an operator removed it); not counted as done:
    std::uint32_t drop(const delivery_item& item);

    // Its max_age is over.
    [[nodiscard]] bool is_expired(std::uint32_t slot, std::int64_t now_ms) const noexcept {
        return now_ms >= expiry_ms(slots_[slot]);
    }

    // A waiting item, due or deferred, in hand as if take_next() had given it; nothing: it is in
    // flight, held or gone. Settle it as those.
    [[nodiscard]] std::optional<delivery_item> withdraw(std::uint32_t slot);

    // The destination refused the connection or broke it before it was of use; close() it as well.
    // When none works the whole lane waits, each time twice as long; otherwise it gets no more
    // connections than those that work, for a while. Returns until when. `others_work`: those that
    // other lanes have at the same place do, and it waits for room there: then no time is set, 0.
    std::int64_t
    refused(const connection_permit& permit, std::int64_t now_ms, bool others_work = false);
    // The destination greeted us: its back-off and probing end.
    void connected(const connection_permit& permit);
    // It asks for less: nothing leaves before the back-off that refused() would give ends.
    std::int64_t pushed_back(lane_id lane, std::int64_t now_ms);
    // Tries it again now, as after a back-off that has ended.
    void retry_now(lane_id lane, std::int64_t now_ms);
    // An operator's wish.
    void suspend(lane_id lane, std::int64_t until_ms, std::int64_t now_ms);
    void resume(lane_id lane, std::int64_t now_ms);
    // Its rate is used up until then.
    void pause(lane_id lane, std::int64_t until_ms, std::int64_t now_ms);
    // No new connection until unblock(): others have those that its destination takes.
    // Nothing happens to a lane that is forgotten by now.
    void block(lane_id lane);
    void unblock(lane_id lane);

    [[nodiscard]] bool waits(lane_id lane) const { return waits(lane_of(lane)); }

    // It asks for nothing: as take_next(), which gives it nothing.
    void opened(connection_permit& permit);
    void park(connection_permit& permit);
    void unpark(connection_permit& permit); // At once after a grant_action::wake_idle.
    void close(connection_permit& permit);

    // When to call next_due() and next_expired() again if no other input comes before; `now_ms`
    // when they have something already.
    [[nodiscard]] std::optional<std::int64_t> next_wakeup_ms(std::int64_t now_ms) const;

    // Makes up to `items_max` deferred items of a lane due now; returns how many it was.
    std::size_t flush(lane_id lane, std::size_t items_max, std::int64_t now_ms);

    // A deferred item is due now; false: it was not deferred.
    bool make_due(std::uint32_t slot, std::int64_t now_ms);
    // The slot of the item that take_next() would give; no_slot: none.
    [[nodiscard]] std::uint32_t next_ready(lane_id lane) const;

    // To go through all items, or all lanes, a part at a time while they change: by number, from 0
    // to the bound, which may grow. Nothing: there is none of this number, or it has expired.
    [[nodiscard]] std::uint32_t slots_made() const noexcept { return slots_.size(); }

    [[nodiscard]] std::optional<waiting_item> waiting_at(std::uint32_t slot,
                                                         std::int64_t now_ms) const;

    [[nodiscard]] lane_id lanes_made() const noexcept {
        return static_cast<lane_id>(lanes_.size());
    }

    [[nodiscard]] std::optional<lane_view> lane_at(lane_id lane, std::int64_t now_ms) const;

    [[nodiscard]] std::optional<lane_id> find_lane(std::string_view destination) const;
    [[nodiscard]] std::string_view destination(lane_id lane) const;
    [[nodiscard]] lane_view view(lane_id lane, std::int64_t now_ms) const;
    void for_each_lane(std::int64_t now_ms,
                       const std::function<void(const lane_view&)>& visit) const;
    // The items of a lane, oldest first, until `visit` says false.
    void for_each_item(lane_id lane,
                       std::int64_t now_ms,
                       const std::function<bool(const waiting_item&)>& visit) const;
    // The message of each item of a lane, newest first.
    void for_each_newest(lane_id lane,
                         std::size_t items_max,
                         const std::function<void(std::uint64_t message_id)>& visit) const;
    void for_each_held(std::int64_t now_ms,
                       const std::function<bool(const waiting_item&)>& visit) const;

    [[nodiscard]] const counters& total() const noexcept { return total_; }

    [[nodiscard]] std::size_t lane_count() const noexcept { return lanes_by_destination_.size(); }

    [[nodiscard]] std::int64_t oldest_age_ms(std::int64_t now_ms) const;
    [[nodiscard]] std::size_t footprint_bytes() const noexcept;

private:
    struct lane_record {
        std::string destination;
        schedule::counters counters;
        ready_lane ready;     // Due items.
        slot_list deferred;   // Items whose time has not come, in no order.
        slot_list by_arrival; // All that wait or are in flight, oldest first.
        std::int64_t suspended_until_ms = 0;
        std::int64_t backed_off_until_ms = 0;
        std::int64_t paused_until_ms = 0;
        std::int64_t learned_until_ms = 0; // Of learned_max.
        std::uint32_t connections_max = 0; // 0: the setting.
        std::uint32_t opening = 0;         // Granted, nothing taken yet.
        std::uint32_t learned_max = 0;     // 0: none; connections that worked when one was refused.
        std::uint32_t refusals = 0;        // In a row; not 0: one connection probes.
        std::uint32_t wake_place = no_place;
        lane_id turn_next = no_lane; // In the turn of next_due(), or in the list of idle lanes.
        lane_id turn_previous = no_lane;
        bool is_blocked = false;
        bool in_turn = false;
        bool in_idle = false;
        bool used = false;
    };

    struct lane_list {
        lane_id first = no_lane;
        lane_id last = no_lane;
        std::size_t count = 0;
    };

    struct lane_places {
        std::deque<lane_record>* lanes;
        std::uint32_t& operator()(std::uint32_t number) const;
    };

    struct text_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept;
    };

    // Of scheduler.cc: items.
    std::uint32_t checked_slot(const delivery_item& item) const;
    delivery_item item_of(std::uint32_t number) const;
    delivery_item put_in_flight(std::uint32_t number);
    void keep_recipients(std::uint32_t number, const recipient_set& recipients);
    void free_slot(std::uint32_t number);
    std::uint32_t make_slot(const delivery_item& item, std::uint32_t sibling);
    void link_arrival(std::uint32_t number);
    void make_ready(std::uint32_t number, bool first, std::int64_t now_ms);
    void make_deferred(std::uint32_t number, std::int64_t due_ms, std::int64_t now_ms);
    void unlink_waiting(std::uint32_t number);
    void expire(std::uint32_t number);
    std::uint32_t forget(std::uint32_t number);
    void advance(std::int64_t now_ms);
    [[nodiscard]] bool is_notice_due(const slot& item, std::int64_t now_ms) const noexcept;
    void wait_for_next_stage(std::uint32_t number, std::int64_t now_ms);
    [[nodiscard]] std::int64_t next_stage_ms(const slot& item, std::int64_t now_ms) const noexcept;
    [[nodiscard]] std::int64_t expiry_ms(const slot& item) const noexcept;

    // Of lanes.cc: lanes.
    lane_record& lane_of(lane_id id);
    [[nodiscard]] const lane_record& lane_of(lane_id id) const;
    void set_blocked(lane_id id, bool is_blocked);
    lane_id make_lane(std::string_view destination);
    void review(lane_id id); // After any change: in the turn or not, idle or not.
    [[nodiscard]] static bool waits(const lane_record& lane) noexcept;
    [[nodiscard]] bool may_grant(const lane_record& lane) const noexcept;
    [[nodiscard]] std::uint32_t connections_max(const lane_record& lane) const noexcept;
    // Ends what is over, sets the time when the next is, and reviews.
    void watch(lane_id id, std::int64_t now_ms);
    std::int64_t back_off(lane_id id, std::int64_t now_ms);
    void link_last(lane_list& list, lane_id id);
    void unlink(lane_list& list, lane_id id);
    void retire_idle_lanes();

    settings settings_;
    jitter jitter_;
    slot_store slots_;
    ready_queue ready_{slots_};
    std::deque<lane_record> lanes_;
    std::vector<lane_id> free_lanes_;
    std::unordered_map<std::string, lane_id, text_hash, std::equal_to<>> lanes_by_destination_;
    lane_list turn_;
    lane_list idle_;
    // Deferred items by due time, ready items by the end of their max_age.
    due_wheel times_{slots_};
    indexed_heap<lane_places> wakes_; // Lanes that wait for a time.
    slot_list expired_;
    slot_list held_;
    std::vector<std::pair<std::uint32_t, std::uint64_t>> late_; // Slot and message.
    std::unordered_map<std::uint64_t, std::uint32_t> held_by_message_;
    std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> more_recipients_; // By slot.
    counters total_;
};

} // namespace ebbgate::schedule
