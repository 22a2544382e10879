#include "runtime/task/frame_pool.h"

#include <array>
#include <new>

namespace ebbgate::task {

namespace {

struct kept_frame {
    kept_frame* next = nullptr;
};

constexpr std::size_t class_count = frame_pool::frame_bytes_max / frame_pool::class_bytes;

struct size_class {
    kept_frame* first = nullptr;
    std::size_t count = 0;
};

struct frames_of_thread {
    std::array<size_class, class_count> classes;

    frames_of_thread() = default;
    frames_of_thread(const frames_of_thread&) = delete;
    frames_of_thread& operator=(const frames_of_thread&) = delete;

    ~frames_of_thread() {
        for (size_class& one : classes) {
            while (one.first != nullptr) {
                kept_frame* frame = one.first;
                one.first = frame->next;
                ::operator delete(frame);
            }
        }
    }
};

// Not a member of the reactor: a promise's operator new is given a size and nothing else.
frames_of_thread& frames() noexcept {
    thread_local frames_of_thread of_this_thread;
    return of_this_thread;
}

constexpr std::size_t class_of(std::size_t bytes) {
    return (bytes - 1) / frame_pool::class_bytes;
}

} // namespace

void* frame_pool::get(std::size_t bytes) {
    if (bytes > frame_bytes_max) {
        return ::operator new(bytes);
    }
    size_class& from = frames().classes[class_of(bytes)];
    if (from.first == nullptr) {
        return ::operator new((class_of(bytes) + 1) * class_bytes);
    }
    kept_frame* frame = from.first;
    from.first = frame->next;
    --from.count;
    return frame;
}

void frame_pool::put(void* frame, std::size_t bytes) noexcept {
    if (bytes > frame_bytes_max) {
        ::operator delete(frame);
        return;
    }
    size_class& to = frames().classes[class_of(bytes)];
    if (to.count >= kept_max) {
        ::operator delete(frame);
        return;
    }
    to.first = new (frame) kept_frame{to.first};
    ++to.count;
}

std::size_t frame_pool::kept_count() noexcept {
    std::size_t count = 0;
    for (const size_class& one : frames().classes) {
        count += one.count;
    }
    return count;
}

} // namespace ebbgate::task
