#include "store/blob/folders.h"

#include "base/text.h"

#include <fmt/format.h>

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

namespace ebbgate::blob {

namespace {

constexpr mode_t folder_mode = 0700;

struct stream_end {
    void operator()(DIR* stream) const { ::closedir(stream); }
};

} // namespace

std::unexpected<failure>
folders::fault(std::string_view what, const std::string& name, int error) const {
    const bool full = error == ENOSPC || error == EDQUOT;
    return fail(full ? failure_kind::no_space : failure_kind::io,
                fmt::format("{}/{}: {}: {}", path_, name, what, std::strerror(error)));
}

std::unexpected<failure> folders::fault(std::string_view what, const std::string& name) const {
    return fault(what, name, errno);
}

std::string folders::temporary_name() {
    return fmt::format("incoming/new-{}", temporaries_.fetch_add(1));
}

result<void> folders::sync(const std::string& folder) const {
    const descriptor opened(
        ::openat(root_.number(), folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened.is_open() || ::fsync(opened.number()) != 0) {
        return fault("sync", folder);
    }
    return {};
}

result<void> folders::make(const std::string& name) {
    if (::mkdirat(root_.number(), name.c_str(), folder_mode) != 0 && errno != EEXIST) {
        return fault("make", name);
    }
    return {};
}

// Synced at every open: one that was cut off may have made some without that.
result<void> folders::make_all() {
    for (const std::string name : {"content", "links", "incoming"}) {
        if (auto made = make(name); !made) {
            return made;
        }
    }
    for (parent* one : {&content_, &links_}) {
        if (auto looked = look_into(*one); !looked) {
            return looked;
        }
    }
    return sync(".");
}

result<void> folders::look_into(parent& of) {
    for (unsigned first = 0; first < of.has.size(); ++first) {
        const std::string name = fmt::format("{}/{:02x}", of.name, first);
        of.has[first] = ::faccessat(root_.number(), name.c_str(), F_OK, 0) == 0;
    }
    return sync(of.name);
}

result<void> folders::make_part(parent& of, std::string_view ab) {
    // The caller's are the first of checked hex digits.
    std::atomic<bool>& has =
        of.has[hex_digit(ab[0]).value_or(0) * 16 + hex_digit(ab[1]).value_or(0)];
    if (has) {
        return {};
    }
    // Side by side with another thread both sync: only then it may be relied on.
    if (auto made = make(fmt::format("{}/{}", of.name, ab.substr(0, 2))); !made) {
        return made;
    }
    if (auto synced = sync(of.name); !synced) {
        return synced;
    }
    has = true;
    return {};
}

result<std::unique_ptr<folders>> folders::open(const std::string& path, bool unnamed_files) {
    std::unique_ptr<folders> made(new folders(path));
    folders& opened = *made;
    opened.unnamed_files_ = unnamed_files;
    if (::mkdir(path.c_str(), folder_mode) != 0 && errno != EEXIST) {
        return opened.fault("make", ".");
    }
    opened.root_ = descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened.root_.is_open()) {
        return opened.fault("open", ".");
    }
    // Whoever made the folder above may have kept it from being read; then its name is theirs.
    const bool is_above_readable = ::faccessat(opened.root_.number(), "..", R_OK, AT_EACCESS) == 0;
    if (auto synced = is_above_readable ? opened.sync("..") : result<void>(); !synced) {
        return std::unexpected(std::move(synced.error()));
    }
    opened.lock_ = descriptor(
        ::openat(opened.root_.number(), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!opened.lock_.is_open()) {
        return opened.fault("open", "lock");
    }
    if (::flock(opened.lock_.number(), LOCK_EX | LOCK_NB) != 0) {
        return fail(failure_kind::unavailable, path + ": another process has it open");
    }
    if (auto done = opened.make_all(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    opened.remove_abandoned(true);
    return made;
}

void folders::remove_abandoned(bool all) {
    const int fd = ::openat(root_.number(), "incoming", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, stream_end> stream(fd < 0 ? nullptr : ::fdopendir(fd));
    while (const dirent* entry = stream != nullptr ? ::readdir(stream.get()) : nullptr) {
        const std::string name = std::string("incoming/") + entry->d_name;
        if (entry->d_name[0] == '.' || (!all && !name.starts_with(named_temporary))) {
            continue;
        }
        const descriptor opened(
            ::openat(root_.number(), name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (!opened.is_open() || ::flock(opened.number(), LOCK_EX | LOCK_NB) == 0) {
            (void)::unlinkat(root_.number(), name.c_str(), 0);
        }
    }
}

result<std::vector<std::string>> folders::names_in(const std::string& folder,
                                                   std::size_t digits) const {
    const int fd = ::openat(root_.number(), folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const std::unique_ptr<DIR, stream_end> stream(fd < 0 ? nullptr : ::fdopendir(fd));
    std::vector<std::string> names;
    if (stream == nullptr) {
        return errno == ENOENT ? result<std::vector<std::string>>(names)
                               : result<std::vector<std::string>>(fault("list", folder));
    }
    errno = 0;
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string_view name = entry->d_name;
        if (name.size() == digits && name.starts_with(folder.substr(folder.size() - 2)) &&
            std::ranges::all_of(name, [](char c) { return hex_digit(c) && lower(c) == c; })) {
            names.emplace_back(name);
        }
    }
    if (errno != 0) {
        return fault("list", folder);
    }
    std::ranges::sort(names);
    return names;
}

result<std::vector<std::string>> folders::contents(std::string_view ab) const {
    return names_in(fmt::format("content/{}", ab), 2 * sizeof(content_hash));
}

result<std::vector<std::string>> folders::records(std::string_view ab) const {
    return names_in(fmt::format("links/{}", ab), token_digits);
}

} // namespace ebbgate::blob
