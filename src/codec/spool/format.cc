#include "codec/spool/format.h"

#include <xxhash.h>

namespace ebbgate::spool {

namespace {

constexpr std::uint32_t record_magic = 0x63655252; // "RRec"
constexpr std::uint16_t record_version = 1;
constexpr char segment_magic[8] = {'E', 'B', 'B', 'S', 'E', 'G', '0', '1'};
constexpr std::size_t segment_header_hashed_bytes = 88;
constexpr std::size_t record_header_hashed_bytes = 56;

} // namespace

std::uint64_t hash_of(byte_view bytes, std::uint64_t seed) noexcept {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t segment_key(std::uint64_t seed, std::uint64_t segment_id) noexcept {
    return seed ^ (segment_id * 0x9E3779B97F4A7C15ULL);
}

void encode_record_header(char* out, const record_header& header, std::uint64_t key) noexcept {
    put<std::uint32_t>(out, record_magic);
    put<std::uint8_t>(out + 4, static_cast<std::uint8_t>(header.type));
    put<std::uint8_t>(out + 5, 0);
    put<std::uint16_t>(out + 6, record_version);
    put<std::uint64_t>(out + 8, header.lsn);
    put<std::uint64_t>(out + 16, header.message_id);
    put<std::uint32_t>(out + 24, header.meta_bytes);
    put<std::uint32_t>(out + 28, header.offset);
    put<std::uint64_t>(out + 32, header.body_bytes);
    put<std::uint64_t>(out + 40, header.meta_hash);
    put<std::uint64_t>(out + 48, header.body_hash);
    const std::uint64_t head = hash_of({out, record_header_hashed_bytes}, key ^ header.lsn);
    put<std::uint64_t>(out + 56, head);
}

std::optional<record_header>
decode_record_header(const char* in, std::uint64_t offset, std::uint64_t key) noexcept {
    if (get<std::uint32_t>(in) != record_magic || get<std::uint16_t>(in + 6) != record_version ||
        get<std::uint32_t>(in + 28) != offset) {
        return std::nullopt;
    }
    const auto type = get<std::uint8_t>(in + 4);
    if (type < static_cast<std::uint8_t>(record_type::message) ||
        type > static_cast<std::uint8_t>(record_type::seal)) {
        return std::nullopt;
    }
    record_header header;
    header.type = static_cast<record_type>(type);
    header.lsn = get<std::uint64_t>(in + 8);
    if (get<std::uint64_t>(in + 56) !=
        hash_of({in, record_header_hashed_bytes}, key ^ header.lsn)) {
        return std::nullopt;
    }
    header.message_id = get<std::uint64_t>(in + 16);
    header.meta_bytes = get<std::uint32_t>(in + 24);
    header.offset = get<std::uint32_t>(in + 28);
    header.body_bytes = get<std::uint64_t>(in + 32);
    header.meta_hash = get<std::uint64_t>(in + 40);
    header.body_hash = get<std::uint64_t>(in + 48);
    return header;
}

bool meta_holds(const char* record, const record_header& header, std::uint64_t key) {
    return hash_of({record + record_header_bytes, header.meta_bytes}, key ^ header.lsn) ==
           header.meta_hash;
}

bool body_holds(const char* record, const record_header& header, std::uint64_t key) {
    return hash_of({record + body_start(header.meta_bytes), header.body_bytes}, key ^ header.lsn) ==
           header.body_hash;
}

void encode_commit(char* out, const commit_fields& fields) noexcept {
    put<std::uint64_t>(out, fields.first_lsn);
    put<std::uint64_t>(out + 8, fields.durable_lsn);
    put<std::uint64_t>(out + 16, fields.headers_hash);
    put<std::uint32_t>(out + 24, fields.group_offset);
    put<std::uint32_t>(out + 28, fields.group_bytes);
    put<std::uint32_t>(out + 32, fields.record_count);
    put<std::uint32_t>(out + 36, 0);
}

commit_fields decode_commit(const char* in) noexcept {
    commit_fields fields;
    fields.first_lsn = get<std::uint64_t>(in);
    fields.durable_lsn = get<std::uint64_t>(in + 8);
    fields.headers_hash = get<std::uint64_t>(in + 16);
    fields.group_offset = get<std::uint32_t>(in + 24);
    fields.group_bytes = get<std::uint32_t>(in + 28);
    fields.record_count = get<std::uint32_t>(in + 32);
    return fields;
}

std::uint64_t chain_header(std::uint64_t chain, const char* header) noexcept {
    return hash_of({header, record_header_bytes}, chain);
}

void encode_body_reference(char* out, const body_reference& fields) noexcept {
    put<std::uint32_t>(out, fields.file_number);
    put<std::uint32_t>(out + 4, 0);
    put<std::uint64_t>(out + 8, fields.bytes);
    put<std::uint64_t>(out + 16, fields.seed);
    put<std::uint64_t>(out + 24, fields.hash);
}

body_reference decode_body_reference(const char* in) noexcept {
    body_reference fields;
    fields.file_number = get<std::uint32_t>(in);
    fields.bytes = get<std::uint64_t>(in + 8);
    fields.seed = get<std::uint64_t>(in + 16);
    fields.hash = get<std::uint64_t>(in + 24);
    return fields;
}

void encode_segment_header(char* out, const segment_header& header) noexcept {
    std::memset(out, 0, block_bytes);
    std::memcpy(out, segment_magic, sizeof segment_magic);
    put<std::uint32_t>(out + 8, format_version);
    put<std::uint32_t>(out + 12, static_cast<std::uint32_t>(block_bytes));
    std::memcpy(out + 16, header.spool.bytes, sizeof header.spool.bytes);
    put<std::uint64_t>(out + 32, header.segment_id);
    put<std::uint64_t>(out + 40, header.first_lsn);
    put<std::uint32_t>(out + 48, header.shard);
    put<std::uint32_t>(out + 52, 0);
    put<std::uint64_t>(out + 56, header.seed);
    put<std::uint64_t>(out + 64, header.created_unix_ns);
    put<std::uint64_t>(out + 72, header.oldest_live_segment_id);
    put<std::uint64_t>(out + 80, header.segment_bytes);
    put<std::uint64_t>(out + 88, hash_of({out, segment_header_hashed_bytes}, 0));
}

std::optional<segment_header> decode_segment_header(const char* in) noexcept {
    if (std::memcmp(in, segment_magic, sizeof segment_magic) != 0 ||
        get<std::uint32_t>(in + 8) != format_version ||
        get<std::uint32_t>(in + 12) != block_bytes ||
        get<std::uint64_t>(in + 88) != hash_of({in, segment_header_hashed_bytes}, 0)) {
        return std::nullopt;
    }
    segment_header header;
    std::memcpy(header.spool.bytes, in + 16, sizeof header.spool.bytes);
    header.segment_id = get<std::uint64_t>(in + 32);
    header.first_lsn = get<std::uint64_t>(in + 40);
    header.shard = get<std::uint32_t>(in + 48);
    header.seed = get<std::uint64_t>(in + 56);
    header.created_unix_ns = get<std::uint64_t>(in + 64);
    header.oldest_live_segment_id = get<std::uint64_t>(in + 72);
    header.segment_bytes = get<std::uint64_t>(in + 80);
    return header;
}

byte_view decode_stored_meta(const char* record,
                             std::uint64_t message_id,
                             const location& where,
                             std::uint64_t key) {
    const auto header = decode_record_header(record, where.offset, key);
    if (!header || header->lsn != where.lsn || header->message_id != message_id ||
        header->body_bytes > where.record_bytes ||
        record_bytes(header->meta_bytes, header->body_bytes) != where.record_bytes ||
        !meta_holds(record, *header, key)) {
        return {};
    }
    return {record + record_header_bytes, header->meta_bytes};
}

std::optional<stored_message> decode_stored_message(const char* record,
                                                    std::uint64_t message_id,
                                                    const location& where,
                                                    std::uint64_t key) {
    const auto header = decode_record_header(record, where.offset, key);
    const bool is_message = header && (header->type == record_type::message ||
                                       (header->type == record_type::message_with_file &&
                                        header->body_bytes == body_reference_bytes));
    if (!is_message || header->lsn != where.lsn || header->message_id != message_id ||
        header->body_bytes > where.record_bytes ||
        record_bytes(header->meta_bytes, header->body_bytes) != where.record_bytes ||
        !meta_holds(record, *header, key) || !body_holds(record, *header, key)) {
        return std::nullopt;
    }
    stored_message message;
    message.meta = {record + record_header_bytes, header->meta_bytes};
    message.body = {record + body_start(header->meta_bytes), header->body_bytes};
    if (header->type == record_type::message_with_file) {
        message.reference = decode_body_reference(message.body.data());
        message.body = {};
    }
    return message;
}

} // namespace ebbgate::spool
