#include "codec/spool/group_builder.h"

#include "ebbgate/base/assert.h"

#include <algorithm>
#include <cstring>

namespace ebbgate::spool {

group_builder::group_builder(std::size_t group_bytes_max) : staging_(group_bytes_max) {}

void group_builder::begin(std::uint64_t key,
                          std::uint64_t offset,
                          std::uint64_t first_lsn,
                          std::uint64_t room) {
    key_ = key;
    offset_ = offset;
    first_lsn_ = first_lsn;
    next_lsn_ = first_lsn;
    chain_ = key;
    used_ = 0;
    limit_ = std::min<std::uint64_t>(staging_.bytes(), room);
    record_count_ = 0;
}

bool group_builder::fits(std::uint64_t bytes) const noexcept {
    return bytes <= limit_ && used_ + bytes + commit_record_bytes <= limit_;
}

std::size_t group_builder::copy_body(char* out, const record_content& content) noexcept {
    if (content.blocks == nullptr) {
        std::memcpy(out, content.body.data(), content.body.size());
        return content.body.size();
    }
    std::size_t copied = 0;
    for (std::size_t index = 0; index < content.blocks->block_count(); ++index) {
        const byte_view block = content.blocks->block(index);
        std::memcpy(out + copied, block.data(), block.size());
        copied += block.size();
    }
    return copied;
}

location group_builder::add(const record_content& content) {
    const std::size_t body_size =
        content.blocks == nullptr ? content.body.size() : content.blocks->bytes();
    const std::uint64_t whole = record_bytes(content.meta.size(), body_size);
    EBBGATE_ASSERT(fits(whole));
    char* record = staging_.data() + used_;
    record_header header;
    header.type = content.type;
    header.lsn = next_lsn_;
    header.message_id = content.message_id;
    header.meta_bytes = static_cast<std::uint32_t>(content.meta.size());
    header.body_bytes = body_size;

    // The buffer is used again for every group: what is not copied over is zeroed.
    const std::uint64_t body_at = body_start(header.meta_bytes);
    const std::uint64_t meta_end = record_header_bytes + header.meta_bytes;
    if (!content.meta.empty()) {
        std::memcpy(record + record_header_bytes, content.meta.data(), content.meta.size());
    }
    std::memset(record + meta_end, 0, body_at - meta_end);
    const std::uint64_t body_end =
        body_at + (body_size == 0 ? 0 : copy_body(record + body_at, content));
    std::memset(record + body_end, 0, whole - body_end);

    finish_record(record, header);
    location where;
    where.lsn = header.lsn;
    where.body_bytes = body_size;
    where.offset = header.offset;
    where.record_bytes = static_cast<std::uint32_t>(whole);
    used_ += whole;
    return where;
}

void group_builder::finish_record(char* record, record_header& header) {
    header.offset = static_cast<std::uint32_t>(offset_ + used_);
    const std::uint64_t seed = key_ ^ header.lsn;
    header.meta_hash = hash_of({record + record_header_bytes, header.meta_bytes}, seed);
    header.body_hash = hash_of({record + body_start(header.meta_bytes), header.body_bytes}, seed);
    encode_record_header(record, header, key_);
    if (header.type != record_type::commit) {
        chain_ = chain_header(chain_, record);
    }
    ++next_lsn_;
    ++record_count_;
}

byte_view group_builder::finish(std::uint64_t durable_lsn) {
    EBBGATE_ASSERT(used_ + commit_record_bytes <= limit_);
    const std::size_t group_bytes =
        static_cast<std::size_t>(round_up(used_ + commit_record_bytes, block_bytes));
    char* record = staging_.data() + used_;
    std::memset(record, 0, group_bytes - used_);
    commit_fields fields;
    fields.first_lsn = first_lsn_;
    fields.durable_lsn = durable_lsn;
    fields.headers_hash = chain_;
    fields.group_offset = static_cast<std::uint32_t>(offset_);
    fields.group_bytes = static_cast<std::uint32_t>(group_bytes);
    fields.record_count = record_count_ + 1;
    encode_commit(record + record_header_bytes, fields);
    record_header header;
    header.type = record_type::commit;
    header.lsn = next_lsn_;
    header.meta_bytes = commit_meta_bytes;
    finish_record(record, header);
    return {staging_.data(), group_bytes};
}

} // namespace ebbgate::spool
