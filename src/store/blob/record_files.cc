#include "store/blob/folders.h"
#include "store/blob/link_record.h"

#include <fmt/format.h>

#include <sys/stat.h>

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace ebbgate::blob {

namespace {

constexpr mode_t file_mode = 0600;
constexpr std::size_t mark_bytes_max = 256;

std::string records_folder(std::string_view token) {
    return fmt::format("links/{}", token.substr(0, 2));
}

std::string record_name(std::string_view token) {
    return fmt::format("{}/{}", records_folder(token), token);
}

// Up to bytes_max + 1, so that the caller sees that it is too long.
bool read_up_to(int fd, std::size_t bytes_max, std::string& into) {
    into.resize(bytes_max + 1);
    std::size_t done = 0;
    while (done < into.size()) {
        const ssize_t got = ::read(fd, into.data() + done, into.size() - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return false;
        }
        if (got == 0) {
            break;
        }
        done += static_cast<std::size_t>(got);
    }
    into.resize(done);
    return true;
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t done = ::write(fd, text.data(), text.size());
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(done));
    }
    return true;
}

} // namespace

result<void> folders::write_file(const std::string& name, std::string_view text) {
    const descriptor made(::openat(root_.number(),
                                   name.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                                   file_mode));
    if (!made.is_open()) {
        return fault("create", name);
    }
    if (!write_all(made.number(), text) || ::fsync(made.number()) != 0) {
        auto why = fault("write", name);
        (void)::unlinkat(root_.number(), name.c_str(), 0);
        return why;
    }
    return {};
}

result<void> folders::write_record(const link& written, bool is_new) {
    const std::string first = temporary_name();
    const std::string name = record_name(written.token);
    if (auto made = make_part(links_, written.token); !made) {
        return made;
    }
    if (auto done = write_file(first, to_record(written)); !done) {
        return done;
    }
    // Nobody else writes this name: a token is random, and changes of records take turns.
    struct stat seen{};
    if (is_new && ::fstatat(root_.number(), name.c_str(), &seen, AT_SYMLINK_NOFOLLOW) == 0) {
        (void)::unlinkat(root_.number(), first.c_str(), 0);
        return fail(failure_kind::bad_input, name + ": the token is taken");
    }
    if (::renameat(root_.number(), first.c_str(), root_.number(), name.c_str()) != 0) {
        auto why = fault("rename", name);
        (void)::unlinkat(root_.number(), first.c_str(), 0);
        return why;
    }
    return sync_records(written.token);
}

result<std::optional<link>> folders::read_record(std::string_view token) {
    if (!is_token(token)) {
        return std::nullopt;
    }
    const std::string name = record_name(token);
    const descriptor opened(
        ::openat(root_.number(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!opened.is_open()) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        return fault("open", name);
    }
    std::string text;
    if (!read_up_to(opened.number(), record_bytes_max, text)) {
        return fault("read", name);
    }
    auto read = from_record(text);
    if (!read) {
        read.error().detail = path_ + "/" + name + ": " + read.error().detail;
        return std::unexpected(std::move(read.error()));
    }
    if (read->token != token) {
        return fail(failure_kind::corrupt, fmt::format("{}/{}: another's token", path_, name));
    }
    return std::move(*read);
}

result<void> folders::remove_record(std::string_view token) {
    const std::string name = record_name(token);
    if (::unlinkat(root_.number(), name.c_str(), 0) != 0 && errno != ENOENT) {
        return fault("remove", name);
    }
    return {};
}

result<void> folders::sync_records(std::string_view token) {
    // A row may be left of a record that somebody removed with its folder.
    const bool is_there = ::faccessat(root_.number(), records_folder(token).c_str(), F_OK, 0) == 0;
    return is_there ? sync(records_folder(token)) : result<void>();
}

result<std::string> folders::take_mark() {
    const descriptor opened(
        ::openat(root_.number(), "clean", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    std::string mark;
    if (!opened.is_open()) {
        return errno == ENOENT ? result<std::string>(mark)
                               : result<std::string>(fault("open", "clean"));
    }
    if (!read_up_to(opened.number(), mark_bytes_max, mark) ||
        ::unlinkat(root_.number(), "clean", 0) != 0) {
        return fault("take", "clean");
    }
    if (auto synced = sync("."); !synced) {
        return std::unexpected(std::move(synced.error()));
    }
    return mark;
}

result<void> folders::leave_mark(std::string_view mark) {
    // Contents that were removed must not come back under a mark that says all is well.
    if (::syncfs(root_.number()) != 0) {
        return fault("sync", ".");
    }
    const std::string first = temporary_name();
    if (auto done = write_file(first, mark); !done) {
        return done;
    }
    if (::renameat(root_.number(), first.c_str(), root_.number(), "clean") != 0) {
        return fault("rename", "clean");
    }
    return sync(".");
}

} // namespace ebbgate::blob
