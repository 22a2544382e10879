// One slot of the counter table, as it lies in memory and in the file; and its packed word.
//
// Output  64 bytes: a cache line of its own, so hot subjects do not slow each other down, and
//         never split over two sectors of a disk.
// Bounds  Counts below 2^32, generations modulo 2^24, periods kept in 64 steps (period_code).

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace ebbgate::limits {

// The states of a slot, and who may change them, stand in counter_table.h.
enum class slot_state : std::uint8_t { vacant = 0, filling = 1, trying = 2, live = 3 };

// What is changed by compare-and-swap, always as a whole. In 64 bits, from the lowest: state 2,
// period code 6, generation 24, count 32.
struct slot_word {
    slot_state state = slot_state::vacant;
    std::uint8_t period_code = 0;
    std::uint32_t generation = 0;
    std::uint32_t count = 0;
};

inline constexpr std::uint32_t generation_mask = 0xff'ffff;

[[nodiscard]] constexpr std::uint64_t pack(const slot_word& word) noexcept {
    return static_cast<std::uint64_t>(word.state) |
           static_cast<std::uint64_t>(word.period_code & 0x3fU) << 2 |
           static_cast<std::uint64_t>(word.generation & generation_mask) << 8 |
           static_cast<std::uint64_t>(word.count) << 32;
}

[[nodiscard]] constexpr slot_word unpack(std::uint64_t packed) noexcept {
    return {static_cast<slot_state>(packed & 3),
            static_cast<std::uint8_t>(packed >> 2 & 0x3f),
            static_cast<std::uint32_t>(packed >> 8) & generation_mask,
            static_cast<std::uint32_t>(packed >> 32)};
}

// Only the count and the period code change while a window lasts.
[[nodiscard]] constexpr bool same_window(std::uint64_t one, std::uint64_t other) noexcept {
    const slot_word a = unpack(one);
    const slot_word b = unpack(other);
    return a.state == b.state && a.generation == b.generation;
}

// How long a slot is kept for its key, in the steps 1 2 3 4 6 8 12 16 24 ... seconds: at least the
// period, at most half as long again. A window itself ends exactly, by the rate of who asks.
[[nodiscard]] constexpr std::uint64_t kept_seconds(std::uint8_t period_code) noexcept {
    if (period_code == 0) {
        return 1;
    }
    const unsigned half = period_code / 2U;
    return period_code % 2 != 0 ? std::uint64_t{2} << half : std::uint64_t{3} << (half - 1);
}

// The smallest code that keeps that long. Up to 2^32 seconds.
[[nodiscard]] constexpr std::uint8_t period_code_for(std::uint64_t seconds) noexcept {
    if (seconds <= 1) {
        return 0;
    }
    const auto bits = static_cast<unsigned>(std::bit_width(seconds - 1));
    const bool three_quarters = bits >= 2 && seconds <= std::uint64_t{3} << (bits - 2);
    return static_cast<std::uint8_t>(three_quarters ? 2 * (bits - 1) : 2 * bits - 1);
}

struct alignas(64) counter_slot {
    std::uint64_t word;
    // Of the claim that the word's generation names. Written in the state `filling` only.
    std::uint64_t key_low;
    std::uint64_t key_high;
    std::uint64_t opened_ms; // Since 1970.
    std::uint64_t seal;      // Over the three above and the generation: tells damage at open.
    // Not of this claim: how many places of the path that begins at this slot were ever used since
    // the file was opened. Only grows.
    std::uint64_t reach;
    std::uint64_t spare[2];
};

static_assert(sizeof(counter_slot) == 64);

// A path: the slots where a key may be, from its home outwards by 0, 1, 3, 6, 10 ... places. In a
// table whose size is a power of two they are all different.
inline constexpr std::uint64_t path_slots_max = 128;

[[nodiscard]] constexpr std::uint64_t
slot_on_path(std::uint64_t home, std::uint64_t place, std::uint64_t capacity) noexcept {
    return (home + place * (place + 1) / 2) & (capacity - 1);
}

[[nodiscard]] constexpr std::uint64_t path_slots(std::uint64_t capacity) noexcept {
    return capacity < path_slots_max ? capacity : path_slots_max;
}

} // namespace ebbgate::limits
