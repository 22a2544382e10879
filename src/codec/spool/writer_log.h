// The state of a writer, and the steps of one commit.
//
// Owner   writer; see writer.h for the contract.

#pragma once

#include "ebbgate/spool/writer.h"

#include "codec/spool/group_builder.h"
#include "codec/spool/outcome_queue.h"

#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

namespace ebbgate::spool {

// Requests linked through append_request::next, first in first out.
class request_list {
public:
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

    [[nodiscard]] append_request* front() const noexcept { return first_; }

    void push_back(append_request& request) noexcept;
    append_request& pop_front() noexcept;
    request_list take_all() noexcept;

private:
    append_request* first_ = nullptr;
    append_request* last_ = nullptr;
};

// What a request takes in a group: its message record, and its state record if it has one.
[[nodiscard]] std::uint64_t stored_bytes(const append_request& request) noexcept;

struct writer::log {
    struct commit_operation : completion {
        log* owner = nullptr;
        std::size_t bytes = 0;
        std::uint64_t last_lsn = 0;
        bool under_way = false;
        bool is_empty_commit = false;
    };

    // The segment groups go to now; segment_id 0: none.
    struct active_segment {
        std::uint64_t segment_id = 0;
        std::uint64_t key = 0;
        file_id file = no_file;
        std::uint64_t offset = 0;
        std::uint64_t end = 0;
    };

    // Of the segment before, when it ended cleanly; segment_id 0: nothing to say.
    struct ended_segment {
        std::uint64_t segment_id = 0;
        std::uint64_t end = 0;
        std::uint64_t last_lsn = 0;
    };

    log(device& disk_in, const writer_options& options_in, writer_start start);

    void pump();
    [[nodiscard]] bool is_due() const noexcept;
    [[nodiscard]] bool has_outcomes() const noexcept;
    void note_outcome() noexcept;

    // Building a group. False: nothing to write it to, or nothing in it.
    [[nodiscard]] bool build_group();
    void add_seal();
    void add_voids();
    void add_messages();
    void submit_group();

    [[nodiscard]] bool switch_segment();
    [[nodiscard]] std::uint64_t room() const noexcept;
    [[nodiscard]] bool is_scarce() const noexcept;
    [[nodiscard]] std::uint64_t outcome_reserve_bytes() const noexcept;
    void refuse_if_hopeless();
    void settle(request_list& requests, append_status status);

    void commit_succeeded();
    void commit_failed(std::int64_t outcome);
    void retire_dead_segments();
    static void on_committed(completion& done, std::int64_t outcome) noexcept;

    device* disk;
    writer_options options;
    spool_identity spool;
    shard_files files;
    group_builder group;
    outcome_queue outcomes;
    writer_counters counters;
    commit_operation commit;

    request_list queued;
    request_list under_way;
    request_list too_large;

    active_segment active;
    ended_segment ended;
    std::deque<prepared_segment> spares;
    std::deque<retired_segment> retired;
    std::deque<retired_segment> doomed; // Could not be made ready: removed before younger ones.
    std::uint64_t next_segment_id;
    std::uint64_t next_lsn;
    std::uint64_t durable_lsn;
    std::uint32_t next_segment_file;
    std::uint32_t next_body_file = 0; // First number never given out.

    std::vector<lsn_range> voids;
    std::size_t voids_under_way = 0;
    std::vector<std::uint32_t> held_bodies; // Free once no void is waiting.

    std::int64_t now_ns = 0;
    std::int64_t outcome_since_ns = -1;
    std::int64_t last_commit_ns = 0;
    bool has_unproven_group = false;
    bool is_blocked = false; // Waiting for a segment.

    bool segment_ordered = false;
    bool body_file_ordered = false;
    bool body_file_missed = false;
    bool has_segment_trouble = false;
    failure_kind segment_trouble = failure_kind::io;
    std::int64_t segment_retry_ns = 0;
    std::int64_t body_file_retry_ns = 0;
    std::int64_t commit_retry_ns = 0;
    std::uint32_t consecutive_failures = 0;
    bool is_latched = false;
    std::uint64_t free_bytes = std::numeric_limits<std::uint64_t>::max();
};

} // namespace ebbgate::spool
