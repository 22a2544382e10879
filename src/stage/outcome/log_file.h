// A log file that shards write through: they hand over whole lines, a thread of its own appends.
//
// Stage   8 of 8. Before it: deliver.
// Input   Blocks of whole lines, from any thread.
// Output  The file, opened for append; reopened by reopen() after it was rotated away.
// Owner   The daemon; it outlives the shards. append() and the counters are for any thread.
// Fails   A write error is counted and the block dropped: logging never stops mail.
// Bounds  queued_bytes_max wait; beyond it blocks are dropped and counted.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ebbgate::outcome {

class log_file {
public:
    static constexpr std::size_t queued_bytes_max = 64 * mib;
    static constexpr std::size_t waiting_bytes_max = 4 * mib;
    static constexpr std::chrono::seconds wait_max{2};

    [[nodiscard]] static result<std::unique_ptr<log_file>> open(const std::string& path);
    ~log_file(); // Writes what is queued.
    log_file(const log_file&) = delete;
    log_file& operator=(const log_file&) = delete;

    void append(std::string lines);
    // For what makes lines faster than a disk takes them, and may wait: while so much is queued,
    // for wait_max at most.
    void append_waiting(std::string lines);
    void reopen();
    [[nodiscard]] std::uint64_t dropped_blocks() const;
    // Of what was handed over: 0 when all of it is in the file.
    [[nodiscard]] std::size_t unwritten_bytes() const;

private:
    log_file(std::string path, int fd);
    void run();
    void write_all(const std::string& block);

    std::string path_;
    mutable std::mutex lock_;
    std::condition_variable more_;
    std::condition_variable room_;
    std::vector<std::string> queue_;
    std::size_t queued_bytes_ = 0;
    std::size_t writing_bytes_ = 0; // Taken by the thread.
    std::uint64_t dropped_ = 0;
    int fd_;
    bool reopen_ = false;
    bool is_stuck_ = false; // What may wait did so in vain.
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace ebbgate::outcome
