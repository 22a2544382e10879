// The times of the items, in a wheel of three levels: a bucket a tick, then one for 2,048 ticks
// (16 s), then one for 2,048 of those (9 hours). An item moves down at most twice before it is due.
//
// Owner   One scheduler. An item's place is kept in its slot, which the wheel writes.
// Bounds  8 bytes an item and 8 more for 31 of them, 256 for each bucket in use (5,120 at most),
//         and 50 KB. push() and remove() are O(1); next_due() moves as many as its caller allows.
//
// Unlike a heap, it knows which items come next, and where they lie is asked for before they are
// looked at: of ten million slots none is in a cache by itself.
//
// Times are 32-bit ticks that may wrap around: they compare by signed difference, so all times must
// lie within 2^31 ticks of each other.

#pragma once

#include "stage/schedule/indexed_heap.h"
#include "stage/schedule/slots.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace ebbgate::schedule {

class due_wheel {
public:
    explicit due_wheel(slot_store& slots) : slots_(slots) { buckets_.fill(no_block); }

    // Whose messages come next is told before they are due: what else is kept of them may be asked
    // for as well.
    void set_soon_due(std::function<void(std::span<const std::uint64_t>)> soon_due) {
        soon_due_ = std::move(soon_due);
    }

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    [[nodiscard]] tick time_at(std::uint32_t place) const noexcept {
        return block_at(place / block_places).nodes[place % block_places].time;
    }

    // `now` never goes back; a time before it is due at once.
    void push(tick time, std::uint32_t number, tick now);
    void remove(std::uint32_t number);

    // The first of those that are due, which stays; no_slot: none is, or `moves` is used up, then
    // next_time() is not after now. `moves`: how many items may go from one bucket to another.
    [[nodiscard]] std::uint32_t next_due(tick now, std::size_t& moves);

    // When to call next_due(): the earliest time, or an earlier one if that item was removed.
    [[nodiscard]] std::optional<tick> next_time() const noexcept;

    [[nodiscard]] std::size_t footprint_bytes() const noexcept {
        return sizeof(*this) + chunks_.size() * chunk_blocks * sizeof(block);
    }

private:
    static constexpr std::uint32_t no_block = 0xffff'ffff;
    static constexpr std::uint32_t block_places = 32; // One more than it has.
    static constexpr std::uint32_t chunk_blocks = 256;
    static constexpr std::uint32_t level_bits = 11;
    static constexpr std::uint32_t level_buckets = 1U << level_bits;
    static constexpr std::uint32_t levels = 3;
    // So many slots are asked for at once at least: one after the other they would be waited for.
    static constexpr std::size_t asked_min = 24;

    struct node {
        tick time;
        std::uint32_t number;
    };

    // All blocks of a bucket but its first are full.
    struct alignas(64) block {
        std::uint32_t next = no_block; // In its bucket, or of the free ones.
        std::uint16_t bucket = 0;
        std::uint16_t count = 0;
        std::array<node, 31> nodes{};
    };

    static_assert(sizeof(block) == 256);

    // Which buckets of a level are in use.
    struct level_map {
        std::array<std::uint64_t, level_buckets / 64> words{};
        std::uint64_t used_words = 0;

        void set(std::uint32_t index) noexcept;
        void clear(std::uint32_t index) noexcept;
        // The next from `index` on, around the end: how far it is.
        [[nodiscard]] std::optional<std::uint32_t> next(std::uint32_t index) const noexcept;
    };

    [[nodiscard]] static std::uint32_t bucket_of(std::uint32_t level, tick time) noexcept {
        return level * level_buckets + (time >> (level * level_bits)) % level_buckets;
    }

    [[nodiscard]] block& block_at(std::uint32_t number) const noexcept {
        return chunks_[number / chunk_blocks][number % chunk_blocks];
    }

    // In buckets of a level, from the cursor.
    [[nodiscard]] std::uint32_t level_distance(std::uint32_t level, tick time) const noexcept {
        const std::uint32_t shift = level * level_bits;
        return ((time >> shift) - (cursor_ >> shift)) & (0xffff'ffffU >> shift);
    }

    std::uint32_t make_block();
    void insert(tick time, std::uint32_t number);
    void take_last(std::uint32_t bucket);
    // Where the cursor comes next: a bucket's first tick. There is one.
    [[nodiscard]] tick next_stop() const noexcept;
    [[nodiscard]] tick find_soonest() const noexcept;
    bool spill(std::uint32_t level, std::size_t& moves);
    void ask_for_what_follows(std::uint32_t block_number);
    void ask_for_slots(std::span<const std::uint32_t> numbers) const;

    slot_store& slots_;
    std::function<void(std::span<const std::uint64_t>)> soon_due_;
    std::size_t size_ = 0;
    tick cursor_ = 0; // All before it is gone.
    tick soonest_ = 0;
    bool is_soonest_known_ = false;       // Else next_time() has to search.
    std::uint32_t asked_from_ = no_block; // What follows this block was asked for,
    tick asked_until_ = 0;                // and what is due until then.
    std::uint32_t first_free_ = no_block;
    std::uint32_t blocks_made_ = 0;
    std::array<level_map, levels> maps_;
    std::array<std::uint32_t, levels * level_buckets> buckets_; // Their first blocks.
    std::array<tick, levels * level_buckets> earliest_;         // Of each; too early at worst.
    std::vector<std::unique_ptr<block[]>> chunks_;
};

} // namespace ebbgate::schedule
