// read_metas: the second pass over a log, for what lies in front of the bodies.

#include "ebbgate/base/assert.h"
#include "ebbgate/spool/recovery.h"

#include "codec/spool/format.h"

#include <algorithm>
#include <span>
#include <vector>

namespace ebbgate::spool {

namespace {

constexpr std::uint64_t window_bytes_max = mib;
// What lies between two metas is read along when it is less: a read of its own takes longer.
constexpr std::uint64_t gap_bytes_max = 64 * kib;

class meta_reader {
public:
    meta_reader(directory& files, const shard_files& segments, const meta_visitor& visit)
        : files_(&files), segments_(&segments), visit_(&visit), window_(window_bytes_max) {}

    void read(std::span<const recovered_message> messages);

private:
    [[nodiscard]] static std::uint64_t end_of(const location& where);
    [[nodiscard]] static std::size_t run_from(std::span<const recovered_message> messages);
    [[nodiscard]] bool load(const location& first, std::uint64_t end);
    [[nodiscard]] std::optional<byte_view> meta_of(const recovered_message& message) const;
    void read_alone(const recovered_message& message);

    directory* files_;
    const shard_files* segments_;
    const meta_visitor* visit_;
    aligned_buffer window_;
    std::uint64_t window_offset_ = 0;
    std::uint64_t window_end_ = 0;
};

// Of the header and the meta, in the segment; or of the record, when its body is small.
std::uint64_t meta_reader::end_of(const location& where) {
    const bool is_large = where.body_file == no_body_file && where.body_bytes > gap_bytes_max;
    const std::uint64_t left_out =
        is_large
            ? std::min<std::uint64_t>(where.body_bytes, where.record_bytes - record_header_bytes)
            : 0;
    return where.offset + where.record_bytes - left_out;
}

// How many of the next messages one read brings.
std::size_t meta_reader::run_from(std::span<const recovered_message> messages) {
    const location& first = messages.front().where;
    std::uint64_t end = end_of(first);
    std::size_t count = 1;
    for (; count < messages.size(); ++count) {
        const location& next = messages[count].where;
        const bool is_near = next.segment_id == first.segment_id && next.offset >= first.offset &&
                             next.offset <= end + gap_bytes_max &&
                             end_of(next) - first.offset <= window_bytes_max - 2 * block_bytes;
        if (!is_near) {
            break;
        }
        end = std::max(end, end_of(next));
    }
    return count;
}

bool meta_reader::load(const location& first, std::uint64_t end) {
    const segment_entry* segment = segments_->find(first.segment_id);
    EBBGATE_ASSERT(segment != nullptr);
    window_offset_ = first.offset / block_bytes * block_bytes;
    const std::uint64_t bytes = round_up(end - window_offset_, block_bytes);
    if (bytes > window_.bytes()) {
        window_ = aligned_buffer(bytes);
    }
    window_end_ = window_offset_ + bytes;
    const auto got = files_->read_at(segment->file, window_offset_, window_.data(), bytes);
    return got && *got == bytes;
}

std::optional<byte_view> meta_reader::meta_of(const recovered_message& message) const {
    const location& where = message.where;
    const segment_entry* segment = segments_->find(where.segment_id);
    const std::uint64_t key = segment_key(segment->seed, segment->segment_id);
    const char* record = window_.data() + (where.offset - window_offset_);
    const auto header = decode_record_header(record, where.offset, key);
    // It may have changed since recovery: what it says now must lie in what was read.
    if (!header || header->lsn != where.lsn || header->message_id != message.id ||
        where.offset + record_header_bytes + header->meta_bytes > window_end_ ||
        !meta_holds(record, *header, key)) {
        return std::nullopt;
    }
    return byte_view(record + record_header_bytes, header->meta_bytes);
}

void meta_reader::read_alone(const recovered_message& message) {
    std::optional<byte_view> meta;
    for (int attempt = 0; attempt < 2 && !meta; ++attempt) {
        if (load(message.where, end_of(message.where))) {
            meta = meta_of(message);
        }
    }
    (*visit_)(message, meta);
}

void meta_reader::read(std::span<const recovered_message> messages) {
    while (!messages.empty()) {
        const auto run = messages.first(run_from(messages));
        messages = messages.subspan(run.size());
        std::uint64_t end = 0;
        for (const recovered_message& message : run) {
            end = std::max(end, end_of(message.where));
        }
        bool is_loaded = load(run.front().where, end);
        for (const recovered_message& message : run) {
            const auto meta = is_loaded ? meta_of(message) : std::nullopt;
            if (meta) {
                (*visit_)(message, meta);
                continue;
            }
            read_alone(message);
            is_loaded = false; // The window has that one now: the rest of the run alone too.
        }
    }
}

} // namespace

void read_metas(directory& files,
                const shard_files& segments,
                std::deque<recovered_message> messages,
                const meta_visitor& visit) {
    constexpr std::size_t together_max = 4096;
    meta_reader reader(files, segments, visit);
    std::vector<recovered_message> together;
    while (!messages.empty()) {
        const auto count = static_cast<std::ptrdiff_t>(std::min(messages.size(), together_max));
        together.assign(messages.begin(), messages.begin() + count);
        messages.erase(messages.begin(), messages.begin() + count);
        reader.read(together);
    }
}

} // namespace ebbgate::spool
