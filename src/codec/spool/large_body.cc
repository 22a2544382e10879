#include "ebbgate/spool/large_body.h"

#include "ebbgate/base/assert.h"

#include "codec/spool/format.h"
#include "codec/spool/random_seed.h"

#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

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

    static constexpr std::uint64_t no_mark = ~std::uint64_t{0};
    std::uint64_t mark = no_mark;
    bool mark_passed = false;
    bool rewinding = false;              // Old writes are under way where new ones will go.
    std::uint64_t rewound_to = 0;        // Then bytes, too, is there.
    std::string marked_block;            // Of the block in which the mark is, what is before it.
    std::uint64_t marked_written_to = 0; // Then: unchanged, all since then is in one half.
    XXH3_state_t* marked_hasher = nullptr;

    stream() = default;
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    ~stream() {
        XXH3_freeState(hasher);
        XXH3_freeState(marked_hasher);
    }

    [[nodiscard]] bool writing() const noexcept {
        return halves[0].under_way || halves[1].under_way;
    }

    // bytes is at the mark.
    void pass_mark() {
        mark_passed = true;
        marked_written_to = written_to;
        XXH3_copyState(marked_hasher, hasher);
        const std::size_t in_block = mark % block_bytes;
        const std::size_t in_half = static_cast<std::size_t>(mark - written_to);
        marked_block.assign(halves[filling].buffer.data() + in_half - in_block, in_block);
    }

    void go_on_rewinding() noexcept {
        if (!rewinding || writing()) {
            return;
        }
        rewinding = false;
        filling = 0;
        written_to = rewound_to - marked_block.size();
        marked_written_to = written_to; // In case the mark is still there.
        halves[0].used = marked_block.size();
        halves[1].used = 0;
        std::memcpy(halves[0].buffer.data(), marked_block.data(), marked_block.size());
    }

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

    void submit_rest() noexcept {
        half& last = halves[filling];
        if (!rewinding && !last.under_way && last.used > 0) {
            submit(last);
        }
    }

    void sync_when_written() noexcept {
        if (state == large_body_state::finishing && !writing() && !syncing.under_way) {
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
        self.go_on_rewinding();
        if (self.state == large_body_state::finishing) {
            self.submit_rest();
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
    stream_->marked_hasher = XXH3_createState();
    if (stream_->hasher == nullptr || stream_->marked_hasher == nullptr) {
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
    while (taken < bytes.size() && stream_->state == large_body_state::streaming &&
           !stream_->rewinding) {
        stream::half& half = stream_->halves[stream_->filling];
        if (half.under_way) {
            break;
        }
        std::size_t step = std::min(bytes.size() - taken, body_write_bytes - half.used);
        if (!stream_->mark_passed) {
            step = static_cast<std::size_t>(
                std::min<std::uint64_t>(step, stream_->mark - stream_->bytes));
        }
        const char* from = bytes.data() + taken;
        std::memcpy(half.buffer.data() + half.used, from, step);
        XXH3_64bits_update(stream_->hasher, from, step);
        half.used += step;
        taken += step;
        stream_->bytes += step;
        if (!stream_->mark_passed && stream_->bytes == stream_->mark) {
            stream_->pass_mark();
        }
        if (half.used == body_write_bytes) {
            stream_->submit(half);
        }
    }
    return taken;
}

void large_body::set_mark(std::uint64_t at) {
    EBBGATE_ASSERT(at >= stream_->bytes && at != stream::no_mark);
    stream_->mark = at;
    stream_->mark_passed = false;
    if (at == stream_->bytes && stream_->rewinding) {
        stream_->mark_passed = true; // Where the last one was: what that kept is still right.
    } else if (at == stream_->bytes) {
        stream_->pass_mark();
    }
}

void large_body::rewind() {
    EBBGATE_ASSERT(stream_->mark_passed);
    XXH3_copyState(stream_->hasher, stream_->marked_hasher);
    stream_->bytes = stream_->mark;
    if (stream_->written_to == stream_->marked_written_to) {
        if (stream_->mark > stream_->written_to) {
            stream_->halves[stream_->filling].used =
                static_cast<std::size_t>(stream_->mark - stream_->written_to);
        } else if (!stream_->halves[stream_->filling].under_way) {
            stream_->halves[stream_->filling].used = 0;
        }
        return;
    }
    stream_->rewound_to = stream_->mark;
    stream_->rewinding = true;
    stream_->go_on_rewinding();
}

void large_body::finish() {
    if (stream_->state != large_body_state::streaming) {
        return;
    }
    stream_->state = large_body_state::finishing;
    stream_->submit_rest();
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
