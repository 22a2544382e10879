// Memory of coroutine frames: freed frames are kept for the next coroutine of their size.
//
// Owner   One a thread, made with the first frame, gone with the thread. A frame is freed on the
//         thread that made it: a flow never leaves its shard.
// Bounds  Classes of 64 bytes up to 4 KiB; kept_max frames a class are kept, the rest goes back.
// Fails   Never: out of memory ends the process, as everywhere.

#pragma once

#include <cstddef>

namespace ebbgate::task {

struct frame_pool {
    static constexpr std::size_t class_bytes = 64;
    static constexpr std::size_t frame_bytes_max = 4096; // Larger ones are not pooled.
    static constexpr std::size_t kept_max = 256;

    [[nodiscard]] static void* get(std::size_t bytes);
    static void put(void* frame, std::size_t bytes) noexcept;
    // Frames of this thread that wait for reuse.
    [[nodiscard]] static std::size_t kept_count() noexcept;
};

// What every promise derives from.
struct pooled_frame {
    static void* operator new(std::size_t bytes) { return frame_pool::get(bytes); }

    static void operator delete(void* frame, std::size_t bytes) noexcept {
        frame_pool::put(frame, bytes);
    }
};

} // namespace ebbgate::task
