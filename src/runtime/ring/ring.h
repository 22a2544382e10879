// One io_uring and the memory its receives land in; the only includer of liburing.
//
// Owner   The thread that opened it: only that thread submits, waits or registers.
// Fails   open() says why (seccomp, sysctl, limits). Later failures are results of operations.
// Bounds  operations_max in the kernel at once; receive memory is buffer_count * buffer_bytes.
// Specs   io_uring(7), kernel 6.1 and newer; ENGINE.md section 1.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

struct iovec;
struct msghdr;
struct sockaddr;

namespace ebbgate::ring {

// Something the kernel is doing for us. Embedded in its owner, which must outlive the final
// completion: the one after which in_flight() is false.
struct operation {
    using handler = void (*)(operation&, std::int32_t result, std::uint32_t flags) noexcept;
    static constexpr std::uint32_t idle = 0xffff'ffff;

    handler on_complete = nullptr;
    std::uint32_t slot = idle;

    [[nodiscard]] bool in_flight() const noexcept { return slot != idle; }
};

enum class use : std::uint8_t { automatic, on, off }; // `on`: or the ring does not open.

struct options {
    std::uint32_t submission_entries = 512;
    std::uint32_t completion_entries = 16384;
    std::uint32_t buffer_count = 1024; // Power of two.
    std::uint32_t buffer_bytes = 16 * kib;
    use defer_taskrun = use::automatic;
};

// Which optional features the running kernel gave us; logged and shown by `status`.
struct capabilities {
    bool defer_taskrun = false;
    bool single_issuer = false;
    bool registered_ring = false;
    bool min_wait = false;
};

struct counters {
    std::uint64_t enters = 0;
    std::uint64_t completions = 0;
    std::uint64_t completion_overflows = 0;
    std::uint64_t submission_full = 0;
    std::uint64_t buffers_exhausted = 0;
    std::uint64_t stale_completions = 0; // Our bug when not zero: counted, never followed.
};

class ring {
public:
    [[nodiscard]] static result<std::unique_ptr<ring>> open(const options& options);
    ~ring();
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;

    // Each queues one operation; `operation.on_complete` runs inside a later turn().
    void accept_multishot(operation& operation, int fd);
    void receive_multishot(operation& operation, int fd);
    void send(operation& operation, int fd, const msghdr* message);
    void connect(operation& operation, int fd, const sockaddr* address, std::uint32_t bytes);
    void read(operation& operation, int fd, void* to, std::uint32_t bytes, std::uint64_t offset);
    void write(operation& operation,
               int fd,
               const void* from,
               std::uint32_t bytes,
               std::uint64_t offset,
               bool durable);
    void sync_data(operation& operation, int fd);
    // A write, and a data sync that starts only after a whole write. Both complete; when the write
    // fails or is short, the sync completes with -ECANCELED.
    void write_then_sync(operation& write,
                         operation& sync,
                         int fd,
                         const void* from,
                         std::uint32_t bytes,
                         std::uint64_t offset);
    void poll_readable(operation& operation, int fd);

    // Asks the kernel to give the operation up; its own completion still arrives.
    void cancel(const operation& operation);

    // Submits all that is queued, and waits until something completes or `timeout` is over.
    void wait(std::chrono::nanoseconds timeout);
    // Then: runs the handlers of everything that has completed.
    void complete();

    // Both.
    void turn(std::chrono::nanoseconds timeout) {
        wait(timeout);
        complete();
    }

    // The bytes of a receive completion; valid until the handler returns.
    [[nodiscard]] byte_view received(std::int32_t result, std::uint32_t flags) const noexcept;

    [[nodiscard]] static bool more_follows(std::uint32_t flags) noexcept;
    [[nodiscard]] static bool has_buffer(std::uint32_t flags) noexcept;

    [[nodiscard]] const capabilities& features() const noexcept { return capabilities_; }

    [[nodiscard]] const counters& statistics() const noexcept { return counters_; }

    [[nodiscard]] std::uint32_t in_flight_count() const noexcept { return in_flight_; }

private:
    struct kernel;

    struct slot_entry {
        operation* owner = nullptr;
        std::uint32_t generation = 1;
        std::uint32_t next_free = operation::idle;
    };

    struct completion {
        std::uint64_t user_data;
        std::int32_t result;
        std::uint32_t flags;
    };

    ring() = default;
    [[nodiscard]] result<void> set_up(const options& options);
    [[nodiscard]] result<void> set_up_buffers(const options& options);
    void* prepare(operation& operation);
    void make_room(unsigned entries);
    void set_aside();
    void* next_entry();
    void dispatch(std::uint64_t user_data, std::int32_t result, std::uint32_t flags);
    void give_back(std::uint32_t buffer_index) noexcept;

    std::unique_ptr<kernel> kernel_;
    capabilities capabilities_;
    counters counters_;
    std::vector<completion> aside_; // Out of the kernel's queue, their handlers not yet called.
    std::vector<slot_entry> slots_;
    std::uint32_t free_slot_ = operation::idle;
    std::uint32_t in_flight_ = 0;
};

} // namespace ebbgate::ring
