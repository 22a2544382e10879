#include "codec/spool/writer_log.h"

#include "ebbgate/base/assert.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace ebbgate::spool {

namespace {

constexpr std::size_t void_ranges_per_record = 64;
constexpr std::size_t outcomes_before_delay = 4096; // So many do not wait for outcome_delay_ns.
constexpr std::uint32_t failures_before_latch = 2;
constexpr std::int64_t commit_retry_delay_ns = 1'000'000'000;

append_status status_of(std::int64_t outcome) noexcept {
    return outcome == -ENOSPC || outcome == -EDQUOT ? append_status::no_space
                                                    : append_status::failed;
}

} // namespace

void request_list::push_back(append_request& request) noexcept {
    request.next = nullptr;
    if (last_ == nullptr) {
        first_ = &request;
    } else {
        last_->next = &request;
    }
    last_ = &request;
}

append_request& request_list::pop_front() noexcept {
    append_request& request = *first_;
    first_ = request.next;
    if (first_ == nullptr) {
        last_ = nullptr;
    }
    request.next = nullptr;
    return request;
}

request_list request_list::take_all() noexcept {
    return std::exchange(*this, request_list());
}

writer::log::log(device& disk_in, const writer_options& options_in, writer_start start)
    : disk(&disk_in), options(options_in), spool(start.spool), files(std::move(start.files)),
      group(options_in.group_bytes_max), retired(start.reusable.begin(), start.reusable.end()),
      next_segment_id(start.next_segment_id), next_lsn(start.next_lsn),
      durable_lsn(start.durable_lsn), next_segment_file(start.next_segment_file),
      voids(std::move(start.voided)) {
    // Offsets in a segment are 32 bits; one full group must fit beside both header blocks.
    EBBGATE_ASSERT(options.segment_bytes % block_bytes == 0 && options.segment_bytes < 4 * gib);
    EBBGATE_ASSERT(options.segment_bytes >= options.group_bytes_max + 2 * block_bytes);
    EBBGATE_ASSERT(options.group_bytes_max % block_bytes == 0);
    next_body_file =
        std::max(start.next_body_file, static_cast<std::uint32_t>(files.body_files().size()));
    commit.owner = this;
    commit.on_complete = on_committed;
    if (!voids.empty()) {
        note_outcome();
    }
}

bool writer::log::has_outcomes() const noexcept {
    return !outcomes.empty() || !voids.empty();
}

void writer::log::note_outcome() noexcept {
    if (outcome_since_ns < 0) {
        outcome_since_ns = now_ns;
    }
}

bool writer::log::is_due() const noexcept {
    if (!queued.empty() || outcomes.count() >= outcomes_before_delay) {
        return true;
    }
    if (has_outcomes() && now_ns >= outcome_since_ns + options.outcome_delay_ns) {
        return true;
    }
    return has_unproven_group && now_ns >= last_commit_ns + options.idle_commit_ns;
}

void writer::log::pump() {
    request_list rejected = too_large.take_all();
    settle(rejected, append_status::too_large);
    retire_dead_segments();
    if (commit.under_way) {
        return;
    }
    if (now_ns < commit_retry_ns) {
        // Each try costs a segment, so a failing disk is tried once a second.
        request_list refused = queued.take_all();
        settle(refused, append_status::failed);
        return;
    }
    if (!is_due()) {
        return;
    }
    is_blocked = false;
    if (build_group()) {
        submit_group();
        return;
    }
    refuse_if_hopeless();
}

std::uint64_t writer::log::room() const noexcept {
    return active.segment_id == 0 ? 0 : active.end - active.offset;
}

bool writer::log::is_scarce() const noexcept {
    return spares.empty() && has_segment_trouble;
}

std::uint64_t writer::log::outcome_reserve_bytes() const noexcept {
    return options.segment_bytes / 16;
}

bool writer::log::build_group() {
    for (;;) {
        if (room() >= block_bytes) {
            group.begin(active.key, active.offset, next_lsn, room());
            add_seal();
            add_voids();
            add_messages();
            outcomes.write_to(group);
            const bool only_proves = queued.empty() && !has_outcomes();
            if (group.record_count() > 0 || only_proves) {
                return true;
            }
        }
        // Beyond this point the segment is too full for what comes next.
        if (!switch_segment()) {
            is_blocked = true;
            return false;
        }
    }
}

bool writer::log::switch_segment() {
    if (spares.empty()) {
        return false;
    }
    if (active.segment_id != 0) {
        ended = {active.segment_id, active.offset, next_lsn - 1};
    }
    const prepared_segment segment = spares.front();
    spares.pop_front();
    active.segment_id = segment.order.segment_id;
    active.key = segment_key(segment.seed, segment.order.segment_id);
    active.file = segment.file;
    active.offset = block_bytes;
    active.end = segment.order.segment_bytes - block_bytes; // The last block: the second header.
    segment_entry entry;
    entry.segment_id = segment.order.segment_id;
    entry.seed = segment.seed;
    entry.file = segment.file;
    entry.file_number = segment.order.file_number;
    files.add_segment(std::move(entry));
    return true;
}

void writer::log::add_seal() {
    if (ended.segment_id == 0 || active.offset != block_bytes) {
        return;
    }
    char fields[24];
    put<std::uint64_t>(fields, ended.segment_id);
    put<std::uint64_t>(fields + 8, ended.end);
    put<std::uint64_t>(fields + 16, ended.last_lsn);
    record_content content;
    content.type = record_type::seal;
    content.meta = {fields, sizeof fields};
    group.add(content);
}

void writer::log::add_voids() {
    voids_under_way = std::min(voids.size(), void_ranges_per_record);
    if (voids_under_way == 0) {
        return;
    }
    std::string ranges(voids_under_way * 16, '\0');
    for (std::size_t index = 0; index < voids_under_way; ++index) {
        put<std::uint64_t>(ranges.data() + index * 16, voids[index].first);
        put<std::uint64_t>(ranges.data() + index * 16 + 8, voids[index].last);
    }
    if (!group.fits(record_bytes(ranges.size(), 0))) {
        voids_under_way = 0;
        return;
    }
    record_content content;
    content.type = record_type::voided;
    content.meta = ranges;
    group.add(content);
}

namespace {

// The reference a large body is stored as; file_number no_body_file: the body is inline.
body_reference reference_of(const append_request& request) noexcept {
    body_reference reference;
    if (request.large != nullptr) {
        reference = {request.large->file_number(),
                     request.large->bytes(),
                     request.large->seed(),
                     request.large->hash()};
    } else if (request.relocated != nullptr) {
        reference = {request.relocated->body_file,
                     request.relocated->body_bytes,
                     request.relocated_seed,
                     request.relocated_hash};
    }
    return reference;
}

void add_message(group_builder& group, append_request& request, std::uint64_t segment_id) {
    const body_reference reference = reference_of(request);
    const bool is_large = reference.file_number != no_body_file;
    char encoded[body_reference_bytes];
    record_content content;
    content.type = is_large ? record_type::message_with_file : record_type::message;
    content.message_id = request.message_id;
    content.meta = request.meta;
    if (is_large) {
        encode_body_reference(encoded, reference);
        content.body = {encoded, sizeof encoded};
    } else if (request.body != nullptr) {
        content.blocks = request.body;
    } else {
        content.body = request.raw_body;
    }
    request.where = group.add(content);
    request.where.segment_id = segment_id;
    if (is_large) {
        request.where.body_bytes = reference.bytes;
        request.where.body_file = reference.file_number;
    }
    if (!request.state.empty()) {
        record_content state;
        state.type = record_type::state;
        state.message_id = request.message_id;
        state.meta = request.state;
        group.add(state);
    }
}

} // namespace

void writer::log::add_messages() {
    // The last room is for outcomes of what is already stored.
    const std::uint64_t reserve = is_scarce() ? outcome_reserve_bytes() : 0;
    if (room() <= reserve) {
        return;
    }
    while (!queued.empty()) {
        append_request& request = *queued.front();
        const std::uint64_t needed = stored_bytes(request);
        if (!group.fits(needed) || room() < reserve + needed) {
            return;
        }
        add_message(group, request, active.segment_id);
        under_way.push_back(queued.pop_front());
    }
}

void writer::log::submit_group() {
    commit.is_empty_commit = group.record_count() == 0;
    const byte_view bytes = group.finish(durable_lsn);
    commit.bytes = bytes.size();
    commit.last_lsn = group.next_lsn() - 1;
    commit.under_way = true;
    next_lsn = group.next_lsn();
    last_commit_ns = now_ns;
    disk->write_durable(active.file, active.offset, bytes.data(), bytes.size(), commit);
}

void writer::log::refuse_if_hopeless() {
    if (!is_scarce() || segment_ordered) {
        return;
    }
    request_list refused = queued.take_all();
    settle(refused,
           segment_trouble == failure_kind::no_space ? append_status::no_space
                                                     : append_status::failed);
}

void writer::log::settle(request_list& requests, append_status status) {
    while (!requests.empty()) {
        append_request& request = requests.pop_front();
        request.on_settled(request, status, request.where);
    }
}

void writer::log::on_committed(completion& done, std::int64_t outcome) noexcept {
    commit_operation& commit = static_cast<commit_operation&>(done);
    commit.under_way = false;
    if (outcome == static_cast<std::int64_t>(commit.bytes)) {
        commit.owner->commit_succeeded();
    } else {
        commit.owner->commit_failed(outcome);
    }
}

void writer::log::commit_succeeded() {
    // Beyond this point everything in the group survives a power cut.
    durable_lsn = commit.last_lsn;
    active.offset += commit.bytes;
    has_unproven_group = !commit.is_empty_commit;
    consecutive_failures = 0;
    is_latched = false; // Voids and outcomes were tried again each second: the disk works.
    if (ended.segment_id != 0) {
        ended = {};
    }
    ++counters.groups;
    counters.records += group.record_count();
    counters.bytes += commit.bytes;

    voids.erase(voids.begin(), voids.begin() + static_cast<std::ptrdiff_t>(voids_under_way));
    voids_under_way = 0;
    if (voids.empty()) {
        for (const std::uint32_t body : std::exchange(held_bodies, {})) {
            files.release_body(body);
        }
    }
    for (const done_entry& entry : outcomes.done_under_way()) {
        files.drop_live(entry.where);
    }
    outcomes.settled();
    outcome_since_ns = has_outcomes() ? now_ns : -1;
    for (append_request* each = under_way.front(); each != nullptr; each = each->next) {
        files.add_live(each->message_id, each->where);
        if (each->large != nullptr) {
            files.release_body(each->where.body_file); // The message's own reference took over.
        }
    }
    request_list settled = under_way.take_all();
    settle(settled, append_status::durable);
}

void writer::log::commit_failed(std::int64_t outcome) {
    // What is in the segment's last blocks now is anyone's guess, and a sync that failed is never
    // tried again: the kernel may have dropped the pages and report success the next time.
    ++counters.failed_groups;
    if (++consecutive_failures >= failures_before_latch) {
        is_latched = true;
        commit_retry_ns = now_ns + commit_retry_delay_ns;
    }
    voids.push_back({group.first_lsn(), commit.last_lsn});
    voids_under_way = 0;
    outcomes.put_back();
    outcome_since_ns = now_ns;
    active = {};
    ended = {};
    request_list failed = under_way.take_all();
    settle(failed, status_of(outcome));
}

void writer::log::retire_dead_segments() {
    while (files.oldest_is_dead() && files.segments().front().segment_id != active.segment_id) {
        const segment_entry dead = files.take_oldest();
        retired.push_back({options.shard, dead.file_number, dead.segment_id, dead.file});
        ++counters.retired_segments;
    }
}

} // namespace ebbgate::spool
