// Going through all items of the queue, a part a turn, while it lives on; and which are meant.
//
// Owner   Outbound of one shard; a sweep lives until it has called `then`.
// Bounds  Some thousand items a turn, 32 messages being read at a time.

#pragma once

#include "relay/outbound.h"

namespace ebbgate::relay {

// All items in steps; those that `judge` picks have their message read and given to `use`.
struct outbound::sweep {
    std::function<bool(const schedule::waiting_item&)> judge;
    std::function<void(queued_message&, const schedule::waiting_item&)> use;
    std::function<void()> then;
    std::uint32_t next = 0; // Slot.
    std::size_t open = 0;   // Messages being read.
    std::size_t reads = 0;
    bool is_full = false;      // No more is wanted.
    bool is_reporting = false; // Senders are told of it: no faster than that can be written.
    bool is_posted = false;
    bool has_ended = false;
};

enum class likeness : std::uint8_t { none, some, all };

// What of a lane's mail a filter is about, as far as the lane tells; asked once a lane.
class outbound::lane_filter {
public:
    lane_filter(const outbound& owner, const queue_filter& asked);
    // `some`: its recipients decide.
    [[nodiscard]] likeness of(const schedule::waiting_item& item);
    [[nodiscard]] likeness of_lane(schedule::lane_id lane);
    [[nodiscard]] bool takes(const queued_message& message,
                             const schedule::waiting_item& item,
                             std::uint32_t recipient);

private:
    const outbound& owner_;
    queue_filter asked_;
    std::optional<std::uint32_t> tenant_; // Nothing: it has no mail here.

    struct known_lane {
        std::string destination; // A number may be another lane's later.
        likeness found = likeness::none;
    };

    std::unordered_map<schedule::lane_id, known_lane> lanes_;
};

} // namespace ebbgate::relay
