#include "codec/spool/message_table.h"

#include <algorithm>
#include <utility>

namespace ebbgate::spool {

namespace {

// A hole of unknown content counts as at most the records one group can hold.
constexpr std::uint64_t records_per_hole_max = 32768;

bool is_message(record_type type) noexcept {
    return type == record_type::message || type == record_type::message_with_file;
}

} // namespace

void message_table::enter_segment(std::uint64_t segment_id, std::uint64_t first_lsn) {
    segment_id_ = segment_id;
    ++counts_->segments;
    if (first_lsn > 0) {
        last_used_ = std::max(last_used_, first_lsn - 1);
    }
}

void message_table::cover(std::uint64_t first, std::uint64_t last) {
    if (!covered_.empty() && covered_.back().last + 1 == first) {
        covered_.back().last = last;
    } else {
        covered_.push_back({first, last});
    }
}

void message_table::on_group(scanned_group&& group) {
    max_durable_ = std::max(max_durable_, group.durable_lsn);
    last_used_ = std::max(last_used_, group.last_lsn);
    if (lowest_lsn_ == 0) {
        // A segment begins with a group, so what precedes the first one was a group too.
        counts_->corrupt_records += group.is_whole && group.follows_hole ? 1 : 0;
        lowest_lsn_ = group.first_lsn;
    }
    if (!group.is_whole) {
        doubtful_.push_back({segment_id_, std::move(group)});
        return;
    }
    ++counts_->groups;
    cover(group.first_lsn, group.last_lsn);
    for (scanned_record& record : group.records) {
        apply(std::move(record), segment_id_);
    }
}

void message_table::apply(scanned_record&& record, std::uint64_t segment_id) {
    ++counts_->records;
    highest_id_ = std::max(highest_id_, record.header.message_id);
    switch (record.header.type) {
    case record_type::message:
    case record_type::message_with_file:
        add_message(std::move(record), segment_id);
        break;
    case record_type::state:
        if (!done_.contains(record.header.message_id)) {
            latest_state& state = states_[record.header.message_id];
            if (record.header.lsn > state.lsn) {
                state = {record.header.lsn, std::move(record.meta)};
            }
        }
        break;
    case record_type::done:
        add_done(record.meta);
        break;
    case record_type::voided:
        add_voided(record.meta);
        break;
    case record_type::commit:
    case record_type::seal:
        break;
    }
}

void message_table::add_message(scanned_record&& record, std::uint64_t segment_id) {
    const record_header& header = record.header;
    if (done_.contains(header.message_id)) {
        return;
    }
    message_copy copy;
    copy.where.segment_id = segment_id;
    copy.where.lsn = header.lsn;
    copy.where.offset = header.offset;
    copy.where.record_bytes =
        static_cast<std::uint32_t>(record_bytes(header.meta_bytes, header.body_bytes));
    copy.where.body_bytes = header.body_bytes;
    if (header.type == record_type::message_with_file) {
        copy.where.body_bytes = record.reference.bytes;
        copy.where.body_file = record.reference.file_number;
    }
    copy.meta = std::move(record.meta);
    copy.body_is_good = record.body_is_good;
    messages_[header.message_id].push_back(std::move(copy));
}

void message_table::add_done(byte_view ids) {
    for (; ids.size() >= sizeof(std::uint64_t); ids.remove_prefix(sizeof(std::uint64_t))) {
        const auto id = get<std::uint64_t>(ids.data());
        // Whatever copy of it is found later was written before anyone knew.
        done_.insert(id);
        messages_.erase(id);
        states_.erase(id);
        highest_id_ = std::max(highest_id_, id);
    }
}

void message_table::add_voided(byte_view ranges) {
    constexpr std::size_t entry_bytes = 2 * sizeof(std::uint64_t);
    for (; ranges.size() >= entry_bytes; ranges.remove_prefix(entry_bytes)) {
        voided_.push_back({get<std::uint64_t>(ranges.data()),
                           get<std::uint64_t>(ranges.data() + sizeof(std::uint64_t))});
    }
}

bool message_table::is_voided(std::uint64_t lsn) const noexcept {
    return std::any_of(voided_.begin(), voided_.end(), [lsn](const lsn_range& range) {
        return lsn >= range.first && lsn <= range.last;
    });
}

void message_table::judge(doubtful_group&& doubt) {
    for (scanned_record& record : doubt.group.records) {
        const std::uint64_t lsn = record.header.lsn;
        const bool was_acknowledged = lsn <= max_durable_;
        if (is_voided(lsn)) {
            counts_->voided += is_message(record.header.type) ? 1 : 0;
            continue;
        }
        if (!was_acknowledged) {
            // No later group speaks for it: it was being written when the power went.
            counts_->torn_tail_bytes +=
                record_bytes(record.header.meta_bytes, record.header.body_bytes);
            continue;
        }
        cover(lsn, lsn);
        if (record.meta_is_good && record.body_is_good) {
            ++counts_->salvaged_records;
            apply(std::move(record), doubt.segment_id);
            continue;
        }
        ++counts_->corrupt_records;
        if (record.meta_is_good && record.header.type == record_type::message) {
            add_message(std::move(record), doubt.segment_id);
        }
    }
    const std::uint64_t last = doubt.group.last_lsn;
    if (last <= max_durable_ && !is_voided(last)) {
        cover(last, last);
    }
}

void message_table::count_missing() {
    std::vector<lsn_range> known = covered_;
    known.insert(known.end(), voided_.begin(), voided_.end());
    std::sort(known.begin(), known.end(), [](const lsn_range& a, const lsn_range& b) {
        return a.first < b.first;
    });
    if (known.empty()) {
        return;
    }
    std::uint64_t next = known.front().first;
    if (lowest_lsn_ != 0) {
        next = std::min(next, lowest_lsn_);
    }
    const auto miss = [&](std::uint64_t until) {
        if (until > next) {
            counts_->corrupt_records += std::min(until - next, records_per_hole_max);
        }
    };
    for (const lsn_range& range : known) {
        // A hole counts only as far as a later group says it had been durable.
        miss(std::min(range.first, max_durable_ + 1));
        next = std::max(next, range.last + 1);
    }
    miss(max_durable_ + 1);
}

void message_table::resolve(std::vector<recovered_message>& live,
                            std::vector<recovered_message>& damaged) {
    for (doubtful_group& doubt : std::exchange(doubtful_, {})) {
        judge(std::move(doubt));
    }
    count_missing();
    last_accepted_ = max_durable_;
    for (const lsn_range& range : covered_) {
        last_accepted_ = std::max(last_accepted_, range.last);
    }
    last_used_ = std::max(last_used_, last_accepted_);
    for (auto& [id, copies] : messages_) {
        pick(id, copies, live, damaged);
    }
    const auto older = [](const recovered_message& a, const recovered_message& b) {
        return a.where.lsn < b.where.lsn;
    };
    std::sort(live.begin(), live.end(), older);
    std::sort(damaged.begin(), damaged.end(), older);
}

void message_table::pick(std::uint64_t id,
                         std::vector<message_copy>& copies,
                         std::vector<recovered_message>& live,
                         std::vector<recovered_message>& damaged) {
    message_copy* best = nullptr;
    for (message_copy& copy : copies) {
        if (is_voided(copy.where.lsn)) {
            ++counts_->voided;
            continue;
        }
        if (best != nullptr) {
            ++counts_->duplicates_removed;
        }
        // The newest copy wins, but not over an older one that is intact.
        const bool is_better =
            best == nullptr || (copy.body_is_good && !best->body_is_good) ||
            (copy.body_is_good == best->body_is_good && copy.where.lsn > best->where.lsn);
        if (is_better) {
            best = &copy;
        }
    }
    if (best == nullptr) {
        return;
    }
    recovered_message message;
    message.id = id;
    message.where = best->where;
    message.meta = std::move(best->meta);
    if (const auto state = states_.find(id); state != states_.end()) {
        message.state = std::move(state->second.blob);
    }
    (best->body_is_good ? live : damaged).push_back(std::move(message));
}

} // namespace ebbgate::spool
