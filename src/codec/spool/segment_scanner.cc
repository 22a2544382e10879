#include "codec/spool/segment_scanner.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ebbgate::spool {

namespace {

constexpr std::size_t window_bytes_default = mib;

} // namespace

segment_scanner::segment_scanner(directory& files, file_id file, const segment_header& header)
    : files_(&files), file_(file), key_(segment_key(header.seed, header.segment_id)),
      end_(header.segment_bytes - block_bytes),
      window_(std::min<std::uint64_t>(window_bytes_default, end_)) {}

void segment_scanner::load(std::uint64_t offset, std::uint64_t bytes) {
    const std::uint64_t start = offset / block_bytes * block_bytes;
    const std::uint64_t wanted = round_up(offset + bytes - start, block_bytes);
    if (wanted > window_.bytes()) {
        window_ = aligned_buffer(wanted);
    }
    window_offset_ = start;
    window_bytes_ = std::min<std::uint64_t>(window_.bytes(), end_ - start);
    if (const auto got = files_->read_at(file_, start, window_.data(), window_bytes_)) {
        std::memset(window_.data() + *got, 0, window_bytes_ - *got);
        return;
    }
    // Something in there cannot be read: block by block, what fails stays zero.
    for (std::uint64_t at = 0; at < window_bytes_; at += block_bytes) {
        const auto got = files_->read_at(file_, start + at, window_.data() + at, block_bytes);
        const std::size_t good = got ? *got : 0;
        std::memset(window_.data() + at + good, 0, block_bytes - good);
    }
}

const char* segment_scanner::view(std::uint64_t offset, std::uint64_t bytes) {
    if (offset < window_offset_ || offset + bytes > window_offset_ + window_bytes_) {
        load(offset, bytes);
    }
    return window_.data() + (offset - window_offset_);
}

void segment_scanner::scan(group_handler& handler) {
    std::uint64_t at = block_bytes;
    group_offset_ = at;
    chain_ = key_;
    while (at + record_header_bytes <= end_) {
        const auto header = decode_record_header(view(at, record_header_bytes), at, key_);
        const bool fits = header && header->body_bytes <= end_ &&
                          record_bytes(header->meta_bytes, header->body_bytes) <= end_ - at;
        if (!fits || header->lsn <= last_lsn_) {
            // Not ours, or an older use of this file: look on from the next place a record can be.
            group_is_damaged_ = group_is_damaged_ || !group_.records.empty();
            hole_seen_ = true;
            at += record_alignment;
            continue;
        }
        if (group_.records.empty() && hole_seen_ && at % block_bytes != 0) {
            group_is_damaged_ = true; // Its beginning is lost.
        }
        if (group_.records.empty() && !group_is_damaged_) {
            group_offset_ = at;
        }
        at = header->type == record_type::commit ? take_commit(*header, at, handler)
                                                 : take_record(*header, at);
    }
    if (!group_.records.empty()) {
        group_is_damaged_ = true;
        emit(handler);
    }
}

std::uint64_t segment_scanner::take_record(const record_header& header, std::uint64_t at) {
    const std::uint64_t whole = record_bytes(header.meta_bytes, header.body_bytes);
    const char* bytes = view(at, whole);
    scanned_record record;
    record.header = header;
    record.meta_is_good = meta_holds(bytes, header, key_);
    record.body_is_good = body_holds(bytes, header, key_);
    const bool is_message =
        header.type == record_type::message || header.type == record_type::message_with_file;
    if (record.meta_is_good && !is_message) {
        record.meta.assign(bytes + record_header_bytes, header.meta_bytes);
    }
    if (header.type == record_type::message_with_file) {
        record.body_is_good = record.body_is_good && header.body_bytes == body_reference_bytes;
        if (record.body_is_good) {
            record.reference = decode_body_reference(bytes + body_start(header.meta_bytes));
        }
    }
    group_is_damaged_ = group_is_damaged_ || !record.meta_is_good || !record.body_is_good;
    chain_ = chain_header(chain_, bytes);
    last_lsn_ = header.lsn;
    group_.bytes += whole;
    group_.records.push_back(std::move(record));
    return at + whole;
}

std::uint64_t segment_scanner::take_commit(const record_header& header,
                                           std::uint64_t at,
                                           group_handler& handler) {
    const std::uint64_t whole = record_bytes(header.meta_bytes, header.body_bytes);
    const char* bytes = view(at, whole);
    last_lsn_ = header.lsn;
    if (header.meta_bytes == commit_meta_bytes && meta_holds(bytes, header, key_)) {
        const commit_fields fields = decode_commit(bytes + record_header_bytes);
        // A good COMMIT speaks for what was durable before it, even when its group is damaged.
        group_.durable_lsn = fields.durable_lsn;
        group_is_damaged_ = group_is_damaged_ || fields.headers_hash != chain_ ||
                            fields.group_offset != group_offset_ ||
                            fields.record_count != group_.records.size() + 1 ||
                            fields.first_lsn + fields.record_count - 1 != header.lsn;
        group_.first_lsn = fields.first_lsn;
    } else {
        group_is_damaged_ = true;
    }
    group_.last_lsn = header.lsn;
    group_.bytes += whole;
    emit(handler);
    return round_up(at + whole, block_bytes);
}

void segment_scanner::emit(group_handler& handler) {
    group_.is_whole = !group_is_damaged_;
    group_.follows_hole = hole_seen_;
    if (group_is_damaged_) {
        if (group_.first_lsn == 0 && !group_.records.empty()) {
            group_.first_lsn = group_.records.front().header.lsn;
        }
        group_.last_lsn = std::max(group_.last_lsn, last_lsn_);
    }
    handler.on_group(std::move(group_));
    // Unless it was taken, its room is used again.
    std::vector<scanned_record> records = std::move(group_.records);
    records.clear();
    group_ = scanned_group();
    group_.records = std::move(records);
    chain_ = key_;
    group_is_damaged_ = false;
    hole_seen_ = false;
}

} // namespace ebbgate::spool
