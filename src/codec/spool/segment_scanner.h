// Walks one segment and says which groups and records in it hold.
//
// Input   An open segment file whose header block was decoded.
// Output  Groups in order, each whole (its COMMIT and every checksum hold) or damaged.
// Owner   Recovery; blocks.
// Fails   Never: a block that cannot be read counts as damaged.
// Bounds  A window of 1 MiB, larger only for a record that is larger.
// Specs   docs/spool-format.md, "Recovery".

#pragma once

#include "ebbgate/spool/storage.h"

#include "codec/spool/format.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::spool {

struct scanned_record {
    record_header header;
    bool meta_is_good = false;
    bool body_is_good = false;
    std::string meta;         // When it is good; not of a message: see read_metas().
    body_reference reference; // Of a message whose body is in a file.
};

struct scanned_group {
    bool is_whole = false;
    bool follows_hole = false; // Something unreadable lies before it in this segment.
    std::uint64_t first_lsn = 0;
    std::uint64_t last_lsn = 0;
    std::uint64_t durable_lsn = 0; // 0 without a good COMMIT.
    std::uint64_t bytes = 0;
    std::vector<scanned_record> records; // Without the COMMIT.
};

class group_handler {
public:
    virtual ~group_handler() = default;
    virtual void on_group(scanned_group&& group) = 0;
};

class segment_scanner {
public:
    segment_scanner(directory& files, file_id file, const segment_header& header);

    void scan(group_handler& handler);

private:
    // Bytes from `offset`, valid until the next call.
    const char* view(std::uint64_t offset, std::uint64_t bytes);
    void load(std::uint64_t offset, std::uint64_t bytes);
    std::uint64_t take_record(const record_header& header, std::uint64_t at);
    std::uint64_t
    take_commit(const record_header& header, std::uint64_t at, group_handler& handler);
    void emit(group_handler& handler);

    directory* files_;
    file_id file_;
    std::uint64_t key_;
    std::uint64_t end_;
    aligned_buffer window_;
    std::uint64_t window_offset_ = 0;
    std::uint64_t window_bytes_ = 0;

    scanned_group group_;
    std::uint64_t group_offset_ = 0;
    std::uint64_t chain_ = 0;
    std::uint64_t last_lsn_ = 0;
    bool group_is_damaged_ = false;
    bool hole_seen_ = false;
};

} // namespace ebbgate::spool
