// What the spool needs from a disk: a blocking namespace side and an asynchronous data side.
//
// Input   Paths relative to the spool folder; offsets, lengths and buffers in whole 4 KiB blocks.
// Output  Bytes, or a failure (no_space for ENOSPC and EDQUOT, io for the rest).
// Owner   `directory`: worker threads and recovery, may block. `device`: one shard thread, must
// not. Bounds  A file id is an int that both sides of one storage understand (a descriptor on
// POSIX).

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::spool {

// Every offset, length and buffer address handed to a storage is a multiple of this.
inline constexpr std::size_t block_bytes = 4 * kib;

using file_id = int;
inline constexpr file_id no_file = -1;

// One operation of a device. Owned by whoever submits it, untouched until `on_complete` runs.
struct completion {
    // `outcome` is the count of bytes moved (0 for a sync) or -errno.
    void (*on_complete)(completion&, std::int64_t outcome) noexcept = nullptr;

    // For the device while the operation is under way: linked results, list links, what it likes.
    std::int64_t device_words[4] = {};
};

// The data path. No call completes inside itself: `on_complete` runs later, from the device's loop.
// One file may have several writes at different offsets under way; their order is not defined.
class device {
public:
    virtual ~device() = default;
    virtual void
    write(file_id file, std::uint64_t offset, const char* data, std::size_t bytes, completion&) = 0;
    // On success the bytes, and the metadata needed to read them, survive a power cut.
    virtual void write_durable(
        file_id file, std::uint64_t offset, const char* data, std::size_t bytes, completion&) = 0;
    virtual void sync(file_id file, completion&) = 0;
    virtual void
    read(file_id file, std::uint64_t offset, char* data, std::size_t bytes, completion&) = 0;
};

struct directory_entry {
    std::string name;
    std::uint64_t bytes = 0;
    bool is_folder = false;
};

// The namespace and recovery side. Every call blocks until it is done.
class directory {
public:
    virtual ~directory() = default;

    // Takes the only lock of the spool folder, kept until this object ends.
    virtual result<void> lock() = 0;
    // An absent folder lists as empty.
    virtual result<std::vector<directory_entry>> list(const std::string& folder) = 0;
    // Fine when it exists already; the parent folder is synced.
    virtual result<void> make_folder(const std::string& folder) = 0;

    virtual result<file_id> open(const std::string& path) = 0;
    // Fails when the file exists. The zeros are written, not just reserved, and synced with the
    // folder, so later writes inside the file change no metadata.
    virtual result<file_id> create_zeroed(const std::string& path, std::uint64_t bytes) = 0;
    virtual void close(file_id file) noexcept = 0;

    // Bytes read; fewer than asked only at the end of the file.
    virtual result<std::size_t>
    read_at(file_id file, std::uint64_t offset, char* data, std::size_t bytes) = 0;
    virtual result<void> write_at(file_id file, std::uint64_t offset, byte_view data) = 0;
    virtual result<void> sync(file_id file) = 0;
    virtual result<std::uint64_t> file_bytes(file_id file) = 0;

    virtual result<void> rename(const std::string& from, const std::string& to) = 0;
    virtual result<void> unlink(const std::string& path) = 0;
    virtual result<void> sync_folder(const std::string& folder) = 0;
    virtual result<std::uint64_t> free_bytes() = 0;
};

// Block-aligned memory of whole blocks, zero-filled when made.
class aligned_buffer {
public:
    aligned_buffer() = default;
    explicit aligned_buffer(std::size_t bytes);
    aligned_buffer(aligned_buffer&& other) noexcept;
    aligned_buffer& operator=(aligned_buffer&& other) noexcept;
    ~aligned_buffer();

    [[nodiscard]] char* data() noexcept { return data_; }

    [[nodiscard]] const char* data() const noexcept { return data_; }

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    char* data_ = nullptr;
    std::size_t bytes_ = 0;
};

} // namespace ebbgate::spool
