// A byte sequence kept in reference-counted blocks: the body of a message while it is in memory.
//
// Input   Views of received bytes, copied once on append.
// Output  Blocks in order; copies of a `chunks` share them.
// Owner   One thread. The counts are plain integers, so blocks never cross threads.
// Bounds  None of its own; the caller counts `bytes()` against its budget.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ebbgate {

// One block. The first of a body is small (most messages are), the others are large.
struct chunk_block {
    std::uint32_t references = 1;
    std::uint32_t capacity = 0;
    std::uint32_t used = 0;

    [[nodiscard]] char* data() noexcept { return reinterpret_cast<char*>(this + 1); }

    [[nodiscard]] const char* data() const noexcept {
        return reinterpret_cast<const char*>(this + 1);
    }
};

class chunks {
public:
    static constexpr std::size_t first_block_bytes = 8 * kib - sizeof(chunk_block);
    static constexpr std::size_t block_bytes = 64 * kib - sizeof(chunk_block);

    chunks() = default;
    chunks(const chunks& other) noexcept;
    chunks(chunks&& other) noexcept;
    chunks& operator=(const chunks& other) noexcept;
    chunks& operator=(chunks&& other) noexcept;
    ~chunks();

    // Copies `bytes` to the end. Only for an owner that has not yet shared the sequence.
    void append(byte_view bytes);
    // Keeps the first `bytes`, of at least as many. For the same owner.
    void truncate(std::size_t bytes) noexcept;

    void clear() noexcept;

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    [[nodiscard]] bool empty() const noexcept { return bytes_ == 0; }

    [[nodiscard]] std::size_t block_count() const noexcept { return blocks_.size(); }

    [[nodiscard]] byte_view block(std::size_t index) const noexcept {
        return {blocks_[index]->data(), blocks_[index]->used};
    }

    // What the blocks occupy, for memory budgets.
    [[nodiscard]] std::size_t footprint_bytes() const noexcept;

private:
    std::vector<chunk_block*> blocks_;
    std::size_t bytes_ = 0;
};

} // namespace ebbgate
