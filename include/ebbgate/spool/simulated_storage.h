// A disk in memory that loses what was not synced: the spool's power-cut tests run on it.
//
// Input   The calls of both sides of storage.h.
// Output  crash(): what a disk may hold after a power cut at this moment.
// Owner   One thread. Device operations run in poll(), one at a time if wanted.
// Bounds  Memory for every file twice, and for each write that was not synced yet.

#pragma once

#include "ebbgate/spool/storage.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace ebbgate::spool {

// Unit in which a real disk writes whole or not at all.
inline constexpr std::size_t sector_bytes = 512;

enum class disk_fault : std::uint8_t {
    io_error,    // -EIO; sectors of a write may have arrived.
    no_space,    // -ENOSPC; nothing was written.
    short_write, // Half of it.
    lost_sync,   // A sync fails and forgets: the next one succeeds without the data.
};

// What survives of writes that were not synced.
enum class crash_mode : std::uint8_t {
    nothing,        // None of them.
    everything,     // All of them.
    prefix,         // The first ones, the last of these cut at a sector.
    random_writes,  // Any subset, whole.
    random_sectors, // Any subset of their sectors: torn and reordered.
};
inline constexpr int crash_mode_count = 5;

class simulated_disk {
public:
    simulated_disk() = default;

    // What is on the disk after a power cut now: a new disk, nothing of it unsynced.
    [[nodiscard]] std::unique_ptr<simulated_disk> crash(crash_mode mode,
                                                        std::mt19937_64& random) const;

    // The operation after `count` further ones (writes and syncs of both sides) fails so.
    void fail_after(std::uint64_t count, disk_fault fault, std::uint64_t seed);

    [[nodiscard]] bool fault_is_armed() const noexcept { return fault_armed_; }

    [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }

    // The bytes of a file as the next read sees them, to damage or inspect; null if absent.
    [[nodiscard]] std::string* contents(const std::string& path);
    // Whole, synced, as if it had been there always.
    void put_file(const std::string& path, std::string bytes);

    void set_free_bytes(std::uint64_t bytes) noexcept { free_bytes_ = bytes; }

private:
    friend class simulated_directory;
    friend class simulated_device;

    struct pending_write {
        std::uint64_t order = 0;
        std::uint64_t offset = 0;
        std::string bytes;
    };

    struct inode {
        std::string now;     // What reads see.
        std::string durable; // What surely survives.
        std::vector<pending_write> pending;
    };

    using name_map = std::map<std::string, std::size_t>; // To an index into inodes_.

    // What an operation returns: bytes, or -errno.
    std::int64_t write(file_id file, std::uint64_t offset, byte_view data, bool is_durable);
    std::int64_t sync(file_id file);
    std::int64_t read(file_id file, std::uint64_t offset, char* out, std::size_t bytes) const;
    [[nodiscard]] inode* find(file_id file);
    [[nodiscard]] bool fault_is_due();
    void put_pending(inode& into, std::uint64_t offset, byte_view data);
    static void put_bytes(std::string& into, std::uint64_t offset, byte_view data);
    file_id open_inode(std::size_t index);

    std::vector<inode> inodes_;
    name_map names_;
    name_map durable_names_;
    std::vector<std::size_t> open_; // File id to inode.
    std::uint64_t write_order_ = 0;
    std::uint64_t operations_ = 0;
    std::uint64_t fault_at_ = 0;
    bool fault_armed_ = false;
    disk_fault fault_ = disk_fault::io_error;
    std::mt19937_64 fault_random_;
    std::uint64_t free_bytes_ = std::uint64_t{1} << 40;
};

class simulated_directory final : public directory {
public:
    explicit simulated_directory(simulated_disk& disk) : disk_(&disk) {}

    result<void> lock() override { return {}; }

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

    result<std::uint64_t> free_bytes() override { return disk_->free_bytes_; }

private:
    simulated_disk* disk_;
};

class simulated_device final : public device {
public:
    explicit simulated_device(simulated_disk& disk) : disk_(&disk) {}

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

    // Runs all operations queued now, and their completions.
    std::size_t poll();
    // In two steps, so that a power cut can come between the disk's work and its completion.
    bool run_one();
    bool complete_one();
    // A write that is under way when the power goes leaves some of its sectors as pending.
    void begin_one();

private:
    enum class kind : std::uint8_t { write, write_durable, sync, read };

    struct operation {
        kind what = kind::sync;
        file_id file = no_file;
        std::uint64_t offset = 0;
        char* data = nullptr;
        std::size_t bytes = 0;
        completion* done = nullptr;
        std::int64_t outcome = 0;
    };

    void run(operation& todo);

    simulated_disk* disk_;
    std::deque<operation> queue_;
    std::deque<operation> ran_;
};

} // namespace ebbgate::spool
