#include "program/daemon/file_watch.h"

#include <fmt/format.h>

#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <unistd.h>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                 IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr int links_max = 8; // One after the other, as symlinked configurations have them.

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

file_watch::file_watch() : fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

file_watch::~file_watch() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

void file_watch::watch(std::vector<std::string> paths) {
    paths_ = std::move(paths);
    add_watches();
    std::map<std::string, std::string> seen;
    for (const std::string& path : paths_) {
        const auto before = seen_.find(path);
        seen.emplace(path, before == seen_.end() ? identity_of(path) : before->second);
    }
    seen_ = std::move(seen);
}

void file_watch::note() {
    for (auto& [path, identity] : seen_) {
        identity = identity_of(path);
    }
}

void file_watch::add_watches() {
    if (fd_ < 0) {
        return;
    }
    for (const std::string& path : paths_) {
        std::filesystem::path at = path;
        std::error_code error;
        if (std::filesystem::is_directory(at, error)) {
            (void)inotify_add_watch(fd_, at.c_str(), events);
        }
        // The folder of the name, then of each link's target: any of them may be replaced.
        for (int links = 0; links < links_max; ++links) {
            (void)inotify_add_watch(fd_, at.parent_path().c_str(), events);
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
}

void file_watch::drain() {
    alignas(inotify_event) char buffer[4096];
    while (read(fd_, buffer, sizeof buffer) > 0) {
        // Which file it was does not matter: the identities tell.
    }
}

bool file_watch::is_changed() {
    add_watches(); // A folder may be another one by now.
    const std::map<std::string, std::string> before = seen_;
    note();
    return seen_ != before;
}

} // namespace ebbgate::program
