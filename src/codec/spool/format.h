// The bytes of a segment: header block, records, commit groups. No I/O.
//
// Input   Fields, or untrusted bytes read from a disk.
// Output  Bytes, or fields whose checksum holds.
// Specs   docs/spool-format.md.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/spool/location.h"
#include "ebbgate/spool/storage.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

namespace ebbgate::spool {

inline constexpr std::uint32_t format_version = 1;
inline constexpr std::size_t record_header_bytes = 64;
inline constexpr std::size_t record_alignment = 64;
inline constexpr std::size_t commit_meta_bytes = 40;
inline constexpr std::size_t commit_record_bytes = 128;
inline constexpr std::size_t body_reference_bytes = 32;
// More log numbers than one group can hold: what a torn group may have used up.
inline constexpr std::uint64_t lsn_gap_after_crash = 65536;

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and is copied as it is");

template <typename Number>
void put(char* out, Number value) noexcept {
    std::memcpy(out, &value, sizeof value);
}

template <typename Number>
[[nodiscard]] Number get(const char* in) noexcept {
    Number value;
    std::memcpy(&value, in, sizeof value);
    return value;
}

[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t bytes, std::uint64_t to) noexcept {
    return (bytes + to - 1) / to * to;
}

[[nodiscard]] std::uint64_t hash_of(byte_view bytes, std::uint64_t seed) noexcept;

enum class record_type : std::uint8_t {
    message = 1,           // meta, body
    message_with_file = 2, // meta, reference to a body file
    state = 3,             // message id in the header, blob as meta
    done = 4,              // meta: message ids
    voided = 5,            // meta: pairs of first and last log number
    commit = 6,            // meta: see commit_fields
    seal = 7,              // meta: id, end and last log number of the segment before
};

struct record_header {
    record_type type = record_type::commit;
    std::uint64_t lsn = 0;
    std::uint64_t message_id = 0;
    std::uint32_t meta_bytes = 0;
    std::uint32_t offset = 0; // In the segment, so that a record copied elsewhere is not believed.
    std::uint64_t body_bytes = 0;
    std::uint64_t meta_hash = 0;
    std::uint64_t body_hash = 0;
};

struct commit_fields {
    std::uint64_t first_lsn = 0;
    std::uint64_t durable_lsn = 0; // The highest known durable when the group was built.
    std::uint64_t headers_hash = 0;
    std::uint32_t group_offset = 0;
    std::uint32_t group_bytes = 0;  // With padding.
    std::uint32_t record_count = 0; // With the commit itself.
};

struct body_reference {
    std::uint32_t file_number = no_body_file;
    std::uint64_t bytes = 0;
    std::uint64_t seed = 0;
    std::uint64_t hash = 0;
};

struct segment_header {
    spool_identity spool;
    std::uint64_t segment_id = 0;
    std::uint64_t first_lsn = 0;
    std::uint32_t shard = 0;
    std::uint64_t seed = 0;
    std::uint64_t created_unix_ns = 0;
    std::uint64_t oldest_live_segment_id = 0;
    std::uint64_t segment_bytes = 0;
};

// Mixed into every checksum of a segment; a remote sender cannot know it.
[[nodiscard]] std::uint64_t segment_key(std::uint64_t seed, std::uint64_t segment_id) noexcept;

// Header, meta padded to 8, body, padded to 64.
[[nodiscard]] constexpr std::uint64_t body_start(std::uint32_t meta_bytes) noexcept {
    return record_header_bytes + round_up(meta_bytes, 8);
}

[[nodiscard]] constexpr std::uint64_t record_bytes(std::uint64_t meta_bytes,
                                                   std::uint64_t body_bytes) noexcept {
    return round_up(record_header_bytes + round_up(meta_bytes, 8) + body_bytes, record_alignment);
}

void encode_record_header(char* out, const record_header& header, std::uint64_t key) noexcept;
// Reads 64 bytes. Nothing unless magic, version, type, offset and checksum hold.
[[nodiscard]] std::optional<record_header>
decode_record_header(const char* in, std::uint64_t offset, std::uint64_t key) noexcept;

// Both checksums of a whole record whose header was decoded.
[[nodiscard]] bool meta_holds(const char* record, const record_header& header, std::uint64_t key);
[[nodiscard]] bool body_holds(const char* record, const record_header& header, std::uint64_t key);

void encode_commit(char* out, const commit_fields& fields) noexcept;
[[nodiscard]] commit_fields decode_commit(const char* in) noexcept;
// Next link of the chain over a group's record headers.
[[nodiscard]] std::uint64_t chain_header(std::uint64_t chain, const char* header) noexcept;

void encode_body_reference(char* out, const body_reference& fields) noexcept;
[[nodiscard]] body_reference decode_body_reference(const char* in) noexcept;

// Fills one block.
void encode_segment_header(char* out, const segment_header& header) noexcept;
[[nodiscard]] std::optional<segment_header> decode_segment_header(const char* in) noexcept;

// A message record read back, checked against the location it should be at.
struct stored_message {
    byte_view meta;
    byte_view body;
    body_reference reference; // file_number other than no_body_file: the body is in a file.
};

[[nodiscard]] std::optional<stored_message> decode_stored_message(const char* record,
                                                                  std::uint64_t message_id,
                                                                  const location& where,
                                                                  std::uint64_t key);
// The meta of a record whose body does not hold; empty when it does not hold either.
[[nodiscard]] byte_view decode_stored_meta(const char* record,
                                           std::uint64_t message_id,
                                           const location& where,
                                           std::uint64_t key);

} // namespace ebbgate::spool
