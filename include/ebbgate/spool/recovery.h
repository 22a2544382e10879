// What a shard's log holds after a stop of any kind, and the tools for a stopped spool.
//
// Input   The folder of a spool whose lock is held (open_spool).
// Output  The live messages, what was damaged, and where the writer goes on. Their meta is not
//         kept: read_metas() reads it again, one message at a time.
// Owner   Any one thread a shard; blocks. Idempotent: it writes nothing.
// Fails   io when the disk refuses; damage is counted, not a failure.
// Bounds  Memory: 2 MiB of buffers and the largest record; while it runs about 100 bytes a live
//         message and its state, 11 to 22 for each that has ended; then 64, and the states.
// Specs   docs/spool-format.md, "Recovery".

#pragma once

#include "ebbgate/base/result.h"
#include "ebbgate/spool/location.h"
#include "ebbgate/spool/segment.h"
#include "ebbgate/spool/state_store.h"
#include "ebbgate/spool/storage.h"
#include "ebbgate/spool/writer.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::spool {

struct recovered_message {
    std::uint64_t id = 0;
    byte_view state; // The latest, or empty; in recovered_shard::states.
    location where;  // body_file != no_body_file: a large body, verified when it is read.
};

struct recovery_counts {
    std::uint64_t segments = 0;
    std::uint64_t groups = 0;
    std::uint64_t records = 0;
    std::uint64_t torn_tail_bytes = 0;    // Never acknowledged, dropped.
    std::uint64_t corrupt_records = 0;    // Acknowledged, and lost or damaged.
    std::uint64_t salvaged_records = 0;   // Good records of damaged groups.
    std::uint64_t voided = 0;             // Refused to their senders.
    std::uint64_t duplicates_removed = 0; // Older copies of relocated messages.
    std::uint64_t missing_body_files = 0; // Large bodies absent or too short.
    std::uint64_t damaged_segments = 0;   // Files without a valid header that hold data.
};

struct recovered_shard {
    std::deque<recovered_message> live; // In order of log number.
    // Acknowledged, meta intact, body not: tell the sender, then mark it done. Never deliver it.
    std::deque<recovered_message> damaged;
    state_store states; // What they refer to.
    recovery_counts counts;
    std::uint64_t highest_message_id = 0; // Seen anywhere in the log.
    writer_start start;                   // Move into a writer.
};

struct recovery_options {
    std::uint32_t shard = 0;
    std::uint64_t segment_bytes =
        64 * mib; // Files of another size are removed from use, not read over.
};

[[nodiscard]] result<recovered_shard>
recover_shard(directory& files, const spool_meta& meta, const recovery_options& options);

// Nothing: what was good during recovery cannot be read now.
using meta_visitor =
    std::function<void(const recovered_message& message, std::optional<byte_view> meta)>;

// Reads the meta of messages that recovery found, in their order, in large pieces and without their
// bodies. Each is verified again and good during the visit. Those that were visited go out of the
// memory: of many millions, what is made of them needs the room. Blocks.
void read_metas(directory& files,
                const shard_files& segments,
                std::deque<recovered_message> messages,
                const meta_visitor& visit);

// One live message of a stopped spool, whole and verified.
struct exported_message {
    std::uint64_t id = 0;
    byte_view meta;
    byte_view state;
    std::uint64_t body_bytes = 0;
};

// Gets each live message: begin, its body in pieces, end. `intact` false: the body's hash failed,
// possibly after pieces of it were passed on.
class export_sink {
public:
    virtual ~export_sink() = default;
    virtual result<void> begin(const exported_message& message) = 0;
    virtual result<void> body(byte_view piece) = 0;
    virtual result<void> end(bool intact) = 0;
};

struct verify_report {
    std::uint32_t shards = 0;
    std::uint64_t live_messages = 0;
    std::uint64_t damaged_bodies = 0;
    recovery_counts counts; // Summed over shards.
};

// Both take the lock (fails with unavailable while the daemon runs).
[[nodiscard]] result<verify_report> verify_spool(directory& files);
[[nodiscard]] result<verify_report> export_spool(directory& files, export_sink& sink);

// For `ebbgatectl spool export DIR OUT`: `<id>.eml` without dot-stuffing and `<id>.json`.
// Nothing in `out_folder` is written over.
[[nodiscard]] result<verify_report> export_spool_to_folder(directory& files,
                                                           const std::string& out_folder);

} // namespace ebbgate::spool
