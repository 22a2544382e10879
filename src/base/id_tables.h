// Message ids, and records by them, in few bytes: there may be many millions.
//
// Owner   One container or table of one thread.
// Bounds  id_set: 11 to 22 bytes an id. id_index: 11 to 22 bytes a record. No id is refused.

#pragma once

#include "ebbgate/base/assert.h"

#include "base/record_pool.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ebbgate {

// Ids count up in steps: the high bits of this product lie evenly between each other, others may
// lie in heaps. An open addressing table begins to look at the highest.
[[nodiscard]] inline std::uint64_t spread(std::uint64_t id) noexcept {
    return id * 0x9e37'79b9'7f4a'7c15U;
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
        std::size_t place =
            static_cast<std::size_t>(spread(id) >> (64 - std::countr_zero(places_.size())));
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
        return size_ == 0 ? no_record : places_[place_of(id)].number;
    }

    // Asks for what find() will look at, of all at once: one after the other they would be waited
    // for.
    void ask_for(std::span<const std::uint64_t> ids) const noexcept {
        if (size_ == 0) {
            return;
        }
        for (const std::uint64_t id : ids) {
            __builtin_prefetch(&places_[home(tag_of(id))]);
        }
        for (const std::uint64_t id : ids) {
            const std::uint32_t tag = tag_of(id);
            const std::uint32_t number = places_[next_tagged(tag, home(tag))].number;
            if (number != no_record) {
                const auto* begin = reinterpret_cast<const char*>(&records_[number]);
                __builtin_prefetch(begin, 1);
                __builtin_prefetch(begin + sizeof(record) - 1, 1); // It may lie in two lines.
            }
        }
    }

    // Its record has its id already, and the index has none of it.
    void add(std::uint32_t number) {
        if ((size_ + 1) * 4 > places_.size() * 3) {
            grow();
        }
        put({number, tag_of(records_[number].id)});
        ++size_;
    }

    // It is there, and its record still has its id.
    void remove(std::uint64_t id) noexcept {
        EBBGATE_ASSERT(size_ > 0);
        std::size_t hole = place_of(id);
        EBBGATE_ASSERT(places_[hole].number != no_record);
        places_[hole] = {};
        --size_;
        // Those behind it move up, so that no search ends too early.
        const std::size_t mask = places_.size() - 1;
        for (std::size_t at = (hole + 1) & mask; places_[at].number != no_record;
             at = (at + 1) & mask) {
            if (((at - home(places_[at].tag)) & mask) >= ((at - hole) & mask)) {
                places_[hole] = std::exchange(places_[at], place());
                hole = at;
            }
        }
    }

    // None is in it any more, and it takes no room.
    void clear() noexcept {
        std::vector<place>().swap(places_);
        size_ = 0;
    }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept {
        return places_.capacity() * sizeof(place);
    }

private:
    static constexpr std::size_t first_places = 64;

    // The tag spares a look at records that are others: each lies somewhere else.
    struct place {
        std::uint32_t number = no_record;
        std::uint32_t tag = 0;
    };

    [[nodiscard]] static std::uint32_t tag_of(std::uint64_t id) noexcept {
        return static_cast<std::uint32_t>(spread(id) >> 32);
    }

    [[nodiscard]] std::size_t home(std::uint32_t tag) const noexcept {
        return tag >> (32 - std::countr_zero(places_.size()));
    }

    // The first that is free or has this tag, from `at` on.
    [[nodiscard]] std::size_t next_tagged(std::uint32_t tag, std::size_t at) const noexcept {
        while (places_[at].number != no_record && places_[at].tag != tag) {
            at = (at + 1) & (places_.size() - 1);
        }
        return at;
    }

    [[nodiscard]] std::size_t place_of(std::uint64_t id) const noexcept {
        const std::uint32_t tag = tag_of(id);
        std::size_t at = next_tagged(tag, home(tag));
        while (places_[at].number != no_record && records_[places_[at].number].id != id) {
            at = next_tagged(tag, (at + 1) & (places_.size() - 1));
        }
        return at;
    }

    // There is none of its id.
    void put(place added) noexcept {
        std::size_t at = home(added.tag);
        while (places_[at].number != no_record) {
            at = (at + 1) & (places_.size() - 1);
        }
        places_[at] = added;
    }

    void grow() {
        const std::vector<place> old = std::exchange(places_, {});
        places_.resize(old.empty() ? first_places : old.size() * 2);
        for (const place& known : old) {
            if (known.number != no_record) {
                put(known);
            }
        }
    }

    const record_pool<record>& records_;
    std::vector<place> places_;
    std::size_t size_ = 0;
};

} // namespace ebbgate
