#include "ebbgate/spool/segment.h"

#include "codec/spool/format.h"
#include "codec/spool/random_seed.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

namespace ebbgate::spool {

namespace {

constexpr char meta_magic[8] = {'E', 'B', 'B', 'S', 'P', 'O', 'O', 'L'};
constexpr std::size_t meta_hashed_bytes = 32;
constexpr std::uint32_t shard_count_max = 256; // The shard is 8 bits of a message id.
constexpr const char* meta_path = "meta";
constexpr const char* meta_new_path = "meta.new";

std::string numbered(const char* form, std::uint32_t number) {
    char text[32];
    std::snprintf(text, sizeof text, form, number);
    return text;
}

std::uint64_t unix_ns() {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::system_clock::now().time_since_epoch())
                                          .count());
}

// A file from a spool configured with smaller segments is filled up to the size wanted now.
result<void> grow(directory& files, file_id file, std::uint64_t bytes) {
    const auto present = files.file_bytes(file);
    if (!present) {
        return std::unexpected(present.error());
    }
    const aligned_buffer zeros(mib);
    for (std::uint64_t at = *present / block_bytes * block_bytes; at < bytes;) {
        const std::uint64_t step = std::min<std::uint64_t>(zeros.bytes(), bytes - at);
        if (auto written = files.write_at(file, at, {zeros.data(), step}); !written) {
            return written;
        }
        at += step;
    }
    return {};
}

result<file_id> open_for(directory& files, const segment_order& order) {
    if (order.reused_file == no_file) {
        return files.create_zeroed(segment_path(order.shard, order.file_number),
                                   order.segment_bytes);
    }
    if (auto grown = grow(files, order.reused_file, order.segment_bytes); !grown) {
        return std::unexpected(grown.error());
    }
    return order.reused_file;
}

result<spool_meta> read_meta(directory& files) {
    const auto file = files.open(meta_path);
    if (!file) {
        return std::unexpected(file.error());
    }
    aligned_buffer block(block_bytes);
    const auto got = files.read_at(*file, 0, block.data(), block.bytes());
    files.close(*file);
    if (!got) {
        return std::unexpected(got.error());
    }
    const char* in = block.data();
    if (*got != block_bytes || std::memcmp(in, meta_magic, sizeof meta_magic) != 0 ||
        get<std::uint32_t>(in + 8) != format_version ||
        get<std::uint64_t>(in + meta_hashed_bytes) != hash_of({in, meta_hashed_bytes}, 0)) {
        return fail(failure_kind::corrupt, "spool: the file meta is not a spool description");
    }
    spool_meta meta;
    meta.shard_count = get<std::uint32_t>(in + 12);
    std::memcpy(meta.identity.bytes, in + 16, sizeof meta.identity.bytes);
    if (meta.shard_count == 0 || meta.shard_count > shard_count_max) {
        return fail(failure_kind::corrupt, "spool: the file meta has a wrong shard count");
    }
    return meta;
}

result<void> write_meta(directory& files, const spool_meta& meta) {
    aligned_buffer block(block_bytes);
    char* out = block.data();
    std::memcpy(out, meta_magic, sizeof meta_magic);
    put<std::uint32_t>(out + 8, format_version);
    put<std::uint32_t>(out + 12, meta.shard_count);
    std::memcpy(out + 16, meta.identity.bytes, sizeof meta.identity.bytes);
    put<std::uint64_t>(out + meta_hashed_bytes, hash_of({out, meta_hashed_bytes}, 0));
    const auto file = files.create_zeroed(meta_new_path, block_bytes);
    if (!file) {
        return std::unexpected(file.error());
    }
    auto done = files.write_at(*file, 0, {block.data(), block.bytes()});
    if (done) {
        done = files.sync(*file);
    }
    files.close(*file);
    if (done) {
        done = files.rename(meta_new_path, meta_path);
    }
    return done ? files.sync_folder("") : done;
}

} // namespace

result<prepared_segment> prepare_segment(directory& files, const segment_order& order) {
    const auto file = open_for(files, order);
    if (!file) {
        return std::unexpected(file.error());
    }
    segment_header header;
    header.spool = order.spool;
    header.segment_id = order.segment_id;
    header.first_lsn = order.first_lsn;
    header.shard = order.shard;
    header.created_unix_ns = unix_ns();
    header.oldest_live_segment_id = order.oldest_live_segment_id;
    header.segment_bytes = order.segment_bytes;
    if (!fill_random(&header.seed, sizeof header.seed)) {
        files.close(*file);
        return fail(failure_kind::io, "spool: no random bytes for a segment seed");
    }
    aligned_buffer block(block_bytes);
    encode_segment_header(block.data(), header);
    const byte_view bytes{block.data(), block.bytes()};
    // Twice, first and last block: one damaged block must not hide a whole segment.
    auto done = files.write_at(*file, 0, bytes);
    if (done) {
        done = files.write_at(*file, order.segment_bytes - block_bytes, bytes);
    }
    if (done) {
        done = files.sync(*file);
    }
    if (!done) {
        files.close(*file);
        return std::unexpected(done.error());
    }
    prepared_segment prepared{order, *file, header.seed, 0};
    if (const auto free = files.free_bytes(); free) {
        prepared.free_bytes = *free;
    }
    return prepared;
}

result<void> remove_segment(directory& files, const retired_segment& retired) {
    files.close(retired.file);
    auto done = files.unlink(segment_path(retired.shard, retired.file_number));
    // Synced each time: a younger segment, with the outcomes of this one's messages, must not
    // disappear before it.
    return done ? files.sync_folder(shard_folder(retired.shard)) : done;
}

result<prepared_body_file> prepare_body_file(directory& files, const body_file_order& order) {
    auto made = files.make_folder(shard_folder(order.shard) + "/body");
    if (!made) {
        return std::unexpected(made.error());
    }
    const auto file = files.create_zeroed(body_path(order.shard, order.file_number), 0);
    if (!file) {
        return std::unexpected(file.error());
    }
    return prepared_body_file{order.file_number, *file};
}

std::string shard_folder(std::uint32_t shard) {
    return numbered("s%02u", shard);
}

std::string segment_path(std::uint32_t shard, std::uint32_t file_number) {
    return shard_folder(shard) + numbered("/%08u.seg", file_number);
}

std::string body_path(std::uint32_t shard, std::uint32_t file_number) {
    return shard_folder(shard) + numbered("/body/%08u.dat", file_number);
}

result<spool_meta> open_spool(directory& files, std::uint32_t shard_count_if_new) {
    if (auto locked = files.lock(); !locked) {
        return std::unexpected(locked.error());
    }
    const auto entries = files.list("");
    if (!entries) {
        return std::unexpected(entries.error());
    }
    bool is_new = true;
    bool has_leftover = false;
    for (const directory_entry& entry : *entries) {
        is_new = is_new && entry.name != meta_path;
        has_leftover = has_leftover || entry.name == meta_new_path;
    }
    if (!is_new) {
        return read_meta(files);
    }
    if (shard_count_if_new == 0 || shard_count_if_new > shard_count_max) {
        return fail(failure_kind::bad_input, "spool: there is no spool in this folder");
    }
    spool_meta meta;
    meta.shard_count = shard_count_if_new;
    if (!fill_random(meta.identity.bytes, sizeof meta.identity.bytes)) {
        return fail(failure_kind::io, "spool: no random bytes for the spool identity");
    }
    if (has_leftover) {
        if (auto removed = files.unlink(meta_new_path); !removed) {
            return std::unexpected(removed.error());
        }
    }
    for (std::uint32_t shard = 0; shard < meta.shard_count; ++shard) {
        if (auto made = files.make_folder(shard_folder(shard)); !made) {
            return std::unexpected(made.error());
        }
    }
    // Beyond this point the spool exists: meta comes last.
    if (auto written = write_meta(files, meta); !written) {
        return std::unexpected(written.error());
    }
    return meta;
}

} // namespace ebbgate::spool
