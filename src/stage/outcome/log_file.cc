#include "stage/outcome/log_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::outcome {

namespace {

// A process that was killed may have left half a line: the next one must not be lost with it.
void end_last_line(int fd, const std::string& path) {
    struct stat seen = {};
    if (fstat(fd, &seen) != 0 || !S_ISREG(seen.st_mode) || seen.st_size == 0) {
        return;
    }
    const int reading = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (reading < 0) {
        return;
    }
    char last = '\n';
    if (pread(reading, &last, 1, seen.st_size - 1) == 1 && last != '\n') {
        (void)!::write(fd, "\n", 1);
    }
    ::close(reading);
}

int open_for_append(const std::string& path) {
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd >= 0) {
        end_last_line(fd, path);
    }
    return fd;
}

} // namespace

result<std::unique_ptr<log_file>> log_file::open(const std::string& path) {
    const int fd = open_for_append(path);
    if (fd < 0) {
        return fail(failure_kind::io, path + ": " + std::strerror(errno));
    }
    return std::unique_ptr<log_file>(new log_file(path, fd));
}

log_file::log_file(std::string path, int fd)
    : path_(std::move(path)), fd_(fd), thread_([this] { run(); }) {}

log_file::~log_file() {
    {
        const std::lock_guard hold(lock_);
        stopping_ = true;
    }
    more_.notify_one();
    thread_.join();
    close(fd_);
}

void log_file::append(std::string lines) {
    const std::lock_guard hold(lock_);
    if (queued_bytes_ + lines.size() > queued_bytes_max) {
        ++dropped_;
        return;
    }
    queued_bytes_ += lines.size();
    queue_.push_back(std::move(lines));
    more_.notify_one();
}

void log_file::append_waiting(std::string lines) {
    {
        std::unique_lock hold(lock_);
        const auto has_room = [this] { return queued_bytes_ < waiting_bytes_max; };
        // A disk that hangs is waited for once, not with each block.
        is_stuck_ = is_stuck_ ? !has_room() : !room_.wait_for(hold, wait_max, has_room);
    }
    append(std::move(lines));
}

void log_file::reopen() {
    const std::lock_guard hold(lock_);
    reopen_ = true;
    more_.notify_one();
}

std::uint64_t log_file::dropped_blocks() const {
    const std::lock_guard hold(lock_);
    return dropped_;
}

std::size_t log_file::unwritten_bytes() const {
    const std::lock_guard hold(lock_);
    return queued_bytes_ + writing_bytes_;
}

void log_file::write_all(const std::string& block) {
    std::size_t written = 0;
    while (written < block.size()) {
        const ssize_t count = ::write(fd_, block.data() + written, block.size() - written);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            const std::lock_guard hold(lock_);
            ++dropped_;
            return;
        }
        written += static_cast<std::size_t>(count);
    }
}

void log_file::run() {
    for (;;) {
        std::vector<std::string> batch;
        bool reopen_now = false;
        {
            std::unique_lock hold(lock_);
            writing_bytes_ = 0;
            more_.wait(hold, [this] { return stopping_ || reopen_ || !queue_.empty(); });
            if (queue_.empty() && !reopen_) {
                return;
            }
            batch.swap(queue_);
            writing_bytes_ = std::exchange(queued_bytes_, 0);
            reopen_now = std::exchange(reopen_, false);
        }
        room_.notify_all();
        if (reopen_now) {
            if (const int fresh = open_for_append(path_); fresh >= 0) {
                close(std::exchange(fd_, fresh));
            }
        }
        for (const std::string& block : batch) {
            write_all(block);
        }
    }
}

} // namespace ebbgate::outcome
