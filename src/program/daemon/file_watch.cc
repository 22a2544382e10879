#include "program/daemon/file_watch.h"

#include <climits>
#include <fmt/format.h>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <unistd.h>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                 IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
// Editors and tools change a file in steps: what is read amid them is half a policy.
constexpr std::chrono::milliseconds quiet_time{100};
constexpr std::chrono::milliseconds stirring_max{700};
constexpr std::chrono::milliseconds poll_interval{500};
// A file's time is that of the kernel's last tick.
constexpr std::chrono::milliseconds stamp_grain{10};
constexpr int poll_share = 4; // Waits this many times longer than looking took.
constexpr int links_max = 8;  // One after the other, as symlinked configurations have them.

void add_identity(std::string& into, const std::string& path) {
    struct stat found{};
    if (stat(path.c_str(), &found) != 0) {
        into += path + " none\n";
        return;
    }
    into += fmt::format("{} {} {} {} {}.{} {}.{}\n",
                        path,
                        found.st_dev,
                        found.st_ino,
                        found.st_size,
                        found.st_mtim.tv_sec,
                        found.st_mtim.tv_nsec,
                        found.st_ctim.tv_sec,
                        found.st_ctim.tv_nsec);
}

// The file, or one in the folder.
bool is_changed_since(const std::string& path, std::chrono::system_clock::time_point since) {
    const auto is_later = [since](const std::string& one) {
        struct stat found{};
        return stat(one.c_str(), &found) == 0 &&
               std::chrono::seconds(found.st_ctim.tv_sec) +
                       std::chrono::nanoseconds(found.st_ctim.tv_nsec) >
                   since.time_since_epoch();
    };
    if (is_later(path)) {
        return true;
    }
    std::error_code error;
    for (std::filesystem::directory_iterator at(path, error), end; !error && at != end;
         at.increment(error)) {
        if (is_later(at->path().string())) {
            return true;
        }
    }
    return false;
}

std::string identity_of(const std::string& path) {
    std::string text;
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
        add_identity(text, path);
        return text;
    }
    std::vector<std::string> inside;
    for (std::filesystem::directory_iterator at(path, error), end; !error && at != end;
         at.increment(error)) {
        inside.push_back(at->path().string());
    }
    std::sort(inside.begin(), inside.end());
    text += path + " folder\n";
    for (const std::string& one : inside) {
        add_identity(text, one);
    }
    return text;
}

} // namespace

file_watch::file_watch(std::function<void(const std::string&)> tell, inotify_calls calls)
    : tell_(std::move(tell)), calls_(calls) {}

file_watch::~file_watch() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

void file_watch::watch(std::vector<std::string> paths,
                       std::chrono::system_clock::time_point reading_since) {
    paths_ = std::move(paths);
    add_watches();
    std::map<std::string, std::string> seen;
    for (const std::string& path : paths_) {
        const auto before = seen_.find(path);
        const bool is_new = before == seen_.end();
        seen.emplace(path, is_new ? identity_of(path) : before->second);
        if (is_new && is_changed_since(path, reading_since - stamp_grain)) {
            is_unread_ = true;
            first_stirred_ = stirred_ = std::chrono::steady_clock::now();
        }
    }
    seen_ = std::move(seen);
}

void file_watch::note() {
    is_unread_ = false;
    for (auto& [path, identity] : seen_) {
        identity = identity_of(path);
    }
}

void file_watch::add_watches() {
    const bool was_polled = is_polled();
    fault_ = first_fault();
    if (is_polled() && !was_polled) {
        tell_(fmt::format("changed files are looked for each half second, for inotify does not "
                          "tell of all: {}",
                          fault_));
    } else if (was_polled && !is_polled()) {
        tell_("inotify tells of all changed files again");
    }
}

// All that can be watched is, whatever cannot.
std::string file_watch::first_fault() {
    if (fd_ < 0) {
        fd_ = calls_.init(IN_NONBLOCK | IN_CLOEXEC);
    }
    if (fd_ < 0) {
        return errno == EMFILE ? "fs.inotify.max_user_instances, or the number of open files, is "
                                 "reached"
                               : std::strerror(errno);
    }
    std::string first;
    const auto watch_folder = [&](const std::filesystem::path& folder) {
        std::string fault = fault_of(folder.string());
        if (first.empty()) {
            first = std::move(fault);
        }
    };
    for (const std::string& path : paths_) {
        std::filesystem::path at = path;
        std::error_code error;
        if (std::filesystem::is_directory(at, error)) {
            watch_folder(at);
        }
        // The folder of the name, then of each link's target: any of them may be replaced.
        for (int links = 0; links < links_max; ++links) {
            watch_folder(at.parent_path());
            if (!std::filesystem::is_symlink(at, error)) {
                break;
            }
            const std::filesystem::path target = std::filesystem::read_symlink(at, error);
            if (error) {
                break;
            }
            at = target.is_absolute() ? target : at.parent_path() / target;
        }
    }
    return first;
}

std::string file_watch::fault_of(const std::string& folder) const {
    if (calls_.add(fd_, folder.c_str(), events) >= 0) {
        return {};
    }
    return folder + ": " +
           (errno == ENOSPC ? "fs.inotify.max_user_watches is reached" : std::strerror(errno));
}

void file_watch::drain() const {
    alignas(inotify_event) char buffer[4096];
    while (read(fd_, buffer, sizeof buffer) > 0) {
        // Which file it was does not matter: the identities tell.
    }
}

bool file_watch::is_changed() {
    add_watches(); // A folder may be another one by now.
    const std::map<std::string, std::string> before = seen_;
    const bool was_unread = is_unread_;
    note();
    is_unread_ = was_unread;
    return seen_ != before;
}

bool file_watch::look(bool is_readable, time_point now) {
    bool stirs = is_readable;
    if (is_readable) {
        drain();
    }
    if (is_polled() && now >= next_poll_) {
        const time_point began = std::chrono::steady_clock::now();
        if (is_changed()) {
            is_unread_ = stirs = true;
        }
        const auto took = std::chrono::steady_clock::now() - began;
        next_poll_ = now + took + std::max<time_point::duration>(poll_interval, poll_share * took);
    }
    if (stirs) {
        stirred_ = now;
        if (!is_stirring()) {
            first_stirred_ = now;
        }
    }
    const bool is_patient = now - first_stirred_ < stirring_max;
    if (!is_stirring() || (is_patient && now - stirred_ < quiet_time)) {
        return false;
    }
    const bool changed = is_changed();
    if (changed && is_polled() && is_patient) {
        is_unread_ = true; // Without events, who is still writing is told by the file alone.
        stirred_ = now;
        return false;
    }
    first_stirred_ = {};
    return std::exchange(is_unread_, false) || changed;
}

int file_watch::wait_ms(time_point now) const {
    if (is_stirring()) {
        return static_cast<int>(quiet_time.count());
    }
    if (!is_polled()) {
        return INT_MAX;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next_poll_ - now);
    return static_cast<int>(std::clamp<std::int64_t>(left.count() + 1, 1, INT_MAX));
}

} // namespace ebbgate::program
