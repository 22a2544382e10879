// Lays out one commit group in an aligned staging buffer.
//
// Input   Records, in order.
// Output  One write: the records, their COMMIT, zeros up to the next 4 KiB.
// Owner   A writer; one group at a time.
// Bounds  group_bytes_max, or the room left in the segment if that is less.
// Specs   docs/spool-format.md, "Groups".

#pragma once

#include "ebbgate/base/chunks.h"
#include "ebbgate/spool/storage.h"

#include "codec/spool/format.h"

#include <cstdint>

namespace ebbgate::spool {

struct record_content {
    record_type type = record_type::message;
    std::uint64_t message_id = 0;
    byte_view meta;
    byte_view body;                 // In one piece,
    const chunks* blocks = nullptr; // or in blocks.
};

class group_builder {
public:
    explicit group_builder(std::size_t group_bytes_max);

    // `room` is what the segment has left from `offset` on.
    void
    begin(std::uint64_t key, std::uint64_t offset, std::uint64_t first_lsn, std::uint64_t room);
    // Whether a record of this size fits, and the COMMIT after it.
    [[nodiscard]] bool fits(std::uint64_t bytes) const noexcept;
    // Must fit. Where the record will be, and its number.
    location add(const record_content& content);
    // Nothing may be added afterwards.
    byte_view finish(std::uint64_t durable_lsn);

    [[nodiscard]] std::uint32_t record_count() const noexcept { return record_count_; }

    [[nodiscard]] std::uint64_t first_lsn() const noexcept { return first_lsn_; }

    [[nodiscard]] std::uint64_t next_lsn() const noexcept { return next_lsn_; }

private:
    std::size_t copy_body(char* out, const record_content& content) noexcept;
    void finish_record(char* record, record_header& header);

    aligned_buffer staging_;
    std::uint64_t key_ = 0;
    std::uint64_t offset_ = 0;
    std::uint64_t first_lsn_ = 0;
    std::uint64_t next_lsn_ = 0;
    std::uint64_t chain_ = 0;
    std::size_t used_ = 0;
    std::size_t limit_ = 0;
    std::uint32_t record_count_ = 0;
};

} // namespace ebbgate::spool
