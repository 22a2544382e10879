// Message ids, and records by them, in few bytes: there may be many millions.
//
// Owner   One container or table of one thread.
// Bounds  id_set: 11 to 22 bytes an id. id_index: 6 to 11 bytes a record. No id is refused.

#pragma once

#include "ebbgate/base/assert.h"

#include "base/record_pool.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ebbgate {

// Where an open addressing table of a power of two places begins to look for an id.
[[nodiscard]] inline std::size_t home_of(std::uint64_t id, std::size_t places) noexcept {
    // Ids count up in steps: the high bits of this product lie evenly between each other, others
    // may lie in heaps.
    return static_cast<std::size_t>((id * 0x9e37'79b9'7f4a'7c15U) >>
                                    (64 - std::countr_zero(places)));
}

// Ids are added and never removed.
class id_set {
public:
    void add(std::uint64_t id) {
        if (id == 0) {
            has_zero_ = true;
            return;
        }
        if ((size_ + 1) * 4 > places_.size() * 3) {
            grow();
        }
        std::uint64_t& place = places_[place_of(id)];
        size_ += place == 0 ? 1 : 0;
        place = id;
    }

    [[nodiscard]] bool contains(std::uint64_t id) const noexcept {
        if (id == 0) {
            return has_zero_;
        }
        return size_ > 0 && places_[place_of(id)] == id;
    }

private:
    static constexpr std::size_t first_places = 64;

    [[nodiscard]] std::size_t place_of(std::uint64_t id) const noexcept {
        std::size_t place = home_of(id, places_.size());
        while (places_[place] != 0 && places_[place] != id) {
            place = (place + 1) & (places_.size() - 1);
        }
        return place;
    }

    void grow() {
        const std::vector<std::uint64_t> old = std::exchange(places_, {});
        places_.assign(old.empty() ? first_places : old.size() * 2, 0);
        for (const std::uint64_t id : old) {
            if (id != 0) {
                places_[place_of(id)] = id;
            }
        }
    }

    std::vector<std::uint64_t> places_; // 0: free.
    std::size_t size_ = 0;
    bool has_zero_ = false;
};

// Numbers of records of a pool, each of which has its `id`.
template <typename record>
class id_index {
public:
    explicit id_index(const record_pool<record>& records) : records_(records) {}

    // no_record: it is not there.
    [[nodiscard]] std::uint32_t find(std::uint64_t id) const noexcept {
        return size_ == 0 ? no_record : places_[place_of(id)];
    }

    // Its record has its id already, and the index has none of it.
    void add(std::uint32_t number) {
        if ((size_ + 1) * 4 > places_.size() * 3) {
            grow();
        }
        places_[place_of(records_[number].id)] = number;
        ++size_;
    }

    // It is there, and its record still has its id.
    void remove(std::uint64_t id) noexcept {
        EBBGATE_ASSERT(size_ > 0);
        std::size_t hole = place_of(id);
        EBBGATE_ASSERT(places_[hole] != no_record);
        places_[hole] = no_record;
        --size_;
        // Those behind it move up, so that no search ends too early.
        const std::size_t mask = places_.size() - 1;
        for (std::size_t at = (hole + 1) & mask; places_[at] != no_record; at = (at + 1) & mask) {
            const std::size_t home = home_of(records_[places_[at]].id, places_.size());
            if (((at - home) & mask) >= ((at - hole) & mask)) {
                places_[hole] = std::exchange(places_[at], no_record);
                hole = at;
            }
        }
    }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept {
        return places_.capacity() * sizeof(std::uint32_t);
    }

private:
    static constexpr std::size_t first_places = 64;

    [[nodiscard]] std::size_t place_of(std::uint64_t id) const noexcept {
        std::size_t place = home_of(id, places_.size());
        while (places_[place] != no_record && records_[places_[place]].id != id) {
            place = (place + 1) & (places_.size() - 1);
        }
        return place;
    }

    void grow() {
        const std::vector<std::uint32_t> old = std::exchange(places_, {});
        places_.assign(old.empty() ? first_places : old.size() * 2, no_record);
        for (const std::uint32_t number : old) {
            if (number != no_record) {
                places_[place_of(records_[number].id)] = number;
            }
        }
    }

    const record_pool<record>& records_;
    std::vector<std::uint32_t> places_;
    std::size_t size_ = 0;
};

} // namespace ebbgate
