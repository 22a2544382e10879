#include "store/blob/folders.h"
#include "store/blob/link_record.h"

#include <fmt/format.h>

#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::blob {

namespace {

constexpr mode_t file_mode = 0600;

std::string content_name(const content_hash& hash) {
    const std::string digits = hexadecimal(hash);
    return fmt::format("content/{}/{}", digits.substr(0, 2), digits);
}

std::string of_descriptor(int fd) {
    return fmt::format("/proc/self/fd/{}", fd);
}

// Where create_temporary() put a file that has to have a name.
std::string incoming_name(ino_t number) {
    return fmt::format("{}{}", named_temporary, number);
}

} // namespace

result<descriptor> folders::create_temporary() {
    if (unnamed_files_) {
        descriptor made(
            ::openat(root_.number(), "incoming", O_TMPFILE | O_RDWR | O_CLOEXEC, file_mode));
        if (made.is_open()) {
            return made;
        }
        // EISDIR: a kernel that does not know O_TMPFILE took it for O_DIRECTORY.
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
            return fault("create a file", "incoming");
        }
        unnamed_files_ = false;
    }
    const std::string first = temporary_name();
    descriptor made(::openat(root_.number(),
                             first.c_str(),
                             O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                             file_mode));
    struct stat seen{};
    // The lock ends with the descriptor: remove_abandoned() tells by it. The number is the name by
    // which publish finds the file again.
    if (!made.is_open() || ::flock(made.number(), LOCK_EX | LOCK_NB) != 0 ||
        ::fstat(made.number(), &seen) != 0 ||
        ::renameat(
            root_.number(), first.c_str(), root_.number(), incoming_name(seen.st_ino).c_str()) !=
            0) {
        return fault("create", first);
    }
    return made;
}

// Returns errno, or 0.
int folders::link_content(int fd, const struct stat& seen, const std::string& name) const {
    if (::linkat(
            AT_FDCWD, of_descriptor(fd).c_str(), root_.number(), name.c_str(), AT_SYMLINK_FOLLOW) ==
        0) {
        return 0;
    }
    if (errno != ENOENT) {
        return errno;
    }
    // Without /proc: by the name it has, or as the descriptor, which needs CAP_DAC_READ_SEARCH or
    // Linux 6.10.
    const std::string first = incoming_name(seen.st_ino);
    if (::linkat(root_.number(), first.c_str(), root_.number(), name.c_str(), 0) == 0 ||
        (errno == ENOENT && ::linkat(fd, "", root_.number(), name.c_str(), AT_EMPTY_PATH) == 0)) {
        return 0;
    }
    return errno;
}

result<void> folders::replace_content(int fd, const struct stat& seen, const std::string& name) {
    const std::string first = temporary_name();
    if (const int error = link_content(fd, seen, first); error != 0) {
        return fault("link", first, error);
    }
    if (::renameat(root_.number(), first.c_str(), root_.number(), name.c_str()) != 0) {
        auto why = fault("rename", name);
        (void)::unlinkat(root_.number(), first.c_str(), 0);
        return why;
    }
    return {};
}

result<void> folders::name_content(int fd, const content_hash& hash, std::uint64_t bytes) {
    const std::string name = content_name(hash);
    struct stat seen{};
    if (::fstat(fd, &seen) != 0) {
        return fault("stat", name);
    }
    if (std::cmp_less(seen.st_size, bytes)) {
        return fail(failure_kind::bad_input,
                    fmt::format("{}: the file has {} bytes of {}", name, seen.st_size, bytes));
    }
    if (std::cmp_greater(seen.st_size, bytes) &&
        (::ftruncate(fd, static_cast<off_t>(bytes)) != 0 || ::fdatasync(fd) != 0)) {
        return fault("cut", name);
    }
    if (auto made = make_part(content_, hexadecimal(hash)); !made) {
        return made;
    }
    if (const int error = link_content(fd, seen, name); error == EEXIST) {
        const auto there = content_bytes(hash);
        if (!there) {
            return std::unexpected(there.error());
        }
        if (auto done = *there == bytes ? result<void>() : replace_content(fd, seen, name); !done) {
            return done;
        }
    } else if (error != 0) {
        return fault("link", name, error);
    }
    // Also for one that was there: who gave it its name may not have come to this yet.
    if (auto synced = sync(name.substr(0, name.rfind('/'))); !synced) {
        return synced;
    }
    if (!unnamed_files_) {
        (void)::unlinkat(root_.number(), incoming_name(seen.st_ino).c_str(), 0);
    }
    return {};
}

result<descriptor> folders::open_content(const content_hash& hash) {
    const std::string name = content_name(hash);
    descriptor opened(
        ::openat(root_.number(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!opened.is_open()) {
        return fault("open", name);
    }
    return opened;
}

result<std::uint64_t> folders::content_bytes(const content_hash& hash) {
    const std::string name = content_name(hash);
    struct stat seen{};
    if (::fstatat(root_.number(), name.c_str(), &seen, AT_SYMLINK_NOFOLLOW) != 0) {
        return fault("stat", name);
    }
    return static_cast<std::uint64_t>(seen.st_size);
}

result<bool> folders::remove_content(const content_hash& hash) {
    const std::string name = content_name(hash);
    if (::unlinkat(root_.number(), name.c_str(), 0) == 0) {
        return true;
    }
    return errno == ENOENT ? result<bool>(false) : result<bool>(fault("remove", name));
}

} // namespace ebbgate::blob
