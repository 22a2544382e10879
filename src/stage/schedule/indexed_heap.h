// A heap of (time, number) whose members can be removed and moved, because each knows its place.
//
// Owner   One scheduler. `place_of(number)` must return a reference to where the owner keeps the
//         member's place; the heap writes it.
// Bounds  8 bytes a member, plus the 4 bytes of the owner's place.
//
// Times are 32-bit ticks that may wrap around: they compare by signed difference, so all times in
// the heap must lie within 2^31 ticks of each other.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ebbgate::schedule {

using tick = std::uint32_t;

[[nodiscard]] constexpr bool earlier(tick left, tick right) noexcept {
    return static_cast<std::int32_t>(left - right) < 0;
}

inline constexpr std::uint32_t no_place = 0xffff'ffff;

template <typename place_of>
class indexed_heap {
public:
    struct node {
        tick time;
        std::uint32_t number;
    };

    explicit indexed_heap(place_of places) : places_(std::move(places)) {}

    [[nodiscard]] bool empty() const noexcept { return nodes_.empty(); }

    [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }

    [[nodiscard]] const node& top() const noexcept { return nodes_.front(); }

    [[nodiscard]] tick time_at(std::uint32_t place) const noexcept { return nodes_[place].time; }

    [[nodiscard]] std::size_t footprint_bytes() const noexcept {
        return nodes_.capacity() * sizeof(node);
    }

    void push(tick time, std::uint32_t number) {
        nodes_.push_back({time, number});
        rise(nodes_.size() - 1);
    }

    void remove(std::uint32_t place) {
        places_(nodes_[place].number) = no_place;
        const node last = nodes_.back();
        nodes_.pop_back();
        if (place < nodes_.size()) {
            nodes_[place] = last;
            settle(place);
        }
    }

    void change(std::uint32_t place, tick time) {
        nodes_[place].time = time;
        settle(place);
    }

private:
    // Four children a node: half the depth of a binary heap, and they share a cache line.
    static constexpr std::size_t arity = 4;

    void set(std::size_t at, const node& value) {
        nodes_[at] = value;
        places_(value.number) = static_cast<std::uint32_t>(at);
    }

    void settle(std::size_t at) {
        if (at > 0 && earlier(nodes_[at].time, nodes_[(at - 1) / arity].time)) {
            rise(at);
        } else {
            sink(at);
        }
    }

    void rise(std::size_t at) {
        const node moved = nodes_[at];
        while (at > 0) {
            const std::size_t parent = (at - 1) / arity;
            if (!earlier(moved.time, nodes_[parent].time)) {
                break;
            }
            set(at, nodes_[parent]);
            at = parent;
        }
        set(at, moved);
    }

    void sink(std::size_t at) {
        const node moved = nodes_[at];
        for (;;) {
            const std::size_t first = at * arity + 1;
            if (first >= nodes_.size()) {
                break;
            }
            const std::size_t end = first + arity < nodes_.size() ? first + arity : nodes_.size();
            std::size_t least = first;
            for (std::size_t child = first + 1; child < end; ++child) {
                if (earlier(nodes_[child].time, nodes_[least].time)) {
                    least = child;
                }
            }
            if (!earlier(nodes_[least].time, moved.time)) {
                break;
            }
            set(at, nodes_[least]);
            at = least;
        }
        set(at, moved);
    }

    std::vector<node> nodes_;
    place_of places_;
};

} // namespace ebbgate::schedule
