// Tells when a file, or what a folder holds, has changed and is quiet again.
//
// Input   Paths of files and folders. Links are followed, and what they pass through is watched.
// Output  A descriptor to poll, how long poll() may wait, and whether anything is really another
//         file than before (device, inode, size, times).
// Owner   The management thread.
// Fails   Where inotify does not watch (its limits are reached, a folder is not there) it looks at
//         the files each half second, says so once, and goes back to inotify when that works.
// Bounds  Looking takes a fifth of the time at most: with very many files it happens less often.
// Specs   inotify(7).

#pragma once

#include <sys/inotify.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ebbgate::program {

// Those of the kernel, or of a test.
struct inotify_calls {
    int (*init)(int flags) = inotify_init1;
    int (*add)(int fd, const char* path, std::uint32_t mask) = inotify_add_watch;
};

class file_watch {
public:
    using time_point = std::chrono::steady_clock::time_point;

    explicit file_watch(std::function<void(const std::string&)> tell, inotify_calls calls = {});
    ~file_watch();
    file_watch(const file_watch&) = delete;
    file_watch& operator=(const file_watch&) = delete;

    // Replaces what is watched. What note() saw stays what is compared with. Of paths that are new,
    // one that changed after the reading began may have been read before it did: look() says so.
    void watch(std::vector<std::string> paths, std::chrono::system_clock::time_point reading_since);
    // Before the files are read: what is there now is what will have been read.
    void note();

    // Whether they are others than those of note(), which is called by it.
    [[nodiscard]] bool is_changed();

    // -1: no inotify. Another one, perhaps, after each call of look().
    [[nodiscard]] int descriptor() const noexcept { return fd_; }

    // Whether the files are others than those of note(), and nobody is amid changing them.
    [[nodiscard]] bool look(bool is_readable, time_point now);
    // When to call look() again, although the descriptor is not readable.
    [[nodiscard]] int wait_ms(time_point now) const;

private:
    void add_watches();
    [[nodiscard]] std::string first_fault();
    // Empty: it is watched.
    [[nodiscard]] std::string fault_of(const std::string& folder) const;
    void drain() const;

    [[nodiscard]] bool is_polled() const noexcept { return !fault_.empty(); }

    [[nodiscard]] bool is_stirring() const noexcept { return first_stirred_ != time_point{}; }

    std::function<void(const std::string&)> tell_;
    inotify_calls calls_;
    int fd_ = -1;
    std::string fault_; // Why inotify does not tell everything.
    std::vector<std::string> paths_;
    std::map<std::string, std::string> seen_; // Of each path: its identity.
    bool is_unread_ = false;                  // A look that was not the last found a change.
    time_point next_poll_{};
    time_point stirred_{};
    time_point first_stirred_{}; // The epoch: nothing did.
};

} // namespace ebbgate::program
