#include "runtime/ring/ring.h"

#include "ebbgate/base/assert.h"

#include <liburing.h>

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <string>
#include <thread>

namespace ebbgate::ring {

namespace {

constexpr std::uint16_t buffer_group = 1;
// Newer than liburing 2.3: the feature bit of "wait for many, but not longer than".
constexpr std::uint32_t feature_min_timeout = 1U << 15;
// Between two attempts to submit, when the kernel takes nothing and gives nothing.
constexpr std::chrono::milliseconds full_pause{1};

std::string explain(int error) {
    std::string text = std::strerror(error);
    if (error == EPERM || error == ENOSYS) {
        text += " (io_uring is forbidden: check kernel.io_uring_disabled and seccomp)";
    } else if (error == ENOMEM) {
        text += " (raise RLIMIT_MEMLOCK)";
    }
    return text;
}

} // namespace

struct ring::kernel {
    io_uring uring{};
    io_uring_buf_ring* buffers = nullptr;
    std::size_t buffers_bytes = 0;
    char* memory = nullptr;
    std::size_t memory_bytes = 0;
    std::uint32_t buffer_count = 0;
    std::uint32_t buffer_bytes = 0;
    bool open = false;
};

result<std::unique_ptr<ring>> ring::open(const options& options) {
    std::unique_ptr<ring> made(new ring());
    auto done = made->set_up(options);
    if (!done) {
        return std::unexpected(std::move(done.error()));
    }
    done = made->set_up_buffers(options);
    if (!done) {
        return std::unexpected(std::move(done.error()));
    }
    return made;
}

result<void> ring::set_up(const options& options) {
    kernel_ = std::make_unique<kernel>();
    // From the best to the plainest; a kernel that lacks a flag answers EINVAL.
    constexpr std::uint32_t ladder[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SUBMIT_ALL,
    };
    int error = 0;
    for (const std::uint32_t flags : ladder) {
        const bool defers = (flags & IORING_SETUP_DEFER_TASKRUN) != 0;
        if (options.defer_taskrun == (defers ? use::off : use::on)) {
            continue;
        }
        io_uring_params params{};
        params.flags = flags | IORING_SETUP_CQSIZE;
        params.cq_entries = options.completion_entries;
        error = -io_uring_queue_init_params(options.submission_entries, &kernel_->uring, &params);
        if (error == 0) {
            capabilities_.defer_taskrun = defers;
            capabilities_.single_issuer = (flags & IORING_SETUP_SINGLE_ISSUER) != 0;
            capabilities_.min_wait = (params.features & feature_min_timeout) != 0;
            break;
        }
        if (error != EINVAL) {
            break;
        }
    }
    if (error != 0) {
        return fail(failure_kind::io, "io_uring_setup: " + explain(error));
    }
    kernel_->open = true;
    capabilities_.registered_ring = io_uring_register_ring_fd(&kernel_->uring) == 1;
    // The only work that leaves the shard's thread is the spool's fsync.
    unsigned workers[2] = {2, 2};
    (void)io_uring_register_iowq_max_workers(&kernel_->uring, workers);
    return {};
}

result<void> ring::set_up_buffers(const options& options) {
    kernel& k = *kernel_;
    k.buffer_count = options.buffer_count;
    k.buffer_bytes = options.buffer_bytes;
    k.buffers_bytes = sizeof(io_uring_buf) * options.buffer_count;
    k.memory_bytes = std::size_t{options.buffer_count} * options.buffer_bytes;
    void* entries =
        mmap(nullptr, k.buffers_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // Touched now, so that memory is what it will be, and no first message waits for a page.
    void* memory = mmap(nullptr,
                        k.memory_bytes,
                        PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                        -1,
                        0);
    if (entries == MAP_FAILED || memory == MAP_FAILED) {
        return fail(failure_kind::no_space, "no memory for receive buffers");
    }
    k.buffers = static_cast<io_uring_buf_ring*>(entries);
    k.memory = static_cast<char*>(memory);

    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(entries);
    registration.ring_entries = options.buffer_count;
    registration.bgid = buffer_group;
    const int error = -io_uring_register_buf_ring(&k.uring, &registration, 0);
    if (error != 0) {
        return fail(failure_kind::io, "io_uring_register_buf_ring: " + explain(error));
    }
    io_uring_buf_ring_init(k.buffers);
    for (std::uint32_t index = 0; index < options.buffer_count; ++index) {
        io_uring_buf_ring_add(k.buffers,
                              k.memory + std::size_t{index} * k.buffer_bytes,
                              k.buffer_bytes,
                              static_cast<unsigned short>(index),
                              io_uring_buf_ring_mask(k.buffer_count),
                              static_cast<int>(index));
    }
    io_uring_buf_ring_advance(k.buffers, static_cast<int>(options.buffer_count));
    return {};
}

ring::~ring() {
    if (!kernel_) {
        return;
    }
    // The ring goes before the memory that it may still write to.
    if (kernel_->open) {
        io_uring_queue_exit(&kernel_->uring);
    }
    if (kernel_->buffers != nullptr) {
        munmap(kernel_->buffers, kernel_->buffers_bytes);
    }
    if (kernel_->memory != nullptr) {
        munmap(kernel_->memory, kernel_->memory_bytes);
    }
}

void* ring::next_entry() {
    make_room(1);
    return io_uring_get_sqe(&kernel_->uring);
}

// Free places in the submission queue, one behind the other.
void ring::make_room(unsigned entries) {
    if (io_uring_sq_space_left(&kernel_->uring) >= entries) {
        return;
    }
    ++counters_.submission_full;
    for (;;) {
        (void)io_uring_submit(&kernel_->uring);
        if (io_uring_sq_space_left(&kernel_->uring) >= entries) {
            return;
        }
        // EBUSY: the kernel takes nothing before its completions are taken. EAGAIN: it has no
        // memory, which completions may free. No handler runs here: the caller may be one.
        const std::size_t before = aside_.size();
        (void)io_uring_get_events(&kernel_->uring);
        set_aside();
        if (aside_.size() == before) {
            std::this_thread::sleep_for(full_pause);
        }
    }
}

void ring::set_aside() {
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&kernel_->uring, head, entry) {
        ++seen;
        aside_.push_back({entry->user_data, entry->res, entry->flags});
    }
    counters_.completions += seen;
    io_uring_cq_advance(&kernel_->uring, seen);
}

void* ring::prepare(operation& operation) {
    EBBGATE_ASSERT(!operation.in_flight());
    if (free_slot_ == operation::idle) {
        free_slot_ = static_cast<std::uint32_t>(slots_.size());
        slots_.emplace_back();
    }
    operation.slot = free_slot_;
    slot_entry& slot = slots_[free_slot_];
    free_slot_ = slot.next_free;
    slot.owner = &operation;
    ++in_flight_;
    return next_entry();
}

namespace {

void tag(io_uring_sqe* entry, std::uint32_t generation, std::uint32_t slot) {
    io_uring_sqe_set_data64(entry, (std::uint64_t{generation} << 32) | slot);
}

} // namespace

void ring::accept_multishot(operation& operation, int fd) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_multishot_accept(entry, fd, nullptr, nullptr, SOCK_CLOEXEC);
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::receive_multishot(operation& operation, int fd) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_recv_multishot(entry, fd, nullptr, 0, 0);
    // Waits for data first: a receive armed while the buffers are out would fail at once.
    entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = buffer_group;
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::send(operation& operation, int fd, const msghdr* message) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_sendmsg(entry, fd, message, MSG_NOSIGNAL | MSG_WAITALL);
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::connect(operation& operation, int fd, const sockaddr* address, std::uint32_t bytes) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_connect(entry, fd, address, bytes);
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::read(operation& operation, int fd, void* to, std::uint32_t bytes, std::uint64_t offset) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_read(entry, fd, to, bytes, offset);
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::write(operation& operation,
                 int fd,
                 const void* from,
                 std::uint32_t bytes,
                 std::uint64_t offset,
                 bool durable) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_write(entry, fd, from, bytes, offset);
    entry->rw_flags = durable ? RWF_DSYNC : 0;
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::sync_data(operation& operation, int fd) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::write_then_sync(operation& write,
                           operation& sync,
                           int fd,
                           const void* from,
                           std::uint32_t bytes,
                           std::uint64_t offset) {
    // A chain must go to the kernel in one submission.
    make_room(2);
    auto* first = static_cast<io_uring_sqe*>(prepare(write));
    io_uring_prep_write(first, fd, from, bytes, offset);
    first->flags |= IOSQE_IO_LINK;
    tag(first, slots_[write.slot].generation, write.slot);
    auto* second = static_cast<io_uring_sqe*>(prepare(sync));
    io_uring_prep_fsync(second, fd, IORING_FSYNC_DATASYNC);
    tag(second, slots_[sync.slot].generation, sync.slot);
}

void ring::poll_readable(operation& operation, int fd) {
    auto* entry = static_cast<io_uring_sqe*>(prepare(operation));
    io_uring_prep_poll_add(entry, fd, POLLIN);
    tag(entry, slots_[operation.slot].generation, operation.slot);
}

void ring::cancel(const operation& operation) {
    if (!operation.in_flight()) {
        return;
    }
    auto* entry = static_cast<io_uring_sqe*>(next_entry());
    const std::uint64_t target =
        (std::uint64_t{slots_[operation.slot].generation} << 32) | operation.slot;
    io_uring_prep_cancel64(entry, target, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(entry, 0); // Generation 0 belongs to nobody: its failure is ignored.
}

void ring::wait(std::chrono::nanoseconds timeout) {
    __kernel_timespec limit{};
    if (!aside_.empty()) {
        timeout = {};
    }
    limit.tv_sec = timeout.count() / 1'000'000'000;
    limit.tv_nsec = timeout.count() % 1'000'000'000;
    io_uring_cqe* first = nullptr;
    // EINTR, EAGAIN, EBUSY and ETIME all mean: look at what has completed, then come again.
    (void)io_uring_submit_and_wait_timeout(&kernel_->uring, &first, 1, &limit, nullptr);
    ++counters_.enters;
    if (io_uring_cq_has_overflow(&kernel_->uring)) {
        ++counters_.completion_overflows;
        (void)io_uring_get_events(&kernel_->uring);
    }
    set_aside();
}

void ring::complete() {
    // A handler that queues may set more aside: these are behind, and have their turn too.
    for (std::size_t index = 0; index < aside_.size(); ++index) {
        const completion next = aside_[index];
        dispatch(next.user_data, next.result, next.flags);
    }
    aside_.clear();
}

void ring::dispatch(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
    const auto index = static_cast<std::uint32_t>(user_data);
    const auto generation = static_cast<std::uint32_t>(user_data >> 32);
    if (generation == 0) {
        return;
    }
    if (index >= slots_.size() || slots_[index].generation != generation) {
        ++counters_.stale_completions;
        return;
    }
    operation* owner = slots_[index].owner;
    if (!more_follows(flags)) {
        slot_entry& slot = slots_[index];
        slot.owner = nullptr;
        slot.generation = slot.generation == 0xffff'ffff ? 1 : slot.generation + 1;
        slot.next_free = free_slot_;
        free_slot_ = index;
        owner->slot = operation::idle;
        --in_flight_;
    }
    if (result == -ENOBUFS) {
        ++counters_.buffers_exhausted;
    }
    owner->on_complete(*owner, result, flags);
    if (has_buffer(flags)) {
        give_back(flags >> IORING_CQE_BUFFER_SHIFT);
    }
}

byte_view ring::received(std::int32_t result, std::uint32_t flags) const noexcept {
    if (result <= 0 || !has_buffer(flags)) {
        return {};
    }
    const std::size_t index = flags >> IORING_CQE_BUFFER_SHIFT;
    return {kernel_->memory + index * kernel_->buffer_bytes, static_cast<std::size_t>(result)};
}

void ring::give_back(std::uint32_t buffer_index) noexcept {
    io_uring_buf_ring_add(kernel_->buffers,
                          kernel_->memory + std::size_t{buffer_index} * kernel_->buffer_bytes,
                          kernel_->buffer_bytes,
                          static_cast<unsigned short>(buffer_index),
                          io_uring_buf_ring_mask(kernel_->buffer_count),
                          0);
    io_uring_buf_ring_advance(kernel_->buffers, 1);
}

bool ring::more_follows(std::uint32_t flags) noexcept {
    return (flags & IORING_CQE_F_MORE) != 0;
}

bool ring::has_buffer(std::uint32_t flags) noexcept {
    return (flags & IORING_CQE_F_BUFFER) != 0;
}

} // namespace ebbgate::ring
