#include "ebbgate/spool/recovery.h"

#include "codec/spool/message_table.h"
#include "codec/spool/segment_scanner.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

namespace ebbgate::spool {

namespace {

// A higher number is no file of ours: the table of body files is indexed by it.
constexpr std::uint32_t body_files_max = 1'000'000;

struct found_segment {
    std::uint32_t file_number = 0;
    file_id file = no_file;
    segment_header header;
};

// Everything recovery opened; closed again unless it is handed on.
class open_files {
public:
    explicit open_files(directory& files) : files_(&files) {}

    open_files(const open_files&) = delete;
    open_files& operator=(const open_files&) = delete;

    ~open_files() {
        for (const file_id file : files_open_) {
            files_->close(file);
        }
    }

    result<file_id> open(const std::string& path) {
        auto file = files_->open(path);
        if (file) {
            files_open_.push_back(*file);
        }
        return file;
    }

    void keep_all() noexcept { files_open_.clear(); }

private:
    directory* files_;
    std::vector<file_id> files_open_;
};

// The number in "NNNNNNNN.<kind>", or nothing for any other name.
std::optional<std::uint32_t> number_of(std::string_view name, std::string_view kind) {
    constexpr std::size_t digits = 8;
    std::uint32_t number = 0;
    if (name.size() != digits + kind.size() || name.substr(digits) != kind) {
        return std::nullopt;
    }
    const auto [end, error] = std::from_chars(name.data(), name.data() + digits, number);
    if (error != std::errc() || end != name.data() + digits) {
        return std::nullopt;
    }
    return number;
}

class shard_recovery {
public:
    shard_recovery(directory& files, const spool_meta& meta, const recovery_options& options)
        : files_(&files), meta_(&meta), options_(options), open_(files) {}

    result<recovered_shard> run();

private:
    result<void> find_segments();
    result<void> look_at(std::uint32_t number, std::uint64_t bytes);
    std::optional<segment_header> read_header(file_id file, std::uint64_t offset, bool& is_blank);
    void drop_retired();
    result<void> find_body_files();
    void scan_segments();
    void fill_start();
    void check_bodies();

    directory* files_;
    const spool_meta* meta_;
    recovery_options options_;
    open_files open_;
    recovered_shard found_;
    std::vector<found_segment> segments_;
    std::uint64_t last_accepted_lsn_ = 0;
    std::uint64_t last_used_lsn_ = 0;
};

std::optional<segment_header>
shard_recovery::read_header(file_id file, std::uint64_t offset, bool& is_blank) {
    aligned_buffer block(block_bytes);
    if (!files_->read_at(file, offset, block.data(), block.bytes())) {
        is_blank = false;
        return std::nullopt;
    }
    auto header = decode_segment_header(block.data());
    const byte_view whole{block.data(), block.bytes()};
    is_blank = is_blank && whole.find_first_not_of('\0') == byte_view::npos;
    const bool is_ours =
        header && header->spool == meta_->identity && header->shard == options_.shard &&
        header->segment_bytes >= 3 * block_bytes && header->segment_bytes % block_bytes == 0;
    return is_ours ? header : std::nullopt;
}

result<void> shard_recovery::look_at(std::uint32_t number, std::uint64_t bytes) {
    auto& start = found_.start;
    start.next_segment_file = std::max(start.next_segment_file, number + 1);
    const auto file = open_.open(segment_path(options_.shard, number));
    if (!file) {
        return std::unexpected(file.error());
    }
    // Nothing is believed that only a cache may hold.
    if (auto synced = files_->sync(*file); !synced) {
        return synced;
    }
    bool is_blank = true;
    auto header = read_header(*file, 0, is_blank);
    if (bytes >= 2 * block_bytes) {
        const std::uint64_t last = (bytes / block_bytes - 1) * block_bytes;
        const auto copy = read_header(*file, last, is_blank);
        if (copy && (!header || copy->segment_id > header->segment_id)) {
            header = copy;
        }
    }
    if (header && header->segment_bytes <= bytes) {
        segments_.push_back({number, *file, *header});
    } else if (is_blank) {
        start.reusable.push_back({options_.shard, number, 0, *file});
    } else {
        // Not written over: an operator may want to look at it.
        ++found_.counts.damaged_segments;
    }
    return {};
}

result<void> shard_recovery::find_segments() {
    const auto entries = files_->list(shard_folder(options_.shard));
    if (!entries) {
        return std::unexpected(entries.error());
    }
    for (const directory_entry& entry : *entries) {
        const auto number = number_of(entry.name, ".seg");
        if (!number || entry.is_folder) {
            continue;
        }
        if (auto seen = look_at(*number, entry.bytes); !seen) {
            return seen;
        }
    }
    std::sort(
        segments_.begin(), segments_.end(), [](const found_segment& a, const found_segment& b) {
            return a.header.segment_id < b.header.segment_id;
        });
    // A copy of a segment file in the same folder: only one of them is the log.
    const auto same_id = [](const found_segment& a, const found_segment& b) {
        return a.header.segment_id == b.header.segment_id;
    };
    const auto copies = std::unique(segments_.begin(), segments_.end(), same_id);
    found_.counts.damaged_segments += static_cast<std::uint64_t>(segments_.end() - copies);
    segments_.erase(copies, segments_.end());
    return {};
}

void shard_recovery::drop_retired() {
    std::uint64_t oldest_live = 0;
    for (const found_segment& segment : segments_) {
        oldest_live = std::max(oldest_live, segment.header.oldest_live_segment_id);
        found_.start.next_segment_id =
            std::max(found_.start.next_segment_id, segment.header.segment_id + 1);
    }
    while (!segments_.empty() && segments_.front().header.segment_id < oldest_live) {
        const found_segment& retired = segments_.front();
        found_.start.reusable.push_back(
            {options_.shard, retired.file_number, retired.header.segment_id, retired.file});
        segments_.erase(segments_.begin());
    }
}

result<void> shard_recovery::find_body_files() {
    const std::string folder = shard_folder(options_.shard) + "/body";
    const auto entries = files_->list(folder);
    if (!entries) {
        return std::unexpected(entries.error());
    }
    for (const directory_entry& entry : *entries) {
        const auto number = number_of(entry.name, ".dat");
        if (!number || entry.is_folder || *number >= body_files_max) {
            continue;
        }
        const auto file = open_.open(folder + "/" + entry.name);
        if (!file) {
            return std::unexpected(file.error());
        }
        found_.start.files.add_body_file(*number, *file);
        found_.start.next_body_file = std::max(found_.start.next_body_file, *number + 1);
    }
    return {};
}

void shard_recovery::scan_segments() {
    message_table table(found_.counts);
    for (const found_segment& segment : segments_) {
        table.enter_segment(segment.header.segment_id, segment.header.first_lsn);
        segment_scanner(*files_, segment.file, segment.header).scan(table);
    }
    table.resolve(found_.live, found_.damaged);
    found_.states = table.take_states();
    found_.highest_message_id = table.highest_message_id();
    last_accepted_lsn_ = table.last_accepted_lsn();
    last_used_lsn_ = table.last_used_lsn();
}

void shard_recovery::fill_start() {
    writer_start& start = found_.start;
    start.spool = meta_->identity;
    start.durable_lsn = last_accepted_lsn_;
    if (start.next_segment_id > 1) {
        // A group that was torn may have used numbers nobody can see any more.
        start.next_lsn = last_used_lsn_ + 1 + lsn_gap_after_crash;
        start.voided.push_back({last_accepted_lsn_ + 1, start.next_lsn - 1});
    }
    std::uint64_t oldest_live = start.next_segment_id;
    for (const auto* list : {&found_.live, &found_.damaged}) {
        for (const recovered_message& message : *list) {
            oldest_live = std::min(oldest_live, message.where.segment_id);
        }
    }
    for (const found_segment& segment : segments_) {
        if (segment.header.segment_id < oldest_live) {
            start.reusable.push_back(
                {options_.shard, segment.file_number, segment.header.segment_id, segment.file});
            continue;
        }
        segment_entry entry;
        entry.segment_id = segment.header.segment_id;
        entry.seed = segment.header.seed;
        entry.file = segment.file;
        entry.file_number = segment.file_number;
        start.files.add_segment(std::move(entry));
    }
    for (const auto* list : {&found_.live, &found_.damaged}) {
        for (auto at = list->begin(); at != list->end();) {
            // In the order of the log, and so of segments: the room for one's ids is known.
            const auto end = std::find_if(at, list->end(), [at](const recovered_message& message) {
                return message.where.segment_id != at->where.segment_id;
            });
            start.files.expect_live(at->where.segment_id, static_cast<std::size_t>(end - at));
            for (; at != end; ++at) {
                start.files.add_live(at->id, at->where);
            }
        }
    }
}

void shard_recovery::check_bodies() {
    for (const recovered_message& message : found_.live) {
        if (message.where.body_file == no_body_file) {
            continue;
        }
        const body_file_entry* body = found_.start.files.body(message.where.body_file);
        const auto bytes =
            body == nullptr ? result<std::uint64_t>(0) : files_->file_bytes(body->file);
        if (body == nullptr || !bytes || *bytes < message.where.body_bytes) {
            ++found_.counts.missing_body_files;
        }
    }
}

result<recovered_shard> shard_recovery::run() {
    if (auto found = find_segments(); !found) {
        return std::unexpected(found.error());
    }
    drop_retired();
    if (auto found = find_body_files(); !found) {
        return std::unexpected(found.error());
    }
    scan_segments();
    fill_start();
    check_bodies();
    open_.keep_all();
    return std::move(found_);
}

} // namespace

result<recovered_shard>
recover_shard(directory& files, const spool_meta& meta, const recovery_options& options) {
    return shard_recovery(files, meta, options).run();
}

} // namespace ebbgate::spool
