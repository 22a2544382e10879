// Tells when a file, or what a folder holds, may have changed: by inotify on the folders above.
//
// Input   Paths of files and folders. Links are followed, and what they pass through is watched.
// Output  A descriptor to poll; and, after it was readable and quiet came back, whether anything
//         is really another file than before (device, inode, size, times).
// Owner   The management thread.
// Fails   Without inotify there is no descriptor: the caller asks is_changed() each second.
// Specs   inotify(7).

#pragma once

#include <map>
#include <string>
#include <vector>

namespace ebbgate::program {

class file_watch {
public:
    file_watch();
    ~file_watch();
    file_watch(const file_watch&) = delete;
    file_watch& operator=(const file_watch&) = delete;

    // Replaces what is watched. What note() saw stays what is_changed() compares with, but for
    // paths that are new.
    void watch(std::vector<std::string> paths);
    // Before the files are read: what is there now is what will have been read.
    void note();

    // -1: no inotify.
    [[nodiscard]] int descriptor() const noexcept { return fd_; }

    // Reads what the descriptor has. Something may be going on; wait until it is quiet.
    void drain();
    // Against the last call of note() or is_changed().
    [[nodiscard]] bool is_changed();

private:
    void add_watches();

    int fd_;
    std::vector<std::string> paths_;
    std::map<std::string, std::string> seen_; // Of each path: its identity.
};

} // namespace ebbgate::program
