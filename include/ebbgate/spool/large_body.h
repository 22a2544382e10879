// A large body streaming into its body file while it is received.
//
// Input   Bytes in any pieces.
// Output  A synced body file, its length and hash, for one MSGX record.
// Owner   The session that receives it; keep it alive until `idle()`.
// Fails   The first failed or short write, or the failed sync, ends it: failed() or no_space().
// Bounds  Two buffers of 256 KiB; append() takes less than offered while both are under way, and
//         after rewind() nothing until what was being written is.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/spool/storage.h"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ebbgate::spool {

inline constexpr std::size_t body_write_bytes = 256 * kib;

enum class large_body_state : std::uint8_t { streaming, finishing, durable, failed, no_space };

class large_body {
public:
    // Runs when there is room again, and once when finish() is done (durable or failed).
    using progress_handler = void (*)(large_body&, void* context) noexcept;

    // `file_number` and `file` come from writer::acquire_body_file().
    large_body(device& disk,
               std::uint32_t file_number,
               file_id file,
               progress_handler on_progress,
               void* context);
    ~large_body();
    large_body(const large_body&) = delete;
    large_body& operator=(const large_body&) = delete;

    // Copies what there is room for and returns how many bytes that were; 0 once it has failed.
    std::size_t append(byte_view bytes);
    // Writes the rest and syncs once. Nothing may be appended afterwards.
    void finish();

    // A place to go back to, once: `at` bytes from the start, not before bytes(). A later one
    // replaces it.
    void set_mark(std::uint64_t at);
    // Back to the mark, which bytes() has passed or reached. What was appended since is gone.
    void rewind();

    [[nodiscard]] large_body_state state() const noexcept;
    // No operation is under way; only then may it be destroyed.
    [[nodiscard]] bool idle() const noexcept;
    [[nodiscard]] std::uint32_t file_number() const noexcept;
    [[nodiscard]] std::uint64_t bytes() const noexcept;
    [[nodiscard]] std::uint64_t seed() const noexcept;
    [[nodiscard]] std::uint64_t hash() const noexcept; // Once durable.

private:
    struct stream;
    std::unique_ptr<stream> stream_;
};

} // namespace ebbgate::spool
