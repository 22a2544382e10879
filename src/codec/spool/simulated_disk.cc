#include "ebbgate/spool/simulated_storage.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ebbgate::spool {

namespace {

bool toss(std::mt19937_64& random) {
    return (random() & 1) != 0;
}

std::unexpected<failure> disk_failure(std::int64_t outcome, const std::string& what) {
    return fail(outcome == -ENOSPC ? failure_kind::no_space : failure_kind::io,
                "simulated disk: " + what);
}

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

} // namespace

void simulated_disk::put_bytes(std::string& into, std::uint64_t offset, byte_view data) {
    if (into.size() < offset + data.size()) {
        into.resize(offset + data.size(), '\0');
    }
    std::memcpy(into.data() + offset, data.data(), data.size());
}

void simulated_disk::put_pending(inode& into, std::uint64_t offset, byte_view data) {
    put_bytes(into.now, offset, data);
    into.pending.push_back({write_order_++, offset, std::string(data)});
}

std::unique_ptr<simulated_disk> simulated_disk::crash(crash_mode mode,
                                                      std::mt19937_64& random) const {
    auto after = std::make_unique<simulated_disk>();
    after->free_bytes_ = free_bytes_;
    std::vector<std::pair<std::size_t, const pending_write*>> writes;
    for (std::size_t index = 0; index < inodes_.size(); ++index) {
        inode survivor;
        survivor.durable = inodes_[index].durable;
        after->inodes_.push_back(std::move(survivor));
        for (const pending_write& write : inodes_[index].pending) {
            writes.emplace_back(index, &write);
        }
    }
    std::sort(writes.begin(), writes.end(), [](const auto& a, const auto& b) {
        return a.second->order < b.second->order;
    });
    const std::size_t cut = writes.empty() ? 0 : random() % (writes.size() + 1);
    for (std::size_t index = 0; index < writes.size(); ++index) {
        const pending_write& write = *writes[index].second;
        std::string& into = after->inodes_[writes[index].first].durable;
        const bool is_cut_here = mode == crash_mode::prefix && index == cut;
        const std::size_t sectors_kept = random() % (write.bytes.size() / sector_bytes + 1);
        const bool keep_whole = mode == crash_mode::everything ||
                                (mode == crash_mode::prefix && index < cut) ||
                                (mode == crash_mode::random_writes && toss(random));
        for (std::size_t at = 0; at < write.bytes.size(); at += sector_bytes) {
            if (keep_whole || (is_cut_here && at / sector_bytes < sectors_kept) ||
                (mode == crash_mode::random_sectors && toss(random))) {
                put_bytes(into, write.offset + at, byte_view(write.bytes).substr(at, sector_bytes));
            }
        }
    }
    for (inode& each : after->inodes_) {
        each.now = each.durable;
    }
    const bool names_survive =
        mode == crash_mode::everything || (mode != crash_mode::nothing && toss(random));
    after->names_ = names_survive ? names_ : durable_names_;
    after->durable_names_ = after->names_;
    return after;
}

void simulated_disk::fail_after(std::uint64_t count, disk_fault fault, std::uint64_t seed) {
    fault_at_ = operations_ + count;
    fault_ = fault;
    fault_armed_ = true;
    fault_random_.seed(seed);
}

bool simulated_disk::fault_is_due() {
    const bool due = fault_armed_ && operations_ >= fault_at_;
    ++operations_;
    return due;
}

simulated_disk::inode* simulated_disk::find(file_id file) {
    const auto index = static_cast<std::size_t>(file);
    return file >= 0 && index < open_.size() ? &inodes_[open_[index]] : nullptr;
}

file_id simulated_disk::open_inode(std::size_t index) {
    open_.push_back(index);
    return static_cast<file_id>(open_.size() - 1);
}

std::int64_t
simulated_disk::write(file_id file, std::uint64_t offset, byte_view data, bool is_durable) {
    inode* into = find(file);
    if (into == nullptr) {
        return -EBADF;
    }
    if (fault_is_due()) {
        // A lost sync waits for an operation that syncs.
        const bool waits = fault_ == disk_fault::lost_sync && !is_durable;
        if (!waits) {
            fault_armed_ = false;
        }
        switch (fault_) {
        case disk_fault::no_space:
            return -ENOSPC;
        case disk_fault::io_error:
            for (std::size_t at = 0; at < data.size(); at += sector_bytes) {
                if (toss(fault_random_)) {
                    put_pending(*into, offset + at, data.substr(at, sector_bytes));
                }
            }
            return -EIO;
        case disk_fault::short_write:
            data = data.substr(0, data.size() / 2 / sector_bytes * sector_bytes);
            break;
        case disk_fault::lost_sync:
            if (is_durable) {
                put_bytes(into->now, offset, data); // The cache has it, the disk never will.
                return -EIO;
            }
            break;
        }
    }
    if (!is_durable) {
        put_pending(*into, offset, data);
        return static_cast<std::int64_t>(data.size());
    }
    put_bytes(into->now, offset, data);
    put_bytes(into->durable, offset, data);
    std::erase_if(into->pending, [&](const pending_write& older) {
        return older.offset >= offset && older.offset + older.bytes.size() <= offset + data.size();
    });
    return static_cast<std::int64_t>(data.size());
}

std::int64_t simulated_disk::sync(file_id file) {
    inode* into = find(file);
    if (into == nullptr) {
        return -EBADF;
    }
    if (fault_is_due()) {
        fault_armed_ = false;
        if (fault_ == disk_fault::lost_sync) {
            into->pending.clear();
        }
        return fault_ == disk_fault::no_space ? -ENOSPC : -EIO;
    }
    for (const pending_write& write : into->pending) {
        put_bytes(into->durable, write.offset, write.bytes);
    }
    into->pending.clear();
    return 0;
}

std::int64_t
simulated_disk::read(file_id file, std::uint64_t offset, char* out, std::size_t bytes) const {
    const auto index = static_cast<std::size_t>(file);
    if (file < 0 || index >= open_.size()) {
        return -EBADF;
    }
    const std::string& from = inodes_[open_[index]].now;
    const std::uint64_t end = std::min<std::uint64_t>(from.size(), offset + bytes);
    const std::size_t got = offset < end ? static_cast<std::size_t>(end - offset) : 0;
    std::memcpy(out, from.data() + std::min<std::uint64_t>(offset, from.size()), got);
    return static_cast<std::int64_t>(got);
}

std::string* simulated_disk::contents(const std::string& path) {
    const auto at = names_.find(path);
    return at == names_.end() ? nullptr : &inodes_[at->second].now;
}

void simulated_disk::put_file(const std::string& path, std::string bytes) {
    inode file;
    file.durable = bytes;
    file.now = std::move(bytes);
    inodes_.push_back(std::move(file));
    names_[path] = inodes_.size() - 1;
    durable_names_[path] = inodes_.size() - 1;
}

result<std::vector<directory_entry>> simulated_directory::list(const std::string& folder) {
    std::vector<directory_entry> entries;
    for (const auto& [path, index] : disk_->names_) {
        if (parent_of(path) == folder) {
            const std::string name = folder.empty() ? path : path.substr(folder.size() + 1);
            entries.push_back({name, disk_->inodes_[index].now.size(), false});
        }
    }
    return entries;
}

result<void> simulated_directory::make_folder(const std::string&) {
    return {}; // Folders exist as soon as something is in them.
}

result<file_id> simulated_directory::open(const std::string& path) {
    const auto at = disk_->names_.find(path);
    if (at == disk_->names_.end()) {
        return disk_failure(-ENOENT, "no file " + path);
    }
    return disk_->open_inode(at->second);
}

result<file_id> simulated_directory::create_zeroed(const std::string& path, std::uint64_t bytes) {
    if (disk_->names_.contains(path)) {
        return disk_failure(-EEXIST, "exists: " + path);
    }
    if (disk_->fault_is_due()) {
        disk_->fault_armed_ = false;
        return disk_failure(disk_->fault_ == disk_fault::no_space ? -ENOSPC : -EIO, path);
    }
    disk_->put_file(path, std::string(bytes, '\0'));
    return disk_->open_inode(disk_->inodes_.size() - 1);
}

void simulated_directory::close(file_id) noexcept {}

result<std::size_t>
simulated_directory::read_at(file_id file, std::uint64_t offset, char* data, std::size_t bytes) {
    const std::int64_t outcome = disk_->read(file, offset, data, bytes);
    return outcome < 0 ? disk_failure(outcome, "read")
                       : result<std::size_t>(static_cast<std::size_t>(outcome));
}

result<void> simulated_directory::write_at(file_id file, std::uint64_t offset, byte_view data) {
    const std::int64_t outcome = disk_->write(file, offset, data, false);
    return outcome == static_cast<std::int64_t>(data.size()) ? result<void>()
                                                             : disk_failure(outcome, "write");
}

result<void> simulated_directory::sync(file_id file) {
    const std::int64_t outcome = disk_->sync(file);
    return outcome == 0 ? result<void>() : disk_failure(outcome, "sync");
}

result<std::uint64_t> simulated_directory::file_bytes(file_id file) {
    const simulated_disk::inode* inode = disk_->find(file);
    return inode == nullptr ? disk_failure(-EBADF, "file size")
                            : result<std::uint64_t>(inode->now.size());
}

result<void> simulated_directory::rename(const std::string& from, const std::string& to) {
    const auto at = disk_->names_.find(from);
    if (at == disk_->names_.end()) {
        return disk_failure(-ENOENT, "no file " + from);
    }
    disk_->names_[to] = at->second;
    disk_->names_.erase(from);
    return {};
}

result<void> simulated_directory::unlink(const std::string& path) {
    return disk_->names_.erase(path) == 1 ? result<void>() : disk_failure(-ENOENT, path);
}

result<void> simulated_directory::sync_folder(const std::string& folder) {
    std::erase_if(disk_->durable_names_,
                  [&](const auto& entry) { return parent_of(entry.first) == folder; });
    for (const auto& [path, index] : disk_->names_) {
        if (parent_of(path) == folder) {
            disk_->durable_names_[path] = index;
        }
    }
    return {};
}

} // namespace ebbgate::spool
