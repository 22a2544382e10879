// What the readers of archives have in common: whom they tell, what they allow, how they fail.
//
// Stage   4 of 8; part of archive_listing.
// Owner   Values.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <string_view>

namespace ebbgate::content {

struct listing_limits {
    std::uint32_t members_max = 20'000;
    std::size_t name_bytes_max = 4 * kib;     // Of one name.
    std::size_t all_name_bytes_max = 2 * mib; // Each counted as often as it is found.
    std::uint64_t unpacked_bytes_max = gib;   // Of gzip data.
    std::uint64_t unpacked_bytes_free = mib;  // Before the ratio counts.
    std::uint32_t ratio_max = 200;            // Unpacked to packed.
};

enum class listing_fault : std::uint8_t {
    none,
    broken,       // Not an archive, cut off, or with bytes that belong to nothing.
    disagreement, // Two parts of it say different things.
    hidden_names, // Encrypted, with the names.
    too_large,    // listing_limits.
};

[[nodiscard]] std::string_view name_of(listing_fault fault) noexcept;

class member_handler {
public:
    virtual ~member_handler() = default;

    // Folders are not told. The name is bytes: mostly UTF-8.
    virtual void member(byte_view name, bool encrypted) = 0;
};

// Counts what is told against the limits.
class member_counter {
public:
    member_counter(member_handler& handler, const listing_limits& limits) noexcept
        : handler_(&handler), limits_(limits) {}

    // False: over a limit; nothing was told.
    [[nodiscard]] bool tell(byte_view name, bool encrypted) {
        name_bytes_ += name.size();
        if (name.size() > limits_.name_bytes_max || name_bytes_ > limits_.all_name_bytes_max) {
            return false;
        }
        handler_->member(name, encrypted);
        return true;
    }

    [[nodiscard]] bool count() noexcept { return ++members_ <= limits_.members_max; }

private:
    member_handler* handler_;
    listing_limits limits_;
    std::size_t name_bytes_ = 0;
    std::uint32_t members_ = 0;
};

} // namespace ebbgate::content
