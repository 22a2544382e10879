#include "ebbgate/spool/reader.h"

#include "ebbgate/base/assert.h"

#include "codec/spool/format.h"

#include <xxhash.h>

#include <algorithm>
#include <new>

namespace ebbgate::spool {

namespace {

constexpr std::size_t body_read_bytes = 256 * kib;

} // namespace

struct message_reader::reading {
    enum class step : std::uint8_t { closed, record, verifying, streaming };

    struct read_operation : completion {
        reading* owner = nullptr;
        std::size_t bytes = 0; // Least that must arrive.
        bool under_way = false;
    };

    message_reader* reader = nullptr;
    device* disk = nullptr;
    shard_files* files = nullptr;
    event_handler on_event = nullptr;
    void* context = nullptr;

    step now = step::closed;
    std::uint64_t message_id = 0;
    location where;
    std::uint64_t key = 0;
    stored_message message;
    aligned_buffer record;
    aligned_buffer body_buffer;
    file_id body_file = no_file;
    std::uint64_t body_at = 0;
    std::size_t block_used = 0;
    byte_view block;
    XXH3_state_t* hasher = nullptr;
    read_operation operation;
    bool read_again = false;
    bool is_inline_taken = false;
    read_scope scope = read_scope::message;

    reading() = default;
    reading(const reading&) = delete;
    reading& operator=(const reading&) = delete;

    ~reading() { XXH3_freeState(hasher); }

    void
    read(file_id file, std::uint64_t offset, char* data, std::size_t bytes, std::size_t least) {
        operation.bytes = least;
        operation.under_way = true;
        disk->read(file, offset, data, bytes, operation);
    }

    void read_record();
    void read_body_block();
    void begin_body();
    // The record has been read: its segment may be used again while the body is sent, which takes
    // as long as the other end likes.
    void begin_streaming();
    void on_record(bool arrived);
    void on_body_block(bool arrived);
    // Another try from the start, once; then the caller is told.
    void retry_or(read_status status);

    static void on_read(completion& done, std::int64_t outcome) noexcept {
        read_operation& operation = static_cast<read_operation&>(done);
        reading& self = *operation.owner;
        operation.under_way = false;
        const bool arrived = outcome >= static_cast<std::int64_t>(operation.bytes);
        if (self.now == step::record) {
            self.on_record(arrived);
        } else {
            self.on_body_block(arrived);
        }
    }

    // Last, always: the owner may finish or start again from its handler.
    void tell(read_status status) noexcept { on_event(*reader, status, context); }
};

void message_reader::reading::read_record() {
    const segment_entry* segment = files->find(where.segment_id);
    EBBGATE_ASSERT(segment != nullptr);
    now = step::record;
    key = segment_key(segment->seed, segment->segment_id);
    const std::uint64_t first = where.offset / block_bytes * block_bytes;
    const std::size_t bytes = round_up(where.offset + where.record_bytes - first, block_bytes);
    if (record.bytes() < bytes) {
        record = aligned_buffer(bytes);
    }
    read(segment->file, first, record.data(), bytes, bytes);
}

void message_reader::reading::retry_or(read_status status) {
    if (!read_again) {
        read_again = true;
        read_record();
        return;
    }
    block = {};
    tell(status);
}

void message_reader::reading::on_record(bool arrived) {
    if (!arrived) {
        retry_or(read_status::failed);
        return;
    }
    const char* bytes = record.data() + where.offset % block_bytes;
    const auto stored = decode_stored_message(bytes, message_id, where, key);
    if (!stored || stored->reference.file_number != where.body_file) {
        message = {};
        if (read_again) {
            message.meta = decode_stored_meta(bytes, message_id, where, key);
        }
        retry_or(read_status::damaged);
        return;
    }
    message = *stored;
    if (where.body_file == no_body_file || scope == read_scope::envelope) {
        begin_streaming();
        tell(read_status::ready);
        return;
    }
    const body_file_entry* body = files->body(where.body_file);
    if (body == nullptr || message.reference.bytes != where.body_bytes) {
        tell(read_status::damaged);
        return;
    }
    body_file = body->file;
    const std::uint64_t wanted = std::min<std::uint64_t>(where.body_bytes, body_read_bytes);
    if (body_buffer.bytes() < wanted) {
        body_buffer = aligned_buffer(wanted);
    }
    if (where.body_bytes == 0) {
        begin_streaming();
        tell(read_status::ready);
        return;
    }
    now = step::verifying;
    begin_body();
    read_body_block();
}

void message_reader::reading::begin_body() {
    body_at = 0;
    XXH3_64bits_reset_withSeed(hasher, message.reference.seed);
}

void message_reader::reading::begin_streaming() {
    now = step::streaming;
    files->unpin_record(where);
}

void message_reader::reading::read_body_block() {
    const std::uint64_t left = where.body_bytes - body_at;
    block_used = static_cast<std::size_t>(std::min<std::uint64_t>(left, body_read_bytes));
    const std::size_t bytes = static_cast<std::size_t>(round_up(block_used, block_bytes));
    read(body_file, body_at, body_buffer.data(), bytes, block_used);
}

void message_reader::reading::on_body_block(bool arrived) {
    const bool is_verifying = now == step::verifying;
    if (!arrived) {
        // Beyond the first block of the second pass some of it has been sent: no starting over.
        read_again = read_again || !is_verifying;
        retry_or(read_status::failed);
        return;
    }
    XXH3_64bits_update(hasher, body_buffer.data(), block_used);
    body_at += block_used;
    const bool is_last = body_at == where.body_bytes;
    if (is_last && XXH3_64bits_digest(hasher) != message.reference.hash) {
        read_again = read_again || !is_verifying;
        retry_or(read_status::damaged);
        return;
    }
    if (!is_verifying) {
        block = {body_buffer.data(), block_used};
        tell(read_status::ready);
        return;
    }
    if (!is_last) {
        read_body_block();
        return;
    }
    begin_body();
    begin_streaming();
    tell(read_status::ready);
}

message_reader::message_reader(device& disk,
                               shard_files& files,
                               event_handler on_event,
                               void* context)
    : reading_(std::make_unique<reading>()) {
    reading_->reader = this;
    reading_->disk = &disk;
    reading_->files = &files;
    reading_->on_event = on_event;
    reading_->context = context;
    reading_->operation.owner = reading_.get();
    reading_->operation.on_complete = reading::on_read;
    reading_->hasher = XXH3_createState();
    if (reading_->hasher == nullptr) {
        throw std::bad_alloc();
    }
}

message_reader::~message_reader() {
    finish();
}

void message_reader::start(std::uint64_t message_id, const location& where, read_scope scope) {
    EBBGATE_ASSERT(reading_->now == reading::step::closed);
    reading_->message_id = message_id;
    reading_->where = where;
    reading_->scope = scope;
    reading_->read_again = false;
    reading_->is_inline_taken = false;
    reading_->files->pin(where);
    reading_->read_record();
}

void message_reader::set_handler(event_handler on_event, void* context) noexcept {
    EBBGATE_ASSERT(!busy());
    reading_->on_event = on_event;
    reading_->context = context;
}

bool message_reader::next() {
    reading& state = *reading_;
    EBBGATE_ASSERT(state.now == reading::step::streaming && !busy());
    if (state.where.body_file == no_body_file) {
        state.block = state.is_inline_taken ? byte_view() : state.message.body;
        state.is_inline_taken = true;
        return true;
    }
    state.block = {};
    if (state.body_at == state.where.body_bytes) {
        return true;
    }
    state.read_body_block();
    return false;
}

void message_reader::finish() noexcept {
    EBBGATE_ASSERT(!busy());
    if (reading_->now != reading::step::closed) {
        if (reading_->now != reading::step::streaming) {
            reading_->files->unpin_record(reading_->where);
        }
        reading_->files->unpin_body(reading_->where);
        reading_->now = reading::step::closed;
        reading_->message = {};
        reading_->block = {};
    }
}

bool message_reader::busy() const noexcept {
    return reading_->operation.under_way;
}

byte_view message_reader::meta() const noexcept {
    return reading_->message.meta;
}

byte_view message_reader::block() const noexcept {
    return reading_->block;
}

std::uint64_t message_reader::body_bytes() const noexcept {
    return reading_->where.body_bytes;
}

std::uint64_t message_reader::body_seed() const noexcept {
    return reading_->message.reference.seed;
}

std::uint64_t message_reader::body_hash() const noexcept {
    return reading_->message.reference.hash;
}

} // namespace ebbgate::spool
