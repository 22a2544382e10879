// Finds the fields that a list of names stands for: of several with one name, the last first.
//
// Input   The fields as they came, in order. Views: they outlive the index.
// Bounds  A look-up is a binary search; 1000 fields cost no more than 1000 of those.
// Specs   RFC 6376 section 5.4.2.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::dkim {

[[nodiscard]] byte_view name_of(byte_view field) noexcept;

class header_index {
public:
    explicit header_index(std::span<const byte_view> fields);

    // The lowest one with this name (any case) that was not yet taken.
    [[nodiscard]] std::optional<byte_view> take(byte_view name);

    // All are there again, but for the field at this place.
    void reset(std::size_t without = no_field);

    static constexpr std::size_t no_field = ~std::size_t{0};

private:
    struct entry {
        std::string name;
        std::uint32_t at = 0;
    };

    std::span<const byte_view> fields_;
    std::vector<entry> entries_;      // By name, then from the bottom up.
    std::vector<std::uint32_t> next_; // Where a group begins: how many of it were taken.
    std::size_t without_ = no_field;
};

} // namespace ebbgate::dkim
