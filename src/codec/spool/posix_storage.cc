#include "ebbgate/spool/posix_storage.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace ebbgate::spool {

namespace {

constexpr int lock_attempts = 100; // 5 seconds: a daemon that is just ending gets time to do so.
constexpr auto lock_pause = std::chrono::milliseconds(50);

std::unexpected<failure> system_failure(const char* what, const std::string& path) {
    const int error = errno;
    const bool full = error == ENOSPC || error == EDQUOT;
    return fail(full ? failure_kind::no_space : failure_kind::io,
                "spool: " + std::string(what) + " " + path + ": " + std::strerror(error));
}

std::unexpected<failure> system_failure(const char* what, file_id file) {
    return system_failure(what, "descriptor " + std::to_string(file));
}

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

} // namespace

posix_directory::posix_directory(std::string root) : posix_directory(std::move(root), options()) {}

posix_directory::posix_directory(std::string root, options how)
    : root_(std::move(root)), how_(how) {}

posix_directory::~posix_directory() {
    if (lock_file_ >= 0) {
        ::close(lock_file_);
    }
}

std::string posix_directory::full(const std::string& path) const {
    return path.empty() ? root_ : root_ + "/" + path;
}

result<void> posix_directory::lock() {
    if (lock_file_ >= 0) {
        return {};
    }
    const std::string path = full("LOCK");
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return system_failure("open", path);
    }
    for (int attempt = 0; attempt < lock_attempts; ++attempt) {
        if (::flock(file, LOCK_EX | LOCK_NB) == 0) {
            lock_file_ = file;
            return {};
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            break;
        }
        std::this_thread::sleep_for(lock_pause);
    }
    ::close(file);
    return fail(failure_kind::unavailable, "spool: " + path + " is held by another process");
}

result<std::vector<directory_entry>> posix_directory::list(const std::string& folder) {
    std::vector<directory_entry> entries;
    DIR* stream = ::opendir(full(folder).c_str());
    if (stream == nullptr) {
        if (errno == ENOENT) {
            return entries;
        }
        return system_failure("list", full(folder));
    }
    while (const dirent* found = ::readdir(stream)) {
        const std::string name = found->d_name;
        struct stat about{};
        if (name == "." || name == ".." ||
            ::fstatat(::dirfd(stream), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        entries.push_back(
            {name, static_cast<std::uint64_t>(about.st_size), S_ISDIR(about.st_mode)});
    }
    ::closedir(stream);
    std::sort(entries.begin(),
              entries.end(),
              [](const directory_entry& a, const directory_entry& b) { return a.name < b.name; });
    return entries;
}

result<void> posix_directory::make_folder(const std::string& folder) {
    if (::mkdir(full(folder).c_str(), 0700) != 0) {
        return errno == EEXIST ? result<void>() : system_failure("create", full(folder));
    }
    return sync_folder(parent_of(folder));
}

result<file_id> posix_directory::open_with(const std::string& path, int flags) const {
    const int base = flags | O_CLOEXEC | O_NOFOLLOW;
    int file = -1;
    if (how_.direct) {
        file = ::open(full(path).c_str(), base | O_DIRECT, 0600);
        if (file >= 0 || errno != EINVAL) {
            return file >= 0 ? result<file_id>(file) : system_failure("open", full(path));
        }
        // Beyond this point the file system has no O_DIRECT.
    }
    file = ::open(full(path).c_str(), base, 0600);
    return file >= 0 ? result<file_id>(file) : system_failure("open", full(path));
}

result<file_id> posix_directory::open(const std::string& path) {
    return open_with(path, how_.read_only ? O_RDONLY : O_RDWR);
}

result<file_id> posix_directory::create_zeroed(const std::string& path, std::uint64_t bytes) {
    // Under another name until it is complete: a crash leaves no half-filled file behind its name.
    const std::string unfinished = path + ".tmp";
    if (struct stat about{}; ::lstat(full(path).c_str(), &about) == 0) {
        errno = EEXIST;
        return system_failure("create", full(path));
    }
    auto file = open_with(unfinished, O_RDWR | O_CREAT | O_TRUNC);
    if (!file) {
        return file;
    }
    result<void> done;
    // Reserving first finds a full disk before anything is written.
    if (bytes > 0 && ::fallocate(*file, 0, 0, static_cast<off_t>(bytes)) != 0 &&
        errno != EOPNOTSUPP) {
        done = system_failure("reserve", full(path));
    }
    const aligned_buffer zeros(mib);
    for (std::uint64_t at = 0; done && at < bytes; at += zeros.bytes()) {
        done =
            write_at(*file, at, {zeros.data(), std::min<std::uint64_t>(zeros.bytes(), bytes - at)});
    }
    if (done && ::fdatasync(*file) != 0) {
        done = system_failure("sync", full(path));
    }
    if (done) {
        done = rename(unfinished, path);
    }
    if (done) {
        done = sync_folder(parent_of(path));
    }
    if (!done) {
        ::close(*file);
        ::unlink(full(unfinished).c_str());
        return std::unexpected(done.error());
    }
    return file;
}

void posix_directory::close(file_id file) noexcept {
    if (file >= 0) {
        ::close(file);
    }
}

result<std::size_t>
posix_directory::read_at(file_id file, std::uint64_t offset, char* data, std::size_t bytes) {
    std::size_t done = 0;
    while (done < bytes) {
        const ssize_t got =
            ::pread(file, data + done, bytes - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return system_failure("read", file);
        }
        done += static_cast<std::size_t>(got);
        // A direct read may go on only from a block boundary; elsewhere this is the end.
        if (got == 0 || done % block_bytes != 0) {
            break;
        }
    }
    return done;
}

result<void> posix_directory::write_at(file_id file, std::uint64_t offset, byte_view data) {
    while (!data.empty()) {
        const ssize_t put = ::pwrite(file, data.data(), data.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            errno = put == 0 ? ENOSPC : errno;
            return system_failure("write", file);
        }
        offset += static_cast<std::uint64_t>(put);
        data.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
}

result<void> posix_directory::sync(file_id file) {
    return ::fdatasync(file) == 0 ? result<void>() : system_failure("sync", file);
}

result<std::uint64_t> posix_directory::file_bytes(file_id file) {
    struct stat about{};
    if (::fstat(file, &about) != 0) {
        return system_failure("stat", file);
    }
    return static_cast<std::uint64_t>(about.st_size);
}

result<void> posix_directory::rename(const std::string& from, const std::string& to) {
    return std::rename(full(from).c_str(), full(to).c_str()) == 0
               ? result<void>()
               : system_failure("rename", full(from));
}

result<void> posix_directory::unlink(const std::string& path) {
    return ::unlink(full(path).c_str()) == 0 ? result<void>()
                                             : system_failure("unlink", full(path));
}

result<void> posix_directory::sync_folder(const std::string& folder) {
    const int file = ::open(full(folder).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0) {
        return system_failure("open", full(folder));
    }
    const bool synced = ::fsync(file) == 0;
    result<void> done = synced ? result<void>() : system_failure("sync", full(folder));
    ::close(file);
    return done;
}

result<std::uint64_t> posix_directory::free_bytes() {
    struct statvfs about{};
    if (::statvfs(root_.c_str(), &about) != 0) {
        return system_failure("stat", root_);
    }
    return static_cast<std::uint64_t>(about.f_bavail) * about.f_frsize;
}

void posix_device::write(
    file_id file, std::uint64_t offset, const char* data, std::size_t bytes, completion& done) {
    queue_.push_back({kind::write, file, offset, const_cast<char*>(data), bytes, &done});
}

void posix_device::write_durable(
    file_id file, std::uint64_t offset, const char* data, std::size_t bytes, completion& done) {
    queue_.push_back({kind::write_durable, file, offset, const_cast<char*>(data), bytes, &done});
}

void posix_device::sync(file_id file, completion& done) {
    queue_.push_back({kind::sync, file, 0, nullptr, 0, &done});
}

void posix_device::read(
    file_id file, std::uint64_t offset, char* data, std::size_t bytes, completion& done) {
    queue_.push_back({kind::read, file, offset, data, bytes, &done});
}

std::int64_t posix_device::run(const operation& todo) noexcept {
    const auto offset = static_cast<off_t>(todo.offset);
    ssize_t outcome = 0;
    switch (todo.what) {
    case kind::write:
        outcome = ::pwrite(todo.file, todo.data, todo.bytes, offset);
        break;
    case kind::write_durable: {
        const iovec part{todo.data, todo.bytes};
        outcome = ::pwritev2(todo.file, &part, 1, offset, RWF_DSYNC);
        break;
    }
    case kind::sync:
        outcome = ::fdatasync(todo.file);
        break;
    case kind::read:
        outcome = ::pread(todo.file, todo.data, todo.bytes, offset);
        break;
    }
    return outcome < 0 ? -static_cast<std::int64_t>(errno) : outcome;
}

std::size_t posix_device::poll() {
    // What completions submit waits for the next call, so a loop turn stays bounded.
    std::deque<operation> now;
    now.swap(queue_);
    for (const operation& todo : now) {
        todo.done->on_complete(*todo.done, run(todo));
    }
    return now.size();
}

} // namespace ebbgate::spool
