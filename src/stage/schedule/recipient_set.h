// Which recipients of an envelope one delivery item is about: a set of indices.
//
// Owner   A value.
// Bounds  One word for indices below 64, which is nearly every message; a vector beyond.

#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ebbgate::schedule {

class recipient_set {
public:
    static constexpr std::uint32_t inline_indices = 64;

    void add(std::uint32_t index) {
        if (index < inline_indices) {
            low_ |= std::uint64_t{1} << index;
            return;
        }
        const auto place = std::lower_bound(high_.begin(), high_.end(), index);
        if (place == high_.end() || *place != index) {
            high_.insert(place, index);
        }
    }

    void remove(std::uint32_t index) noexcept {
        if (index < inline_indices) {
            low_ &= ~(std::uint64_t{1} << index);
            return;
        }
        const auto place = std::lower_bound(high_.begin(), high_.end(), index);
        if (place != high_.end() && *place == index) {
            high_.erase(place);
        }
    }

    [[nodiscard]] bool contains(std::uint32_t index) const noexcept {
        return index < inline_indices ? ((low_ >> index) & 1) != 0
                                      : std::binary_search(high_.begin(), high_.end(), index);
    }

    [[nodiscard]] std::size_t count() const noexcept {
        return static_cast<std::size_t>(std::popcount(low_)) + high_.size();
    }

    [[nodiscard]] bool empty() const noexcept { return low_ == 0 && high_.empty(); }

    // In ascending order.
    template <typename visitor>
    void for_each(visitor&& visit) const {
        for (std::uint64_t rest = low_; rest != 0; rest &= rest - 1) {
            visit(static_cast<std::uint32_t>(std::countr_zero(rest)));
        }
        for (const std::uint32_t index : high_) {
            visit(index);
        }
    }

    bool operator==(const recipient_set&) const = default;

private:
    friend class scheduler;

    std::uint64_t low_ = 0;
    std::vector<std::uint32_t> high_; // Sorted.
};

} // namespace ebbgate::schedule
