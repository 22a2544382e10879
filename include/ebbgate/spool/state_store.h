// The states of a shard's messages as recovery has them: bytes in blocks, which go all at once.
//
// Owner   Recovery, then who puts the messages into a queue. Moved, it keeps what it gave out.
// Bounds  The states, rounded up to 8 bytes, and as much again that was replaced or dropped.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ebbgate::spool {

class state_store {
public:
    struct entry {
        char* data = nullptr;
        std::uint32_t bytes = 0;
        std::uint32_t room = 0;

        [[nodiscard]] byte_view view() const noexcept { return {data, bytes}; }
    };

    // In the place of what it has, which is written over where the new one fits.
    void set(entry& target, byte_view state);
    void drop(entry& target) noexcept;

    // Mostly holes: set() every entry anew in another one.
    [[nodiscard]] bool is_sparse() const noexcept;

    [[nodiscard]] std::size_t footprint_bytes() const noexcept { return made_bytes_; }

private:
    static constexpr std::size_t block_bytes_min = 1024UL * 1024;

    std::vector<std::unique_ptr<char[]>> blocks_;
    char* next_ = nullptr;
    std::size_t left_bytes_ = 0;
    std::size_t made_bytes_ = 0;
    std::size_t lost_bytes_ = 0;
};

} // namespace ebbgate::spool
