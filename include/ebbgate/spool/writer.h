// Group commit into the log of one shard.
//
// Stage   spool: a message is acknowledged when its append settles as durable.
// Input   Appends, outcomes (done), states; segments made ready by a worker thread.
// Output  on_settled for each append, exactly once.
// Owner   One shard thread. Callbacks run from the device's loop or from pump(), never in append().
// Fails   A failed or short write or sync ends the segment: its group settles as failed (no_space
//         for ENOSPC and EDQUOT), its log numbers are voided in the next segment, done and state
//         records are written again. A second failure in a row closes the intake; what
//         must be written again is tried each second, and the first success opens it.
// Bounds  writer_options. One group is under way at a time.
// Specs   docs/spool-format.md.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/chunks.h"
#include "ebbgate/spool/large_body.h"
#include "ebbgate/spool/location.h"
#include "ebbgate/spool/segment.h"
#include "ebbgate/spool/shard_files.h"
#include "ebbgate/spool/storage.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace ebbgate::spool {

enum class append_status : std::uint8_t {
    durable,   // 250.
    failed,    // 451 4.3.0: a write or sync failed.
    no_space,  // 452 4.3.1.
    too_large, // 552 5.3.4: meta or body above its limit.
};

// One message on its way in. Everything it points to stays put until it settles.
struct append_request {
    std::uint64_t message_id = 0;
    byte_view meta;                      // encode(envelope) and the header prefix, opaque here.
    const chunks* body = nullptr;        // Inline body, or
    const large_body* large = nullptr;   // a durable body file, or
    byte_view raw_body;                  // an inline body in one piece (relocation), or
    const location* relocated = nullptr; // the old copy of a large body, whose file stays in use.
    std::uint64_t relocated_seed = 0;    // With `relocated`: as message_reader reported them.
    std::uint64_t relocated_hash = 0;
    byte_view state; // Not empty: a state record beside it, in the same group.
    void (*on_settled)(append_request&, append_status, const location&) noexcept = nullptr;

    append_request* next = nullptr; // The writer's queue.
    location where;                 // Filled in by the writer.
};

struct writer_options {
    std::uint32_t shard = 0;
    std::uint64_t segment_bytes = 64 * mib;
    std::size_t group_bytes_max = 2 * mib;
    std::size_t inline_bytes_max = 256 * kib;
    std::size_t meta_bytes_max = 1 * mib;
    std::uint64_t log_bytes_max = 64 * gib; // Above: the intake closes until space is reclaimed.
    std::uint64_t free_bytes_reserve = 256 * mib; // Intake closes below.
    std::uint32_t retired_segments_max = 8;       // Kept for reuse; the rest is removed.
    std::int64_t outcome_delay_ns = 20'000'000;   // Done and state records alone wait this long.
    std::int64_t idle_commit_ns = 200'000'000;    // Then an empty commit proves the last group.
};

// Where a writer starts: what recovery found, or all defaults for an empty shard.
struct writer_start {
    spool_identity spool;
    std::uint64_t next_segment_id = 1;
    std::uint64_t next_lsn = 1;
    std::uint64_t durable_lsn = 0;
    std::uint32_t next_segment_file = 0; // First file number not in use.
    std::uint32_t next_body_file = 0;
    std::vector<lsn_range> voided;         // A torn tail: written first.
    std::vector<retired_segment> reusable; // In the order in which they must be reused.
    shard_files files;                     // Segments and body files that are still needed.
};

struct writer_counters {
    std::uint64_t groups = 0;
    std::uint64_t records = 0;
    std::uint64_t bytes = 0; // Written, with padding.
    std::uint64_t failed_groups = 0;
    std::uint64_t retired_segments = 0;
};

class writer {
public:
    writer(device& disk, const writer_options& options, writer_start start);
    // No group may be under way (see idle()).
    ~writer();
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;

    void append(append_request& request);
    // The message needs no more attempts. Once for each copy that settled as durable and was not
    // moved; a message that ends while its relocation is under way is marked again when that
    // settles.
    void mark_done(std::uint64_t message_id, const location& where);
    // A newer copy settled as durable: `old` is not needed any more. Nothing is written.
    void mark_moved(const location& old);
    // The latest state of a live message wins. `blob` (at most meta_bytes_max) is copied.
    void note_state(std::uint64_t message_id, byte_view blob);

    // Once a loop turn. `now_ns` is monotonic.
    void pump(std::int64_t now_ns);
    // When pump() has something to do if nothing else happens; int64 max: never.
    [[nodiscard]] std::int64_t next_deadline_ns() const noexcept;
    // Nothing queued (message, outcome or state) and no group under way.
    [[nodiscard]] bool idle() const noexcept;
    [[nodiscard]] bool group_under_way() const noexcept;

    // False: answer 451 or 452 at MAIL. See intake_status for which.
    [[nodiscard]] bool intake_open() const noexcept;
    [[nodiscard]] append_status intake_status() const noexcept; // durable, failed or no_space.
    void note_free_bytes(std::uint64_t bytes) noexcept;

    // Segments: order when wanted, prepare_segment() on a worker, then give or report.
    [[nodiscard]] bool wants_segment() const noexcept;
    [[nodiscard]] segment_order order_segment();
    void give_segment(const prepared_segment& segment);
    // The order's file is given up (take_surplus() returns it); asked for again after a second.
    void segment_failed(const segment_order& order, failure_kind why);
    // Files to remove, oldest first: pass each to remove_segment(), in this order, on the worker
    // that also prepares segments. A failure is for the log only.
    [[nodiscard]] std::optional<retired_segment> take_surplus();

    // Body files: a free one, or nothing; then order one.
    struct body_file {
        std::uint32_t file_number = no_body_file;
        file_id file = no_file;
    };

    [[nodiscard]] std::optional<body_file> acquire_body_file();
    // For an acquired file whose body was abandoned, failed, or whose append settled not durable.
    // `usable` false: a write or sync to it failed.
    void release_body_file(std::uint32_t file_number, bool usable);
    [[nodiscard]] bool wants_body_file() const noexcept;
    [[nodiscard]] body_file_order order_body_file();
    void give_body_file(const prepared_body_file& file);
    void body_file_failed(const body_file_order& order);

    // The segment whose live messages should be appended again, or 0; and the ids stored in it,
    // among them some that have ended since.
    [[nodiscard]] std::uint64_t relocation_segment() const noexcept;
    [[nodiscard]] std::span<const std::uint64_t> relocation_candidates() const noexcept;

    [[nodiscard]] shard_files& files() noexcept; // For readers.
    [[nodiscard]] std::uint64_t log_bytes() const noexcept;
    [[nodiscard]] std::uint64_t durable_lsn() const noexcept;
    [[nodiscard]] const writer_counters& counters() const noexcept;

private:
    struct log;
    std::unique_ptr<log> log_;
};

} // namespace ebbgate::spool
