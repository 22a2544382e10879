// Arbitrary bytes as the segment file of a spool. Recovery must not crash, and the law is: whatever
// it calls live reads back with checksums that hold, and is found again by a second recovery.
//
// The first byte chooses: even, the bytes are the whole file; odd, they are the records of a
// segment with a good header of known seed, so that mutations reach the record and group rules.
// With bit 1 set too, the checksums are made good after the mutation: fields of any value then pass
// for ours.

#include "ebbgate/base/assert.h"
#include "ebbgate/spool/recovery.h"
#include "ebbgate/spool/simulated_storage.h"

#include "codec/spool/format.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace ebbgate;
using namespace ebbgate::spool;

constexpr std::uint64_t file_bytes = 64 * kib;
constexpr std::uint64_t seed = 0x0123456789ABCDEF;
constexpr std::uint64_t segment_id = 7;

// Makes every checksum of every record in `file` hold, whatever its fields say.
void repair(std::string& file) {
    const std::uint64_t key = segment_key(seed, segment_id);
    const std::uint64_t end = file.size() - block_bytes;
    for (std::uint64_t at = block_bytes; at + record_header_bytes <= end; at += record_alignment) {
        char* record = file.data() + at;
        if (byte_view(record, 4) != "RRec") {
            continue;
        }
        record_header header;
        header.type = static_cast<record_type>(static_cast<unsigned char>(record[4]) % 7 + 1);
        header.lsn = get<std::uint64_t>(record + 8);
        header.message_id = get<std::uint64_t>(record + 16);
        header.meta_bytes = get<std::uint32_t>(record + 24);
        header.offset = static_cast<std::uint32_t>(at);
        header.body_bytes = get<std::uint64_t>(record + 32);
        const bool fits = header.body_bytes <= end && header.meta_bytes <= end &&
                          record_bytes(header.meta_bytes, header.body_bytes) <= end - at;
        if (fits) {
            const byte_view meta(record + record_header_bytes, header.meta_bytes);
            const byte_view body(record + body_start(header.meta_bytes), header.body_bytes);
            header.meta_hash = hash_of(meta, key ^ header.lsn);
            header.body_hash = hash_of(body, key ^ header.lsn);
        }
        encode_record_header(record, header, key);
    }
}

std::string file_from(byte_view input) {
    const bool is_whole_file = input.empty() || (input[0] & 1) == 0;
    const bool is_repaired = !is_whole_file && (input[0] & 2) != 0;
    if (!input.empty()) {
        input.remove_prefix(1);
    }
    std::string file(file_bytes, '\0');
    const std::size_t start = is_whole_file ? 0 : block_bytes;
    const std::size_t room = file_bytes - start - (is_whole_file ? 0 : block_bytes);
    input.copy(file.data() + start, std::min<std::size_t>(room, input.size()));
    if (!is_whole_file) {
        segment_header header;
        header.segment_id = segment_id;
        header.seed = seed;
        header.segment_bytes = file_bytes;
        encode_segment_header(file.data(), header);
    }
    if (is_repaired) {
        repair(file);
    }
    return file;
}

void check_live(simulated_directory& files, const recovered_shard& shard) {
    std::vector<std::string> metas;
    for (const recovered_message& message : shard.live) {
        const segment_entry* segment = shard.start.files.find(message.where.segment_id);
        EBBGATE_ASSERT(segment != nullptr);
        EBBGATE_ASSERT(message.where.offset + message.where.record_bytes <= file_bytes);
        aligned_buffer bytes(file_bytes);
        const auto got = files.read_at(segment->file, 0, bytes.data(), bytes.bytes());
        EBBGATE_ASSERT(got && *got == file_bytes);
        const auto stored = decode_stored_message(bytes.data() + message.where.offset,
                                                  message.id,
                                                  message.where,
                                                  segment_key(segment->seed, segment->segment_id));
        EBBGATE_ASSERT(stored);
        metas.emplace_back(stored->meta);
    }
    std::size_t visited = 0;
    read_metas(files,
               shard.start.files,
               shard.live,
               [&](const recovered_message&, std::optional<byte_view> meta) {
                   EBBGATE_ASSERT(meta && *meta == metas.at(visited));
                   ++visited;
               });
    EBBGATE_ASSERT(visited == metas.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    simulated_disk disk;
    simulated_directory files(disk);
    disk.put_file("s00/00000000.seg", file_from({reinterpret_cast<const char*>(data), size}));
    spool_meta meta; // Identity of zeros, as in the good header.
    meta.shard_count = 1;
    const auto first = recover_shard(files, meta, {0, file_bytes});
    EBBGATE_ASSERT(first.has_value());
    check_live(files, *first);
    const auto second = recover_shard(files, meta, {0, file_bytes});
    EBBGATE_ASSERT(second.has_value() && second->live.size() == first->live.size() &&
                   second->start.next_lsn == first->start.next_lsn);
    return 0;
}
