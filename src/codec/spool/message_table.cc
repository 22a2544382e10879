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
    for (const scanned_record& record : group.records) {
        apply(record, segment_id_);
    }
}

void message_table::apply(const scanned_record& record, std::uint64_t segment_id) {
    ++counts_->records;
    highest_id_ = std::max(highest_id_, record.header.message_id);
    switch (record.header.type) {
    case record_type::message:
    case record_type::message_with_file:
        add_message(record, segment_id);
        break;
    case record_type::state:
        add_state(record);
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

message_table::known_message& message_table::known(std::uint64_t id) {
    if (const std::uint32_t found = index_.find(id); found != no_record) {
        return messages_[found];
    }
    const std::uint32_t number = messages_.make();
    known_message& made = messages_[number];
    made.id = id;
    made.is_used = true;
    index_.add(number);
    return made;
}

void message_table::forget(std::uint64_t id) {
    const std::uint32_t number = index_.find(id);
    if (number == no_record) {
        return;
    }
    known_message& message = messages_[number];
    for (std::uint32_t copy = message.newest; copy != no_record;) {
        const std::uint32_t older = copies_[copy].older;
        copies_.free(copy);
        copy = older;
    }
    states_.drop(message.state);
    index_.remove(id);
    messages_.free(number);
}

void message_table::add_message(const scanned_record& record, std::uint64_t segment_id) {
    const record_header& header = record.header;
    if (done_.contains(header.message_id)) {
        return;
    }
    known_message& message = known(header.message_id);
    const std::uint32_t number = copies_.make();
    message_copy& copy = copies_[number];
    copy.older = std::exchange(message.newest, number);
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
    copy.body_is_good = record.body_is_good;
}

void message_table::add_state(const scanned_record& record) {
    const record_header& header = record.header;
    if (done_.contains(header.message_id)) {
        return;
    }
    known_message& message = known(header.message_id);
    if (header.lsn > message.state_lsn) {
        message.state_lsn = header.lsn;
        states_.set(message.state, record.meta);
        if (states_.is_sparse()) {
            compact_states();
        }
    }
}

void message_table::compact_states() {
    state_store fresh;
    for (std::uint32_t number = 0; number < messages_.made(); ++number) {
        state_store::entry& state = messages_[number].state;
        if (state.data != nullptr) {
            const byte_view old = state.view();
            state = {};
            fresh.set(state, old);
        }
    }
    states_ = std::move(fresh);
}

void message_table::add_done(byte_view ids) {
    for (; ids.size() >= sizeof(std::uint64_t); ids.remove_prefix(sizeof(std::uint64_t))) {
        const auto id = get<std::uint64_t>(ids.data());
        // Whatever copy of it is found later was written before anyone knew.
        done_.add(id);
        forget(id);
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

void message_table::judge(const doubtful_group& doubt) {
    for (const scanned_record& record : doubt.group.records) {
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
            apply(record, doubt.segment_id);
            continue;
        }
        ++counts_->corrupt_records;
        if (record.meta_is_good && record.header.type == record_type::message) {
            add_message(record, doubt.segment_id);
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

void message_table::resolve(std::deque<recovered_message>& live,
                            std::deque<recovered_message>& damaged) {
    for (const doubtful_group& doubt : std::exchange(doubtful_, {})) {
        judge(doubt);
    }
    count_missing();
    last_accepted_ = max_durable_;
    for (const lsn_range& range : covered_) {
        last_accepted_ = std::max(last_accepted_, range.last);
    }
    last_used_ = std::max(last_used_, last_accepted_);
    index_.clear(); // Not looked at any more, and now the lists need room.
    done_ = {};
    for (std::uint32_t number = 0; number < messages_.made(); ++number) {
        if (messages_[number].is_used) {
            pick(messages_[number], live, damaged);
        }
    }
    const auto older = [](const recovered_message& a, const recovered_message& b) {
        return a.where.lsn < b.where.lsn;
    };
    for (auto* list : {&live, &damaged}) {
        // Mostly they are: records are made in the order of the log.
        if (!std::is_sorted(list->begin(), list->end(), older)) {
            std::sort(list->begin(), list->end(), older);
        }
    }
}

void message_table::pick(const known_message& message,
                         std::deque<recovered_message>& live,
                         std::deque<recovered_message>& damaged) {
    const message_copy* best = nullptr;
    for (std::uint32_t number = message.newest; number != no_record;) {
        const message_copy& copy = copies_[number];
        number = copy.older;
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
    if (best != nullptr) {
        (best->body_is_good ? live : damaged)
            .push_back({message.id, message.state.view(), best->where});
    }
}

} // namespace ebbgate::spool
