// Which messages a log still holds, built up record by record during recovery.
//
// Input   Groups of every segment in order, whole or damaged.
// Output  Live and damaged messages, what was voided, where log numbers go on.
// Owner   Recovery of one shard.
// Bounds  About 100 bytes a message that has not ended, and its state; an id for each that has.
// Specs   docs/spool-format.md, "Recovery".

#pragma once

#include "ebbgate/spool/recovery.h"
#include "ebbgate/spool/state_store.h"

#include "base/id_tables.h"
#include "base/record_pool.h"
#include "codec/spool/segment_scanner.h"

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace ebbgate::spool {

class message_table final : public group_handler {
public:
    explicit message_table(recovery_counts& counts) : counts_(&counts), index_(messages_) {}

    message_table(const message_table&) = delete; // The index refers to the records.
    message_table& operator=(const message_table&) = delete;

    void enter_segment(std::uint64_t segment_id, std::uint64_t first_lsn);
    void on_group(scanned_group&& group) override;

    // After the last segment: judges damaged groups, applies voids, picks the newest copies.
    void resolve(std::deque<recovered_message>& live, std::deque<recovered_message>& damaged);

    // After resolve(): what its messages refer to.
    [[nodiscard]] state_store take_states() noexcept { return std::move(states_); }

    [[nodiscard]] std::uint64_t highest_message_id() const noexcept { return highest_id_; }

    // The last log number that may have been acknowledged, and the last that may have been used.
    [[nodiscard]] std::uint64_t last_accepted_lsn() const noexcept { return last_accepted_; }

    [[nodiscard]] std::uint64_t last_used_lsn() const noexcept { return last_used_; }

private:
    struct message_copy {
        location where;
        std::uint32_t older = no_record; // Another copy of the same message.
        bool body_is_good = true;
    };

    // A copy was found, or a state.
    struct known_message {
        std::uint64_t id = 0;
        std::uint64_t state_lsn = 0;
        state_store::entry state;
        std::uint32_t newest = no_record; // Of its copies.
        bool is_used = false;
    };

    struct doubtful_group {
        std::uint64_t segment_id = 0;
        scanned_group group;
    };

    void apply(const scanned_record& record, std::uint64_t segment_id);
    void add_message(const scanned_record& record, std::uint64_t segment_id);
    void add_state(const scanned_record& record);
    [[nodiscard]] known_message& known(std::uint64_t id);
    void forget(std::uint64_t id);
    void compact_states();
    void add_done(byte_view ids);
    void add_voided(byte_view ranges);
    void cover(std::uint64_t first, std::uint64_t last);
    void judge(const doubtful_group& doubt);
    void count_missing();
    [[nodiscard]] bool is_voided(std::uint64_t lsn) const noexcept;
    void pick(const known_message& message,
              std::deque<recovered_message>& live,
              std::deque<recovered_message>& damaged);

    recovery_counts* counts_;
    std::uint64_t segment_id_ = 0;
    std::uint64_t highest_id_ = 0;
    std::uint64_t lowest_lsn_ = 0; // Of the first group that was found.
    std::uint64_t max_durable_ = 0;
    std::uint64_t last_accepted_ = 0;
    std::uint64_t last_used_ = 0;
    record_pool<known_message> messages_;
    id_index<known_message> index_;
    record_pool<message_copy> copies_;
    state_store states_;
    id_set done_;
    std::vector<lsn_range> covered_; // By groups that hold; merged while in order.
    std::vector<lsn_range> voided_;
    std::vector<doubtful_group> doubtful_;
};

} // namespace ebbgate::spool
