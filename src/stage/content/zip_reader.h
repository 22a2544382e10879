// Reads the headers of a zip in one pass: each local header, the central directory, its end.
//
// Stage   4 of 8; part of archive_listing.
// Input   The bytes of the archive, in chunks of any size.
// Output  Every name of both kinds of header. They must agree, one record must follow the other
//         without a gap, and the end must be at the end: else programs may see other members than
//         these, and the fault says so.
// Owner   One an archive.
// Fails   See listing_fault.
// Bounds  listing_limits, and one header: at most name_bytes_max and two times 64 KiB.
// Specs   PKWARE APPNOTE 6.3.10, section 4.3.

#pragma once

#include "stage/content/listing.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::content {

class zip_reader {
public:
    zip_reader(member_handler& handler, const listing_limits& limits);

    void feed(byte_view bytes);
    void finish();

    [[nodiscard]] listing_fault fault() const noexcept { return fault_; }

private:
    enum class state : std::uint8_t {
        signature,
        local_fixed,
        local_rest,
        skip,       // Data whose size is known.
        search,     // Data whose size stands behind it.
        descriptor, // Behind data of a known size.
        central_fixed,
        central_rest,
        end64_fixed,
        end64_rest,
        locator,
        signed_fixed,
        signed_rest,
        end_fixed,
        comment,
        over,
    };

    struct entry {
        std::uint64_t packed_bytes = 0;
        std::uint64_t bytes = 0;
        std::uint64_t at = 0; // Of the local header.
        std::uint32_t name_bytes = 0;
        std::uint32_t extra_bytes = 0;
        std::uint32_t comment_bytes = 0;
        bool encrypted = false;
        bool size_behind = false;
        bool may_be_empty = false; // Of folders some writers leave the descriptor out.
    };

    [[nodiscard]] std::uint16_t u16(std::size_t at) const noexcept;
    [[nodiscard]] std::uint32_t u32(std::size_t at) const noexcept;
    [[nodiscard]] std::uint64_t u64(std::size_t at) const noexcept;

    void fail(listing_fault fault) noexcept;
    void expect(state next, std::size_t bytes);
    void take_record();
    void take_signature();
    void take_local_fixed();
    void take_local_rest();
    void take_descriptor();
    void take_central_fixed();
    void take_central_rest();
    void take_end64();
    void take_end();
    void take_comment();
    void read_flags(std::size_t flags_at, std::size_t method_at);
    [[nodiscard]] bool read_extras(bool local);
    void tell_names(byte_view name, byte_view extras);
    void mix(std::uint64_t& into, byte_view name, std::uint64_t at) const noexcept;
    [[nodiscard]] std::size_t search_data(byte_view bytes);
    [[nodiscard]] bool ends_data(byte_view behind, std::uint64_t at) const noexcept;
    void next_record();

    member_counter counter_;
    listing_limits limits_;
    state state_ = state::signature;
    listing_fault fault_ = listing_fault::none;
    std::string record_;     // What is read of the record.
    std::size_t wanted_ = 4; // Bytes of it.
    std::uint64_t at_ = 0;   // Bytes taken.
    std::uint64_t skip_ = 0; // Bytes of data left.
    std::uint64_t data_at_ = 0;
    entry entry_;

    std::uint64_t locals_ = 0;
    std::uint64_t centrals_ = 0;
    std::uint64_t local_mix_ = 0;
    std::uint64_t central_mix_ = 0;
    std::optional<std::uint64_t> central_at_;
    std::uint64_t central_end_ = 0;
    std::optional<std::uint64_t> end64_at_;
    bool located_ = false;
};

} // namespace ebbgate::content
