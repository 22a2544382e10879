#include "codec/spool/outcome_queue.h"

#include <algorithm>
#include <iterator>

namespace ebbgate::spool {

namespace {

constexpr std::size_t done_ids_per_record = 1024;

template <typename Entry>
void move_front(std::vector<Entry>& from, std::size_t count, std::vector<Entry>& to) {
    const auto end = from.begin() + static_cast<std::ptrdiff_t>(count);
    std::move(from.begin(), end, std::back_inserter(to));
    from.erase(from.begin(), end);
}

template <typename Entry>
void insert_front(std::vector<Entry>& from, std::vector<Entry>& to) {
    to.insert(
        to.begin(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    from.clear();
}

} // namespace

void outcome_queue::write_to(group_builder& group) {
    write_states(group);
    write_done(group);
}

void outcome_queue::write_states(group_builder& group) {
    std::size_t written = 0;
    for (const state_entry& entry : states_) {
        if (!group.fits(record_bytes(entry.blob.size(), 0))) {
            break;
        }
        record_content content;
        content.type = record_type::state;
        content.message_id = entry.message_id;
        content.meta = entry.blob;
        group.add(content);
        ++written;
    }
    move_front(states_, written, states_under_way_);
}

void outcome_queue::write_done(group_builder& group) {
    std::size_t written = 0;
    while (written < done_.size()) {
        const std::size_t count = std::min(done_ids_per_record, done_.size() - written);
        if (!group.fits(record_bytes(count * sizeof(std::uint64_t), 0))) {
            break;
        }
        ids_.resize(count * sizeof(std::uint64_t));
        for (std::size_t index = 0; index < count; ++index) {
            put<std::uint64_t>(ids_.data() + index * sizeof(std::uint64_t),
                               done_[written + index].message_id);
        }
        record_content content;
        content.type = record_type::done;
        content.meta = ids_;
        group.add(content);
        written += count;
    }
    move_front(done_, written, done_under_way_);
}

void outcome_queue::settled() noexcept {
    done_under_way_.clear();
    states_under_way_.clear();
}

void outcome_queue::put_back() {
    insert_front(done_under_way_, done_);
    insert_front(states_under_way_, states_);
}

} // namespace ebbgate::spool
