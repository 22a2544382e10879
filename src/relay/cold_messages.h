// Messages that wait and of which nothing is in memory but where they lie: ten million of them are
// what a bad day leaves. Who they are from and to is read back when their time comes.
//
// Owner   Outbound of one shard.
// Bounds  56 bytes a message, and 6 to 11 for the index. A record stays where it is until take().

#pragma once

#include "ebbgate/spool/location.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ebbgate::relay {

struct cold_message {
    std::uint64_t id = 0;
    spool::location where;
    std::uint32_t first_slot = 0; // Of its items in the scheduler.
    std::uint32_t items = 0;      // Those, and what else holds it.
};

class cold_messages {
public:
    // It is not there yet.
    void add(const cold_message& message);
    // Null: it is not here. Good until the next add() or take().
    [[nodiscard]] cold_message* find(std::uint64_t id) noexcept;
    [[nodiscard]] const cold_message* find(std::uint64_t id) const noexcept;
    void take(std::uint64_t id);

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept;

private:
    static constexpr std::size_t block_records = 1024;
    static constexpr std::uint32_t nothing = 0xffff'ffff;

    [[nodiscard]] cold_message& record(std::uint32_t number) const noexcept {
        return blocks_[number / block_records][number % block_records];
    }

    [[nodiscard]] std::size_t home_of(std::uint64_t id) const noexcept;
    // Where the index has it, or the free place where it would stand.
    [[nodiscard]] std::size_t place_of(std::uint64_t id) const noexcept;
    void grow();

    std::vector<std::unique_ptr<cold_message[]>> blocks_;
    std::vector<std::uint32_t> free_;
    std::vector<std::uint32_t> index_; // Open addressing with linear probing.
    std::uint32_t made_ = 0;
    std::size_t size_ = 0;
};

} // namespace ebbgate::relay
