// Which messages a log still holds, built up record by record during recovery.
//
// Input   Groups of every segment in order, whole or damaged.
// Output  Live and damaged messages, what was voided, where log numbers go on.
// Owner   Recovery of one shard.
// Bounds  Meta and state of messages that have not ended, and 8 bytes for each that has.
// Specs   docs/spool-format.md, "Recovery".

#pragma once

#include "ebbgate/spool/recovery.h"

#include "codec/spool/segment_scanner.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace ebbgate::spool {

class message_table final : public group_handler {
public:
    explicit message_table(recovery_counts& counts) : counts_(&counts) {}

    void enter_segment(std::uint64_t segment_id, std::uint64_t first_lsn);
    void on_group(scanned_group&& group) override;

    // After the last segment: judges damaged groups, applies voids, picks the newest copies.
    void resolve(std::vector<recovered_message>& live, std::vector<recovered_message>& damaged);

    [[nodiscard]] std::uint64_t highest_message_id() const noexcept { return highest_id_; }

    // The last log number that may have been acknowledged, and the last that may have been used.
    [[nodiscard]] std::uint64_t last_accepted_lsn() const noexcept { return last_accepted_; }

    [[nodiscard]] std::uint64_t last_used_lsn() const noexcept { return last_used_; }

private:
    struct message_copy {
        location where;
        std::string meta;
        bool body_is_good = true;
    };

    struct latest_state {
        std::uint64_t lsn = 0;
        std::string blob;
    };

    struct doubtful_group {
        std::uint64_t segment_id = 0;
        scanned_group group;
    };

    void apply(scanned_record&& record, std::uint64_t segment_id);
    void add_message(scanned_record&& record, std::uint64_t segment_id);
    void add_done(byte_view ids);
    void add_voided(byte_view ranges);
    void cover(std::uint64_t first, std::uint64_t last);
    void judge(doubtful_group&& doubt);
    void count_missing();
    [[nodiscard]] bool is_voided(std::uint64_t lsn) const noexcept;
    void pick(std::uint64_t id,
              std::vector<message_copy>& copies,
              std::vector<recovered_message>& live,
              std::vector<recovered_message>& damaged);

    recovery_counts* counts_;
    std::uint64_t segment_id_ = 0;
    std::uint64_t highest_id_ = 0;
    std::uint64_t lowest_lsn_ = 0; // Of the first group that was found.
    std::uint64_t max_durable_ = 0;
    std::uint64_t last_accepted_ = 0;
    std::uint64_t last_used_ = 0;
    std::unordered_map<std::uint64_t, std::vector<message_copy>> messages_;
    std::unordered_map<std::uint64_t, latest_state> states_;
    std::unordered_set<std::uint64_t> done_;
    std::vector<lsn_range> covered_; // By groups that hold; merged while in order.
    std::vector<lsn_range> voided_;
    std::vector<doubtful_group> doubtful_;
};

} // namespace ebbgate::spool
