// Both sides of a storage on plain system calls: for tools, recovery and tests.
//
// Owner   As storage.h says. Device operations run inside poll(), in order of submission.
// Bounds  O_DIRECT where the file system has it, unless asked not to.

#pragma once

#include "ebbgate/spool/storage.h"

#include <deque>
#include <memory>
#include <string>

namespace ebbgate::spool {

class posix_directory final : public directory {
public:
    struct options {
        bool direct = true;
        bool read_only = false; // Nothing is created or changed, apart from the lock file.
    };

    explicit posix_directory(std::string root);
    posix_directory(std::string root, options how);
    ~posix_directory() override;
    posix_directory(const posix_directory&) = delete;
    posix_directory& operator=(const posix_directory&) = delete;

    result<void> lock() override;
    result<std::vector<directory_entry>> list(const std::string& folder) override;
    result<void> make_folder(const std::string& folder) override;
    result<file_id> open(const std::string& path) override;
    result<file_id> create_zeroed(const std::string& path, std::uint64_t bytes) override;
    void close(file_id file) noexcept override;
    result<std::size_t>
    read_at(file_id file, std::uint64_t offset, char* data, std::size_t bytes) override;
    result<void> write_at(file_id file, std::uint64_t offset, byte_view data) override;
    result<void> sync(file_id file) override;
    result<std::uint64_t> file_bytes(file_id file) override;
    result<void> rename(const std::string& from, const std::string& to) override;
    result<void> unlink(const std::string& path) override;
    result<void> sync_folder(const std::string& folder) override;
    result<std::uint64_t> free_bytes() override;

private:
    [[nodiscard]] std::string full(const std::string& path) const;
    result<file_id> open_with(const std::string& path, int flags) const;

    std::string root_;
    options how_;
    int lock_file_ = -1;
};

class posix_device final : public device {
public:
    void write(file_id file,
               std::uint64_t offset,
               const char* data,
               std::size_t bytes,
               completion& done) override;
    void write_durable(file_id file,
                       std::uint64_t offset,
                       const char* data,
                       std::size_t bytes,
                       completion& done) override;
    void sync(file_id file, completion& done) override;
    void read(file_id file,
              std::uint64_t offset,
              char* data,
              std::size_t bytes,
              completion& done) override;

    // Runs what is queued and its completions; returns how many.
    std::size_t poll();

private:
    enum class kind : std::uint8_t { write, write_durable, sync, read };

    struct operation {
        kind what = kind::sync;
        file_id file = no_file;
        std::uint64_t offset = 0;
        char* data = nullptr;
        std::size_t bytes = 0;
        completion* done = nullptr;
    };

    static std::int64_t run(const operation& todo) noexcept;

    std::deque<operation> queue_;
};

} // namespace ebbgate::spool
