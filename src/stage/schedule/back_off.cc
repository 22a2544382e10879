#include "stage/schedule/back_off.h"

#include <algorithm>

namespace ebbgate::schedule {

std::int64_t back_off_ms(std::int64_t first_ms,
                         double factor,
                         std::int64_t max_ms,
                         std::uint32_t attempts) noexcept {
    double wait = static_cast<double>(first_ms);
    const double max = static_cast<double>(max_ms);
    for (std::uint32_t attempt = 1; attempt < attempts && wait < max && factor > 1; ++attempt) {
        wait *= factor;
    }
    return static_cast<std::int64_t>(std::min(wait, max));
}

std::int64_t jitter::spread(std::int64_t wait_ms) noexcept {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
    mixed ^= mixed >> 31;
    const std::int64_t span = wait_ms / 5;
    return wait_ms +
           (span > 0 ? static_cast<std::int64_t>(mixed % static_cast<std::uint64_t>(span + 1)) : 0);
}

} // namespace ebbgate::schedule
