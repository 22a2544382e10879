// verify and export of a stopped spool: recovery, then every body read once more.

#include "ebbgate/spool/recovery.h"

#include "codec/spool/export_folder.h"
#include "codec/spool/format.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace ebbgate::spool {

namespace {

constexpr std::size_t piece_bytes = 256 * kib;

struct hash_state_deleter {
    void operator()(XXH3_state_t* state) const noexcept { XXH3_freeState(state); }
};

class verifying_sink final : public export_sink {
public:
    result<void> begin(const exported_message&) override { return {}; }

    result<void> body(byte_view) override { return {}; }

    result<void> end(bool) override { return {}; }
};

void add(recovery_counts& sum, const recovery_counts& more) {
    sum.segments += more.segments;
    sum.groups += more.groups;
    sum.records += more.records;
    sum.torn_tail_bytes += more.torn_tail_bytes;
    sum.corrupt_records += more.corrupt_records;
    sum.salvaged_records += more.salvaged_records;
    sum.voided += more.voided;
    sum.duplicates_removed += more.duplicates_removed;
    sum.missing_body_files += more.missing_body_files;
    sum.damaged_segments += more.damaged_segments;
}

class exporter {
public:
    exporter(directory& files, export_sink& sink) : files_(&files), sink_(&sink) {}

    result<verify_report> run();

private:
    result<void> export_shard(const recovered_shard& shard);
    result<void> export_message(const recovered_shard& shard, const recovered_message& message);
    result<bool> export_body(const recovered_shard& shard, const body_reference& reference);
    void close_all(const recovered_shard& shard) noexcept;

    directory* files_;
    export_sink* sink_;
    verify_report report_;
    aligned_buffer buffer_{piece_bytes};
};

result<bool> exporter::export_body(const recovered_shard& shard, const body_reference& reference) {
    const body_file_entry* body = shard.start.files.body(reference.file_number);
    if (body == nullptr) {
        return false;
    }
    const std::unique_ptr<XXH3_state_t, hash_state_deleter> hasher(XXH3_createState());
    if (hasher == nullptr) {
        return fail(failure_kind::no_space, "spool: no memory for a hash state");
    }
    XXH3_64bits_reset_withSeed(hasher.get(), reference.seed);
    for (std::uint64_t at = 0; at < reference.bytes;) {
        const std::size_t wanted =
            static_cast<std::size_t>(std::min<std::uint64_t>(reference.bytes - at, piece_bytes));
        const auto got = files_->read_at(body->file,
                                         at,
                                         buffer_.data(),
                                         static_cast<std::size_t>(round_up(wanted, block_bytes)));
        if (!got || *got < wanted) {
            return false;
        }
        XXH3_64bits_update(hasher.get(), buffer_.data(), wanted);
        if (auto passed = sink_->body({buffer_.data(), wanted}); !passed) {
            return std::unexpected(passed.error());
        }
        at += wanted;
    }
    return XXH3_64bits_digest(hasher.get()) == reference.hash;
}

result<void> exporter::export_message(const recovered_shard& shard,
                                      const recovered_message& message) {
    const location& where = message.where;
    const segment_entry* segment = shard.start.files.find(where.segment_id);
    const std::uint64_t first = where.offset / block_bytes * block_bytes;
    aligned_buffer record(where.offset + where.record_bytes - first);
    const auto got = files_->read_at(segment->file, first, record.data(), record.bytes());
    const auto stored = got && *got == record.bytes()
                            ? decode_stored_message(record.data() + (where.offset - first),
                                                    message.id,
                                                    where,
                                                    segment_key(segment->seed, segment->segment_id))
                            : std::nullopt;
    byte_view meta = stored ? stored->meta : byte_view();
    if (!stored && got && *got == record.bytes()) {
        meta = decode_stored_meta(record.data() + (where.offset - first),
                                  message.id,
                                  where,
                                  segment_key(segment->seed, segment->segment_id));
    }
    auto passed = sink_->begin({message.id, meta, message.state, where.body_bytes});
    if (!passed) {
        return passed;
    }
    bool is_intact = stored.has_value();
    const body_reference reference = stored ? stored->reference : body_reference();
    if (is_intact && where.body_file == no_body_file) {
        passed = sink_->body(stored->body);
    } else if (is_intact) {
        const auto body = export_body(shard, reference);
        if (!body) {
            return std::unexpected(body.error());
        }
        is_intact = *body;
    }
    if (!passed) {
        return passed;
    }
    report_.damaged_bodies += is_intact ? 0 : 1;
    return sink_->end(is_intact);
}

result<void> exporter::export_shard(const recovered_shard& shard) {
    ++report_.shards;
    report_.live_messages += shard.live.size();
    report_.damaged_bodies += shard.damaged.size();
    add(report_.counts, shard.counts);
    for (const recovered_message& message : shard.live) {
        if (auto done = export_message(shard, message); !done) {
            return done;
        }
    }
    return {};
}

void exporter::close_all(const recovered_shard& shard) noexcept {
    for (const segment_entry& segment : shard.start.files.segments()) {
        files_->close(segment.file);
    }
    for (const retired_segment& retired : shard.start.reusable) {
        files_->close(retired.file);
    }
    for (const body_file_entry& body : shard.start.files.body_files()) {
        files_->close(body.file);
    }
}

result<verify_report> exporter::run() {
    const auto meta = open_spool(*files_, 0);
    if (!meta) {
        return std::unexpected(meta.error());
    }
    for (std::uint32_t shard = 0; shard < meta->shard_count; ++shard) {
        recovery_options options;
        options.shard = shard;
        const auto recovered = recover_shard(*files_, *meta, options);
        if (!recovered) {
            return std::unexpected(recovered.error());
        }
        auto done = export_shard(*recovered);
        close_all(*recovered);
        if (!done) {
            return std::unexpected(done.error());
        }
    }
    return report_;
}

} // namespace

result<verify_report> verify_spool(directory& files) {
    verifying_sink sink;
    return export_spool(files, sink);
}

result<verify_report> export_spool(directory& files, export_sink& sink) {
    return exporter(files, sink).run();
}

result<verify_report> export_spool_to_folder(directory& files, const std::string& out_folder) {
    folder_sink sink(out_folder);
    return export_spool(files, sink);
}

} // namespace ebbgate::spool
