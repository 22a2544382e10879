// Reads the headers of a tar in one pass, with the names that GNU and pax put elsewhere.
//
// Stage   4 of 8; part of archive_listing.
// Input   The bytes of the archive, in chunks of any size.
// Output  Every name, that of the header and the long one that replaces it; of links, too.
// Owner   One an archive.
// Fails   See listing_fault: sizes that the header and pax say differently, what follows the end.
// Bounds  listing_limits; a pax header or long name of meta_bytes_max.
// Specs   POSIX.1-2017 pax, "ustar Interchange Format"; the GNU tar manual, "Basic Tar Format".

#pragma once

#include "stage/content/listing.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::content {

class tar_reader {
public:
    static constexpr std::size_t meta_bytes_max = 64 * kib;

    tar_reader(member_handler& handler, const listing_limits& limits);

    void feed(byte_view bytes);
    void finish();

    [[nodiscard]] listing_fault fault() const noexcept { return fault_; }

private:
    enum class state : std::uint8_t { header, skip, meta, over };

    void fail(listing_fault fault) noexcept;
    void take_header();
    void take_meta();
    void take_pax();
    void tell(byte_view name);
    [[nodiscard]] bool take_pax_record(byte_view& text);

    member_counter counter_;
    listing_limits limits_;
    state state_ = state::header;
    listing_fault fault_ = listing_fault::none;
    std::string block_; // A header, or the data of a meta header.
    std::size_t wanted_ = 0;
    std::uint64_t skip_ = 0;
    std::uint64_t padding_ = 0; // Behind the data of a meta header.
    char meta_type_ = '\0';
    std::string other_name_; // For the next header, from a meta header.
    std::optional<std::uint64_t> other_size_;
    bool any_ = false;
    bool zero_block_ = false;
};

} // namespace ebbgate::content
