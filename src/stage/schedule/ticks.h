// Milliseconds to the 32-bit ticks of the wheel and the heap, and back. One tick is 8 ms: nothing
// is due early, and at most 8 ms late.

#pragma once

#include "stage/schedule/indexed_heap.h"

#include <algorithm>
#include <cstdint>

namespace ebbgate::schedule {

inline constexpr std::int64_t tick_ms = 8;

// 90 days from now at most, so that ticks compare by difference (2^31 ticks are 198 days). A longer
// suspension is looked at then and put off again; an item gets its attempt then.
inline constexpr std::int64_t ahead_ms_max = 90LL * 24 * 3'600'000;

[[nodiscard]] constexpr tick tick_of(std::int64_t time_ms, std::int64_t now_ms) noexcept {
    const std::int64_t bounded = std::clamp(time_ms, now_ms - tick_ms, now_ms + ahead_ms_max);
    return static_cast<tick>((bounded + tick_ms - 1) >> 3);
}

[[nodiscard]] constexpr tick tick_at(std::int64_t now_ms) noexcept {
    return static_cast<tick>(now_ms >> 3);
}

[[nodiscard]] constexpr bool is_due(tick time, std::int64_t now_ms) noexcept {
    return !earlier(tick_at(now_ms), time);
}

[[nodiscard]] constexpr std::int64_t ms_of(tick time, std::int64_t now_ms) noexcept {
    const std::int64_t now_ticks = now_ms >> 3;
    return (now_ticks + static_cast<std::int32_t>(time - static_cast<tick>(now_ticks))) * tick_ms;
}

} // namespace ebbgate::schedule
