// The due items of all lanes. In a lane the urgent go first; among equals each tenant has its turn,
// so that one with a million messages does not keep another waiting; a tenant's own go first come,
// first served.
//
// Owner   One scheduler, whose slots it links by slot::waiting.
// Bounds  A queue exists while it has items: at most one an item, 40 bytes and a hash entry each.

#pragma once

#include "stage/schedule/slots.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace ebbgate::schedule {

inline constexpr std::uint32_t no_queue = 0xffff'ffff;

// A lane's part.
struct ready_lane {
    std::uint32_t urgent_turn = no_queue; // Whose turn it is; the queues of a class are a ring.
    std::uint32_t other_turn = no_queue;
    std::uint32_t urgent_run = 0; // Taken in a row.
    std::size_t count = 0;
};

class ready_queue {
public:
    explicit ready_queue(slot_store& slots) : slots_(slots) {}

    void add_last(ready_lane& lane, std::uint32_t number) { add(lane, number, false); }

    // Before all others of its lane and class.
    void add_first(ready_lane& lane, std::uint32_t number) { add(lane, number, true); }

    void remove(ready_lane& lane, std::uint32_t number);

    // What take() would give.
    [[nodiscard]] std::uint32_t next(const ready_lane& lane, std::uint32_t urgent_run_max) const;

    // Out of the queue; no_slot: there is none.
    [[nodiscard]] std::uint32_t take(ready_lane& lane, std::uint32_t urgent_run_max);

    [[nodiscard]] std::size_t footprint_bytes() const noexcept;

private:
    struct tenant_queue {
        std::uint64_t key = 0;
        slot_list items;
        std::uint32_t next = no_queue;
        std::uint32_t previous = no_queue;
    };

    static std::uint32_t& turn_of(ready_lane& lane, std::uint32_t owner) noexcept {
        return is_urgent_owner(owner) ? lane.urgent_turn : lane.other_turn;
    }

    [[nodiscard]] static bool is_urgent_next(const ready_lane& lane,
                                             std::uint32_t urgent_run_max) noexcept {
        return lane.urgent_turn != no_queue &&
               (lane.other_turn == no_queue || lane.urgent_run < urgent_run_max);
    }

    void add(ready_lane& lane, std::uint32_t number, bool first);
    [[nodiscard]] std::uint32_t find(const ready_lane& lane, const slot& item) const;
    [[nodiscard]] std::uint32_t make(std::uint32_t& turn, std::uint64_t key);
    void unlink_item(ready_lane& lane, std::uint32_t queue, std::uint32_t number);

    slot_store& slots_;
    std::vector<tenant_queue> queues_;
    std::vector<std::uint32_t> free_;
    std::unordered_map<std::uint64_t, std::uint32_t> by_key_; // Lane and owner.
};

} // namespace ebbgate::schedule
