#include "relay/cold_messages.h"

#include "ebbgate/base/assert.h"

#include <bit>
#include <utility>

namespace ebbgate::relay {

static_assert(sizeof(cold_message) == 56);

std::size_t cold_messages::home_of(std::uint64_t id) const noexcept {
    // Ids count up in steps: the high bits of this product lie evenly between each other, others
    // may lie in heaps.
    return static_cast<std::size_t>((id * 0x9e37'79b9'7f4a'7c15U) >>
                                    (64 - std::countr_zero(index_.size())));
}

std::size_t cold_messages::place_of(std::uint64_t id) const noexcept {
    std::size_t place = home_of(id);
    while (index_[place] != nothing && record(index_[place]).id != id) {
        place = (place + 1) & (index_.size() - 1);
    }
    return place;
}

void cold_messages::grow() {
    constexpr std::size_t first_size = 64;
    const std::vector<std::uint32_t> old = std::exchange(index_, {});
    index_.assign(old.empty() ? first_size : old.size() * 2, nothing);
    for (const std::uint32_t number : old) {
        if (number != nothing) {
            index_[place_of(record(number).id)] = number;
        }
    }
}

void cold_messages::add(const cold_message& message) {
    if ((size_ + 1) * 4 > index_.size() * 3) {
        grow();
    }
    std::uint32_t number = made_;
    if (!free_.empty()) {
        number = free_.back();
        free_.pop_back();
    } else {
        if (made_ % block_records == 0) {
            blocks_.push_back(std::make_unique<cold_message[]>(block_records));
        }
        ++made_;
    }
    record(number) = message;
    const std::size_t place = place_of(message.id);
    EBBGATE_ASSERT(index_[place] == nothing);
    index_[place] = number;
    ++size_;
}

cold_message* cold_messages::find(std::uint64_t id) noexcept {
    return const_cast<cold_message*>(std::as_const(*this).find(id));
}

const cold_message* cold_messages::find(std::uint64_t id) const noexcept {
    if (size_ == 0) {
        return nullptr;
    }
    const std::uint32_t number = index_[place_of(id)];
    return number == nothing ? nullptr : &record(number);
}

void cold_messages::take(std::uint64_t id) {
    EBBGATE_ASSERT(size_ > 0);
    std::size_t hole = place_of(id);
    EBBGATE_ASSERT(index_[hole] != nothing);
    free_.push_back(std::exchange(index_[hole], nothing));
    --size_;
    // Those behind it move up, so that no search ends too early.
    const std::size_t mask = index_.size() - 1;
    for (std::size_t at = (hole + 1) & mask; index_[at] != nothing; at = (at + 1) & mask) {
        const std::size_t home = home_of(record(index_[at]).id);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index_[hole] = std::exchange(index_[at], nothing);
            hole = at;
        }
    }
}

std::size_t cold_messages::footprint_bytes() const noexcept {
    return blocks_.size() * block_records * sizeof(cold_message) +
           (free_.capacity() + index_.capacity()) * sizeof(std::uint32_t);
}

} // namespace ebbgate::relay
