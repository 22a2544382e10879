// The items a scheduler holds, one fixed-size record each, and the lists that run through them.
//
// Owner   One scheduler. A slot number stays the item's name until the slot is freed.
// Bounds  56 bytes a slot, in blocks that are never moved; freed slots are used again first.

#pragma once

#include "ebbgate/base/assert.h"

#include "stage/schedule/indexed_heap.h"
#include "stage/schedule/item.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ebbgate::schedule {

inline constexpr std::uint32_t no_slot = 0xffff'ffff;

enum class slot_state : std::uint8_t { free, ready, deferred, in_flight, expired, held };

// Whose turn an item takes in its lane: a tenant's number, and whether it is urgent.
[[nodiscard]] constexpr std::uint32_t owner_of(std::uint32_t tenant, bool is_urgent) noexcept {
    return tenant << 1 | (is_urgent ? 1U : 0U);
}

[[nodiscard]] constexpr bool is_urgent_owner(std::uint32_t owner) noexcept {
    return (owner & 1) != 0;
}

[[nodiscard]] constexpr std::uint32_t tenant_of_owner(std::uint32_t owner) noexcept {
    return owner >> 1;
}

struct slot_links {
    std::uint32_t previous = no_slot;
    std::uint32_t next = no_slot;
};

struct slot {
    std::uint64_t message_id = 0;
    std::uint64_t recipients_low = 0;
    lane_id lane = no_lane;
    slot_links waiting;             // In one of ready, deferred, expired, held, or the free list.
    slot_links arrival;             // In the lane's list by arrival.
    std::uint32_t place = no_place; // In the wheel of times.
    std::int32_t arrived_s = 0;
    std::uint32_t owner = 0;         // See owner_of().
    std::uint32_t sibling = no_slot; // The next of the same message, in a ring.
    std::uint16_t attempts = 0;
    slot_state state = slot_state::free;
    bool more_recipients : 1 = false; // Indices of 64 and above are in a table aside.
    bool is_noticed : 1 = false;      // Its sender was told that it is late.
    bool is_put_off : 1 = false;      // Deferred, and not for an attempt that failed.
};

static_assert(sizeof(slot) == 56);

struct slot_list {
    std::uint32_t first = no_slot;
    std::uint32_t last = no_slot;
    std::size_t count = 0;
};

class slot_store {
public:
    slot& operator[](std::uint32_t number) {
        return blocks_[number / block_slots][number % block_slots];
    }

    const slot& operator[](std::uint32_t number) const {
        return blocks_[number / block_slots][number % block_slots];
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return made_; }

    [[nodiscard]] std::uint32_t make();
    void free(std::uint32_t number);

    template <slot_links slot::* links>
    void link_last(slot_list& list, std::uint32_t number) {
        link_after<links>(list, list.last, number);
    }

    template <slot_links slot::* links>
    void link_first(slot_list& list, std::uint32_t number) {
        link_after<links>(list, no_slot, number);
    }

    // After `place`, or first when that is no_slot.
    template <slot_links slot::* links>
    void link_after(slot_list& list, std::uint32_t place, std::uint32_t number) {
        slot_links& own = (*this)[number].*links;
        own.previous = place;
        own.next = place == no_slot ? list.first : ((*this)[place].*links).next;
        (own.previous == no_slot ? list.first : ((*this)[own.previous].*links).next) = number;
        (own.next == no_slot ? list.last : ((*this)[own.next].*links).previous) = number;
        ++list.count;
    }

    template <slot_links slot::* links>
    void unlink(slot_list& list, std::uint32_t number) {
        slot_links& own = (*this)[number].*links;
        (own.previous == no_slot ? list.first : ((*this)[own.previous].*links).next) = own.next;
        (own.next == no_slot ? list.last : ((*this)[own.next].*links).previous) = own.previous;
        own = {};
        EBBGATE_ASSERT(list.count > 0);
        --list.count;
    }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept {
        return blocks_.size() * block_slots * sizeof(slot);
    }

private:
    static constexpr std::uint32_t block_slots = 1024;

    std::vector<std::unique_ptr<slot[]>> blocks_;
    std::uint32_t made_ = 0;
    std::uint32_t first_free_ = no_slot;
};

} // namespace ebbgate::schedule
