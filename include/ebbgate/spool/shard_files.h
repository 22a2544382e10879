// The open files of one shard: which segment and body file holds what is still needed.
//
// Owner   One shard thread (inside its writer). Readers pin what they read.
// Bounds  One entry a segment or body file; 8 bytes a message for relocation.

#pragma once

#include "ebbgate/spool/location.h"
#include "ebbgate/spool/storage.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace ebbgate::spool {

struct segment_entry {
    std::uint64_t segment_id = 0;
    std::uint64_t seed = 0;
    file_id file = no_file;
    std::uint32_t file_number = 0;
    std::uint32_t live_messages = 0;
    std::uint32_t pins = 0;
    std::uint64_t live_bytes = 0;
    std::vector<std::uint64_t> message_ids; // Stored here at some time; for relocation.
};

struct body_file_entry {
    file_id file = no_file;
    std::uint32_t references = 0; // Live messages, plus one while a body is streaming in.
    std::uint32_t pins = 0;
    bool dead = false; // A write or sync failed: not used again by this process.
};

class shard_files {
public:
    // Segments in order of id, oldest first.
    [[nodiscard]] const std::deque<segment_entry>& segments() const noexcept { return segments_; }

    [[nodiscard]] const std::vector<body_file_entry>& body_files() const noexcept {
        return body_files_;
    }

    [[nodiscard]] const segment_entry* find(std::uint64_t segment_id) const noexcept;
    [[nodiscard]] segment_entry* find(std::uint64_t segment_id) noexcept;
    [[nodiscard]] const body_file_entry* body(std::uint32_t number) const noexcept;

    void add_segment(segment_entry entry);
    // The oldest segment, when nothing in it is live or pinned.
    [[nodiscard]] bool oldest_is_dead() const noexcept;
    segment_entry take_oldest();

    void add_body_file(std::uint32_t number, file_id file);
    // A body file nobody needs, or no_body_file.
    [[nodiscard]] std::uint32_t find_free_body_file() const noexcept;
    [[nodiscard]] std::uint32_t free_body_files() const noexcept;
    void reference_body(std::uint32_t number) noexcept;
    void release_body(std::uint32_t number) noexcept;
    void mark_body_dead(std::uint32_t number) noexcept;

    // So many more follow there.
    void expect_live(std::uint64_t segment_id, std::size_t messages);
    // One more, or one less, live message at `where` (its segment, and its body file if any).
    void add_live(std::uint64_t message_id, const location& where);
    void drop_live(const location& where) noexcept;

    // While pinned, the bytes at `where` are not written over.
    void pin(const location& where) noexcept;
    void unpin_record(const location& where) noexcept; // Its segment.
    void unpin_body(const location& where) noexcept;   // Its body file, when it has one.

    [[nodiscard]] std::uint64_t live_bytes() const noexcept { return live_bytes_; }

private:
    std::deque<segment_entry> segments_;
    std::vector<body_file_entry> body_files_;
    std::uint64_t live_bytes_ = 0;
};

} // namespace ebbgate::spool
