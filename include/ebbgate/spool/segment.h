// Segment and body files: how they are made ready off the shard, and removed again.
//
// Input   An order from a shard's writer.
// Output  An open file the writer can use without touching metadata.
// Owner   A worker thread, or the shard itself in tests; every call blocks.
// Fails   no_space, io. The order goes back to the writer with the failure.
// Specs   docs/spool-format.md, "Segments".

#pragma once

#include "ebbgate/base/result.h"
#include "ebbgate/spool/location.h"
#include "ebbgate/spool/storage.h"

#include <cstdint>
#include <string>

namespace ebbgate::spool {

// What a writer asks for: a segment with this id, in a new file or in the oldest retired one.
struct segment_order {
    spool_identity spool;
    std::uint64_t segment_id = 0;
    std::uint64_t first_lsn = 0; // No record in the segment has a smaller one.
    std::uint64_t oldest_live_segment_id = 0;
    std::uint64_t segment_bytes = 0;
    std::uint32_t shard = 0;
    std::uint32_t file_number = 0;
    file_id reused_file = no_file; // Open retired file to write over, or no_file: create one.
};

struct prepared_segment {
    segment_order order;
    file_id file = no_file;
    std::uint64_t seed = 0;
    std::uint64_t free_bytes = 0; // Of the file system, measured afterwards.
};

struct retired_segment {
    std::uint32_t shard = 0;
    std::uint32_t file_number = 0;
    std::uint64_t segment_id = 0;
    file_id file = no_file;
};

[[nodiscard]] result<prepared_segment> prepare_segment(directory& files,
                                                       const segment_order& order);

// Unlinks a segment file the writer has no use for. Call in the order they were handed out.
// Fails harmlessly for one that was never created.
[[nodiscard]] result<void> remove_segment(directory& files, const retired_segment& retired);

struct body_file_order {
    std::uint32_t shard = 0;
    std::uint32_t file_number = 0;
};

struct prepared_body_file {
    std::uint32_t file_number = 0;
    file_id file = no_file;
};

[[nodiscard]] result<prepared_body_file> prepare_body_file(directory& files,
                                                           const body_file_order& order);

[[nodiscard]] std::string shard_folder(std::uint32_t shard);
[[nodiscard]] std::string segment_path(std::uint32_t shard, std::uint32_t file_number);
[[nodiscard]] std::string body_path(std::uint32_t shard, std::uint32_t file_number);

// What the `meta` file says; made on first use.
struct spool_meta {
    spool_identity identity;
    std::uint32_t shard_count = 0;
};

// Takes the lock. Creates an empty spool when there is none and `shard_count_if_new` is not 0.
[[nodiscard]] result<spool_meta> open_spool(directory& files, std::uint32_t shard_count_if_new);

} // namespace ebbgate::spool
