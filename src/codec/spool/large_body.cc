#include "ebbgate/spool/large_body.h"

#include "ebbgate/base/assert.h"

#include "codec/spool/format.h"
#include "codec/spool/random_seed.h"

#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace ebbgate::spool {

struct large_body::stream {
    // One buffer, and the write that empties it.
    struct half : completion {
        stream* owner = nullptr;
        aligned_buffer buffer{body_write_bytes};
        std::size_t used = 0;
        std::size_t submitted = 0;
        bool under_way = false;
    };

    struct sync_operation : completion {
        stream* owner = nullptr;
        bool under_way = false;
    };

    large_body* body = nullptr;
    device* disk = nullptr;
    file_id file = no_file;
    std::uint32_t file_number = no_body_file;
    progress_handler on_progress = nullptr;
    void* context = nullptr;
    large_body_state state = large_body_state::streaming;
    half halves[2];
    std::size_t filling = 0;
    sync_operation syncing;
    std::uint64_t bytes = 0;
    std::uint64_t written_to = 0;
    std::uint64_t seed = 0;
    std::uint64_t hash = 0;
    XXH3_state_t* hasher = nullptr;

    stream() = default;
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    ~stream() { XXH3_freeState(hasher); }

    void fail(std::int64_t outcome) noexcept {
        if (state == large_body_state::streaming || state == large_body_state::finishing) {
            state = outcome == -ENOSPC || outcome == -EDQUOT ? large_body_state::no_space
                                                             : large_body_state::failed;
        }
    }

    void submit(half& full) noexcept {
        full.submitted = static_cast<std::size_t>(round_up(full.used, block_bytes));
        std::memset(full.buffer.data() + full.used, 0, full.submitted - full.used);
        full.under_way = true;
        const std::uint64_t offset = written_to;
        written_to += full.submitted;
        filling = 1 - filling;
        disk->write(file, offset, full.buffer.data(), full.submitted, full);
    }

    void sync_when_written() noexcept {
        if (state == large_body_state::finishing && !halves[0].under_way && !halves[1].under_way &&
            !syncing.under_way) {
            syncing.under_way = true;
            disk->sync(file, syncing);
        }
    }

    void tell() noexcept {
        if (on_progress != nullptr) {
            on_progress(*body, context);
        }
    }

    static void on_written(completion& done, std::int64_t outcome) noexcept {
        half& written = static_cast<half&>(done);
        stream& self = *written.owner;
        written.under_way = false;
        written.used = 0;
        if (outcome != static_cast<std::int64_t>(written.submitted)) {
            self.fail(outcome);
        }
        self.sync_when_written();
        // A body that is finishing is announced once, after its sync.
        if (self.state != large_body_state::finishing) {
            self.tell();
        }
    }

    static void on_synced(completion& done, std::int64_t outcome) noexcept {
        sync_operation& synced = static_cast<sync_operation&>(done);
        stream& self = *synced.owner;
        synced.under_way = false;
        if (outcome != 0) {
            self.fail(outcome);
        } else if (self.state == large_body_state::finishing) {
            self.hash = XXH3_64bits_digest(self.hasher);
            self.state = large_body_state::durable;
        }
        self.tell();
    }
};

large_body::large_body(device& disk,
                       std::uint32_t file_number,
                       file_id file,
                       progress_handler on_progress,
                       void* context)
    : stream_(std::make_unique<stream>()) {
    stream_->body = this;
    stream_->disk = &disk;
    stream_->file = file;
    stream_->file_number = file_number;
    stream_->on_progress = on_progress;
    stream_->context = context;
    for (stream::half& each : stream_->halves) {
        each.owner = stream_.get();
        each.on_complete = stream::on_written;
    }
    stream_->syncing.owner = stream_.get();
    stream_->syncing.on_complete = stream::on_synced;
    stream_->hasher = XXH3_createState();
    if (stream_->hasher == nullptr) {
        throw std::bad_alloc();
    }
    if (!fill_random(&stream_->seed, sizeof stream_->seed)) {
        stream_->state = large_body_state::failed;
    }
    XXH3_64bits_reset_withSeed(stream_->hasher, stream_->seed);
}

large_body::~large_body() {
    EBBGATE_ASSERT(idle());
}

std::size_t large_body::append(byte_view bytes) {
    std::size_t taken = 0;
    while (taken < bytes.size() && stream_->state == large_body_state::streaming) {
        stream::half& half = stream_->halves[stream_->filling];
        if (half.under_way) {
            break;
        }
        const std::size_t step = std::min(bytes.size() - taken, body_write_bytes - half.used);
        std::memcpy(half.buffer.data() + half.used, bytes.data() + taken, step);
        half.used += step;
        taken += step;
        if (half.used == body_write_bytes) {
            stream_->submit(half);
        }
    }
    XXH3_64bits_update(stream_->hasher, bytes.data(), taken);
    stream_->bytes += taken;
    return taken;
}

void large_body::finish() {
    if (stream_->state != large_body_state::streaming) {
        return;
    }
    stream_->state = large_body_state::finishing;
    stream::half& half = stream_->halves[stream_->filling];
    if (!half.under_way && half.used > 0) {
        stream_->submit(half);
    }
    stream_->sync_when_written();
}

large_body_state large_body::state() const noexcept {
    return stream_->state;
}

bool large_body::idle() const noexcept {
    return !stream_->halves[0].under_way && !stream_->halves[1].under_way &&
           !stream_->syncing.under_way;
}

std::uint32_t large_body::file_number() const noexcept {
    return stream_->file_number;
}

std::uint64_t large_body::bytes() const noexcept {
    return stream_->bytes;
}

std::uint64_t large_body::seed() const noexcept {
    return stream_->seed;
}

std::uint64_t large_body::hash() const noexcept {
    return stream_->hash;
}

} // namespace ebbgate::spool
