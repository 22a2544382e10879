// Reads a range of a file block by block through the ring.
//
// Input   A file_body; read_next() asks for one block.
// Output  on_block() later, with the block ready in block(); it stays until the next read_next().
// Owner   The reactor's thread. abandon() instead of a destructor: the kernel may still write into
//         the block, and the reader frees itself when it does not.
// Fails   on_read_failed() when the file cannot be read or ends before its range does.
// Bounds  One block of block_bytes.

#pragma once

#include "ebbgate/base/bytes.h"

#include "runtime/task/reactor.h"
#include "service/http/message.h"

#include <cstdint>
#include <memory>

namespace ebbgate::http {

class file_reader_observer {
public:
    virtual void on_block() noexcept = 0;
    virtual void on_read_failed() noexcept = 0;

protected:
    ~file_reader_observer() = default;
};

class file_reader {
public:
    static constexpr std::size_t block_bytes = 128 * kib;

    file_reader(task::reactor& reactor,
                std::shared_ptr<const file_body> file,
                file_reader_observer& observer);
    file_reader(const file_reader&) = delete;
    file_reader& operator=(const file_reader&) = delete;

    // There is more, and no read is under way.
    void read_next();

    // Empty while a read is under way.
    [[nodiscard]] byte_view block() const noexcept { return {buffer_.get(), block_bytes_}; }

    // Nothing is left to be read.
    [[nodiscard]] bool at_end() const noexcept { return left_ == 0; }

    // No more calls of the observer; the reader must not be touched any more.
    void abandon() noexcept;

private:
    struct read_operation : ring::operation {
        file_reader* owner = nullptr;
    };

    ~file_reader() = default;

    static void
    on_read(ring::operation& operation, std::int32_t result, std::uint32_t flags) noexcept;

    task::reactor& reactor_;
    std::shared_ptr<const file_body> file_;
    file_reader_observer* observer_; // Null: abandoned.
    std::unique_ptr<char[]> buffer_; // NOLINT(modernize-avoid-c-arrays): not to be zeroed
    read_operation read_;
    std::size_t block_bytes_ = 0;
    std::uint64_t at_;
    std::uint64_t left_;
};

// For std::unique_ptr.
struct abandon_reader {
    void operator()(file_reader* reader) const noexcept { reader->abandon(); }
};

} // namespace ebbgate::http
