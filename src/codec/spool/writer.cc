#include "ebbgate/spool/writer.h"

#include "ebbgate/base/assert.h"

#include "codec/spool/writer_log.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ebbgate::spool {

namespace {

constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t retry_delay_ns = 1'000'000'000; // After a failed order.
// SEAL, VOID and COMMIT beside the largest message.
constexpr std::uint64_t group_overhead_bytes = 4 * kib;
constexpr std::size_t relocation_segments_min = 4; // A shorter log is not worth copying.

} // namespace

std::uint64_t stored_bytes(const append_request& request) noexcept {
    std::uint64_t body = request.raw_body.size();
    if (request.large != nullptr || request.relocated != nullptr) {
        body = body_reference_bytes;
    } else if (request.body != nullptr) {
        body = request.body->bytes();
    }
    const std::uint64_t state = request.state.empty() ? 0 : record_bytes(request.state.size(), 0);
    return record_bytes(request.meta.size(), body) + state;
}

writer::writer(device& disk, const writer_options& options, writer_start start)
    : log_(std::make_unique<log>(disk, options, std::move(start))) {}

writer::~writer() {
    EBBGATE_ASSERT(!log_->commit.under_way);
}

void writer::append(append_request& request) {
    EBBGATE_ASSERT(request.on_settled != nullptr && request.message_id != 0);
    EBBGATE_ASSERT(request.large == nullptr || request.large->state() == large_body_state::durable);
    const bool is_file = request.large != nullptr || request.relocated != nullptr;
    const std::size_t body_size =
        request.body != nullptr ? request.body->bytes() : request.raw_body.size();
    const bool fits = request.meta.size() <= log_->options.meta_bytes_max &&
                      (is_file || body_size <= log_->options.inline_bytes_max) &&
                      stored_bytes(request) + group_overhead_bytes <= log_->options.group_bytes_max;
    request_list& list = fits ? log_->queued : log_->too_large;
    list.push_back(request);
}

void writer::mark_done(std::uint64_t message_id, const location& where) {
    log_->outcomes.add_done(message_id, where);
    log_->note_outcome();
}

void writer::mark_moved(const location& old) {
    log_->files.drop_live(old);
}

void writer::note_state(std::uint64_t message_id, byte_view blob) {
    EBBGATE_ASSERT(record_bytes(blob.size(), 0) + group_overhead_bytes <=
                   log_->options.group_bytes_max);
    log_->outcomes.add_state(message_id, blob);
    log_->note_outcome();
}

void writer::pump(std::int64_t now_ns) {
    log_->now_ns = now_ns;
    log_->pump();
}

std::int64_t writer::next_deadline_ns() const noexcept {
    const log& state = *log_;
    if (!state.too_large.empty()) {
        return state.now_ns;
    }
    std::int64_t next = state.has_segment_trouble ? state.segment_retry_ns : never_ns;
    if (state.commit.under_way || state.is_blocked) {
        return next;
    }
    if (!state.queued.empty()) {
        return state.now_ns;
    }
    if (state.has_outcomes()) {
        const std::int64_t due = state.outcome_since_ns + state.options.outcome_delay_ns;
        next = std::min(next, std::max(due, state.commit_retry_ns));
    }
    if (state.has_unproven_group) {
        const std::int64_t due = state.last_commit_ns + state.options.idle_commit_ns;
        next = std::min(next, std::max(due, state.commit_retry_ns));
    }
    return next;
}

bool writer::idle() const noexcept {
    return !log_->commit.under_way && log_->queued.empty() && log_->too_large.empty() &&
           !log_->has_outcomes();
}

bool writer::group_under_way() const noexcept {
    return log_->commit.under_way;
}

bool writer::intake_open() const noexcept {
    return intake_status() == append_status::durable;
}

append_status writer::intake_status() const noexcept {
    const log& state = *log_;
    if (state.is_latched) {
        return append_status::failed;
    }
    if (state.free_bytes < state.options.free_bytes_reserve ||
        log_bytes() > state.options.log_bytes_max) {
        return append_status::no_space;
    }
    if (state.is_scarce()) {
        return state.segment_trouble == failure_kind::no_space ? append_status::no_space
                                                               : append_status::failed;
    }
    return append_status::durable;
}

void writer::note_free_bytes(std::uint64_t bytes) noexcept {
    log_->free_bytes = bytes;
}

bool writer::wants_segment() const noexcept {
    const log& state = *log_;
    return state.spares.empty() && !state.segment_ordered &&
           (!state.has_segment_trouble || state.now_ns >= state.segment_retry_ns);
}

segment_order writer::order_segment() {
    log& state = *log_;
    EBBGATE_ASSERT(!state.segment_ordered);
    state.segment_ordered = true;
    segment_order order;
    order.spool = state.spool;
    order.shard = state.options.shard;
    order.segment_bytes = state.options.segment_bytes;
    order.segment_id = state.next_segment_id++;
    order.first_lsn = state.next_lsn;
    order.oldest_live_segment_id = state.files.segments().empty()
                                       ? order.segment_id
                                       : state.files.segments().front().segment_id;
    if (state.retired.empty()) {
        order.file_number = state.next_segment_file++;
    } else {
        // Strictly the oldest: the outcomes of its messages lie in younger segments.
        order.file_number = state.retired.front().file_number;
        order.reused_file = state.retired.front().file;
        state.retired.pop_front();
    }
    return order;
}

void writer::give_segment(const prepared_segment& segment) {
    log_->segment_ordered = false;
    log_->has_segment_trouble = false;
    log_->is_blocked = false;
    log_->spares.push_back(segment);
    if (segment.free_bytes > 0) {
        note_free_bytes(segment.free_bytes);
    }
}

void writer::segment_failed(const segment_order& order, failure_kind why) {
    EBBGATE_ASSERT(order.segment_id < log_->next_segment_id);
    // Not used again. Its old content may still be there, so it must go before any segment that
    // holds outcomes of its messages goes.
    log_->doomed.push_back({order.shard, order.file_number, order.segment_id, no_file});
    log_->segment_ordered = false;
    log_->has_segment_trouble = true;
    log_->segment_trouble = why;
    log_->segment_retry_ns = log_->now_ns + retry_delay_ns;
    log_->is_blocked = false;
}

std::optional<retired_segment> writer::take_surplus() {
    // While an older file is being written over, no younger one may disappear.
    if (!log_->doomed.empty()) {
        const retired_segment failed = log_->doomed.front();
        log_->doomed.pop_front();
        return failed;
    }
    if (log_->segment_ordered || log_->retired.size() <= log_->options.retired_segments_max) {
        return std::nullopt;
    }
    const retired_segment surplus = log_->retired.front();
    log_->retired.pop_front();
    return surplus;
}

std::optional<writer::body_file> writer::acquire_body_file() {
    const std::uint32_t number = log_->files.find_free_body_file();
    if (number == no_body_file) {
        log_->body_file_missed = true;
        return std::nullopt;
    }
    log_->files.reference_body(number);
    return body_file{number, log_->files.body(number)->file};
}

void writer::release_body_file(std::uint32_t file_number, bool usable) {
    if (!usable) {
        log_->files.mark_body_dead(file_number);
    }
    if (log_->voids.empty()) {
        log_->files.release_body(file_number);
    } else {
        // A record of the failed group may name it: after a crash it would come back with another
        // message's body. Its void comes first.
        log_->held_bodies.push_back(file_number);
    }
}

bool writer::wants_body_file() const noexcept {
    return log_->body_file_missed && !log_->body_file_ordered &&
           log_->now_ns >= log_->body_file_retry_ns &&
           log_->files.find_free_body_file() == no_body_file;
}

body_file_order writer::order_body_file() {
    log_->body_file_ordered = true;
    return {log_->options.shard, log_->next_body_file++};
}

void writer::give_body_file(const prepared_body_file& file) {
    log_->body_file_ordered = false;
    log_->body_file_missed = false;
    log_->files.add_body_file(file.file_number, file.file);
}

void writer::body_file_failed(const body_file_order& order) {
    EBBGATE_ASSERT(order.file_number < log_->next_body_file);
    log_->body_file_ordered = false;
    log_->body_file_retry_ns = log_->now_ns + retry_delay_ns;
}

std::uint64_t writer::relocation_segment() const noexcept {
    const auto& segments = log_->files.segments();
    if (segments.size() < relocation_segments_min || segments.front().live_messages == 0) {
        return 0;
    }
    const std::uint64_t live = log_->files.live_bytes();
    const bool is_sparse = live < log_bytes() / 4;
    const bool is_long =
        log_bytes() > log_->options.log_bytes_max / 4 * 3 && live < log_bytes() / 4 * 3;
    return is_sparse || is_long ? segments.front().segment_id : 0;
}

std::span<const std::uint64_t> writer::relocation_candidates() const noexcept {
    const auto& segments = log_->files.segments();
    return segments.empty() ? std::span<const std::uint64_t>() : segments.front().message_ids;
}

shard_files& writer::files() noexcept {
    return log_->files;
}

std::uint64_t writer::log_bytes() const noexcept {
    return log_->files.segments().size() * log_->options.segment_bytes;
}

std::uint64_t writer::durable_lsn() const noexcept {
    return log_->durable_lsn;
}

const writer_counters& writer::counters() const noexcept {
    return log_->counters;
}

} // namespace ebbgate::spool
