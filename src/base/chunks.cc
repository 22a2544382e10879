#include "ebbgate/base/chunks.h"

#include "ebbgate/base/assert.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace ebbgate {

namespace {

chunk_block* make_block(std::size_t capacity) {
    void* memory = std::malloc(sizeof(chunk_block) + capacity);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    auto* block = new (memory) chunk_block();
    block->capacity = static_cast<std::uint32_t>(capacity);
    return block;
}

void release(chunk_block* block) noexcept {
    if (--block->references == 0) {
        std::free(block);
    }
}

} // namespace

chunks::chunks(const chunks& other) noexcept : blocks_(other.blocks_), bytes_(other.bytes_) {
    for (chunk_block* block : blocks_) {
        ++block->references;
    }
}

chunks::chunks(chunks&& other) noexcept
    : blocks_(std::move(other.blocks_)), bytes_(std::exchange(other.bytes_, 0)) {
    other.blocks_.clear();
}

chunks& chunks::operator=(const chunks& other) noexcept {
    if (this != &other) {
        chunks copy(other);
        *this = std::move(copy);
    }
    return *this;
}

chunks& chunks::operator=(chunks&& other) noexcept {
    if (this != &other) {
        clear();
        blocks_ = std::move(other.blocks_);
        other.blocks_.clear();
        bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
}

chunks::~chunks() {
    clear();
}

void chunks::append(byte_view bytes) {
    while (!bytes.empty()) {
        if (blocks_.empty() || blocks_.back()->used == blocks_.back()->capacity) {
            blocks_.push_back(make_block(blocks_.empty() ? first_block_bytes : block_bytes));
        }
        chunk_block* block = blocks_.back();
        const std::size_t room = block->capacity - block->used;
        const std::size_t taken = std::min(room, bytes.size());
        std::memcpy(block->data() + block->used, bytes.data(), taken);
        block->used += static_cast<std::uint32_t>(taken);
        bytes_ += taken;
        bytes.remove_prefix(taken);
    }
}

void chunks::truncate(std::size_t bytes) noexcept {
    EBBGATE_ASSERT(bytes <= bytes_);
    std::size_t surplus = bytes_ - bytes;
    while (surplus > 0) {
        chunk_block* last = blocks_.back();
        const std::size_t taken = std::min<std::size_t>(surplus, last->used);
        last->used -= static_cast<std::uint32_t>(taken);
        surplus -= taken;
        if (last->used == 0) {
            release(last);
            blocks_.pop_back();
        }
    }
    bytes_ = bytes;
}

void chunks::clear() noexcept {
    for (chunk_block* block : blocks_) {
        release(block);
    }
    blocks_.clear();
    bytes_ = 0;
}

std::size_t chunks::footprint_bytes() const noexcept {
    std::size_t total = 0;
    for (const chunk_block* block : blocks_) {
        total += sizeof(chunk_block) + block->capacity;
    }
    return total;
}

} // namespace ebbgate
