// A map of networks that keeps a fixed number of them: the one touched longest ago makes room.
//
// Owner   One thread.
// Bounds  `capacity` entries; a flood of new keys costs constant time and no memory beyond them.

#pragma once

#include "ebbgate/base/assert.h"

#include "stage/bans/network_set.h"

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ebbgate::bans {

template <typename mapped>
class recent_map {
public:
    using slot_index = std::uint32_t;

    static constexpr slot_index none = 0xffff'ffff;

    explicit recent_map(std::uint32_t capacity) : capacity_(capacity) {
        EBBGATE_ASSERT(capacity > 0 && capacity < none);
    }

    // The entry of the key, made when it is new; from now on the youngest. What had to go for it
    // is in `displaced`.
    slot_index touch(const config::ip_network& key, std::optional<config::ip_network>& displaced) {
        if (const auto found = index_.find(key); found != index_.end()) {
            unlink(found->second);
            link_youngest(found->second);
            return found->second;
        }
        if (index_.size() == capacity_) {
            displaced = slots_[oldest_].key;
            erase(oldest_);
        }
        slot_index at = free_;
        if (at == none) {
            at = static_cast<slot_index>(slots_.size());
            slots_.emplace_back();
        } else {
            free_ = slots_[at].younger;
        }
        slots_[at].key = key;
        slots_[at].value = mapped();
        index_.emplace(key, at);
        link_youngest(at);
        return at;
    }

    [[nodiscard]] slot_index find(const config::ip_network& key) const {
        const auto found = index_.find(key);
        return found == index_.end() ? none : found->second;
    }

    void erase(slot_index at) {
        unlink(at);
        index_.erase(slots_[at].key);
        slots_[at].younger = free_;
        free_ = at;
    }

    void clear() {
        slots_.clear();
        index_.clear();
        oldest_ = youngest_ = free_ = none;
    }

    [[nodiscard]] mapped& value(slot_index at) { return slots_[at].value; }

    [[nodiscard]] const mapped& value(slot_index at) const { return slots_[at].value; }

    [[nodiscard]] const config::ip_network& key(slot_index at) const { return slots_[at].key; }

    [[nodiscard]] slot_index oldest() const noexcept { return oldest_; }

    [[nodiscard]] slot_index younger_than(slot_index at) const { return slots_[at].younger; }

    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }

private:
    struct slot {
        config::ip_network key;
        slot_index younger = none; // Of a free slot: the next free one.
        slot_index older = none;
        mapped value{};
    };

    void unlink(slot_index at) {
        const slot& gone = slots_[at];
        (gone.older == none ? oldest_ : slots_[gone.older].younger) = gone.younger;
        (gone.younger == none ? youngest_ : slots_[gone.younger].older) = gone.older;
    }

    void link_youngest(slot_index at) {
        slots_[at].younger = none;
        slots_[at].older = youngest_;
        (youngest_ == none ? oldest_ : slots_[youngest_].younger) = at;
        youngest_ = at;
    }

    std::uint32_t capacity_;
    std::vector<slot> slots_;
    std::unordered_map<config::ip_network, slot_index, network_hash> index_;
    slot_index oldest_ = none;
    slot_index youngest_ = none;
    slot_index free_ = none;
};

} // namespace ebbgate::bans
