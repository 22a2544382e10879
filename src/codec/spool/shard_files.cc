#include "ebbgate/spool/shard_files.h"

#include "ebbgate/base/assert.h"

#include <algorithm>
#include <utility>

namespace ebbgate::spool {

segment_entry* shard_files::find(std::uint64_t segment_id) noexcept {
    const auto at = std::lower_bound(
        segments_.begin(),
        segments_.end(),
        segment_id,
        [](const segment_entry& entry, std::uint64_t id) { return entry.segment_id < id; });
    return at != segments_.end() && at->segment_id == segment_id ? &*at : nullptr;
}

const segment_entry* shard_files::find(std::uint64_t segment_id) const noexcept {
    return const_cast<shard_files*>(this)->find(segment_id);
}

const body_file_entry* shard_files::body(std::uint32_t number) const noexcept {
    return number < body_files_.size() && body_files_[number].file != no_file ? &body_files_[number]
                                                                              : nullptr;
}

void shard_files::add_segment(segment_entry entry) {
    EBBGATE_ASSERT(segments_.empty() || segments_.back().segment_id < entry.segment_id);
    segments_.push_back(std::move(entry));
}

bool shard_files::oldest_is_dead() const noexcept {
    return !segments_.empty() && segments_.front().live_messages == 0 &&
           segments_.front().pins == 0;
}

segment_entry shard_files::take_oldest() {
    EBBGATE_ASSERT(oldest_is_dead());
    segment_entry oldest = std::move(segments_.front());
    segments_.pop_front();
    return oldest;
}

void shard_files::add_body_file(std::uint32_t number, file_id file) {
    if (number >= body_files_.size()) {
        body_files_.resize(number + std::size_t{1});
    }
    body_files_[number].file = file;
}

namespace {

bool is_free(const body_file_entry& entry) noexcept {
    return entry.file != no_file && entry.references == 0 && entry.pins == 0 && !entry.dead;
}

} // namespace

std::uint32_t shard_files::find_free_body_file() const noexcept {
    const auto at = std::find_if(body_files_.begin(), body_files_.end(), is_free);
    return at == body_files_.end() ? no_body_file
                                   : static_cast<std::uint32_t>(at - body_files_.begin());
}

std::uint32_t shard_files::free_body_files() const noexcept {
    return static_cast<std::uint32_t>(
        std::count_if(body_files_.begin(), body_files_.end(), is_free));
}

void shard_files::reference_body(std::uint32_t number) noexcept {
    if (number < body_files_.size()) {
        ++body_files_[number].references;
    }
}

void shard_files::release_body(std::uint32_t number) noexcept {
    if (number < body_files_.size()) {
        EBBGATE_ASSERT(body_files_[number].references > 0);
        --body_files_[number].references;
    }
}

void shard_files::mark_body_dead(std::uint32_t number) noexcept {
    if (number < body_files_.size()) {
        body_files_[number].dead = true;
    }
}

void shard_files::expect_live(std::uint64_t segment_id, std::size_t messages) {
    if (segment_entry* segment = find(segment_id); segment != nullptr) {
        segment->message_ids.reserve(segment->message_ids.size() + messages);
    }
}

void shard_files::add_live(std::uint64_t message_id, const location& where) {
    segment_entry* segment = find(where.segment_id);
    EBBGATE_ASSERT(segment != nullptr);
    segment->message_ids.push_back(message_id);
    ++segment->live_messages;
    segment->live_bytes += where.record_bytes;
    live_bytes_ += where.record_bytes;
    if (where.body_file != no_body_file) {
        reference_body(where.body_file);
    }
}

void shard_files::drop_live(const location& where) noexcept {
    segment_entry* segment = find(where.segment_id);
    EBBGATE_ASSERT(segment != nullptr && segment->live_messages > 0);
    --segment->live_messages;
    segment->live_bytes -= where.record_bytes;
    live_bytes_ -= where.record_bytes;
    if (where.body_file != no_body_file) {
        release_body(where.body_file);
    }
}

void shard_files::pin(const location& where) noexcept {
    if (segment_entry* segment = find(where.segment_id); segment != nullptr) {
        ++segment->pins;
    }
    if (where.body_file < body_files_.size()) {
        ++body_files_[where.body_file].pins;
    }
}

void shard_files::unpin_record(const location& where) noexcept {
    if (segment_entry* segment = find(where.segment_id); segment != nullptr) {
        EBBGATE_ASSERT(segment->pins > 0);
        --segment->pins;
    }
}

void shard_files::unpin_body(const location& where) noexcept {
    if (where.body_file < body_files_.size()) {
        EBBGATE_ASSERT(body_files_[where.body_file].pins > 0);
        --body_files_[where.body_file].pins;
    }
}

} // namespace ebbgate::spool
