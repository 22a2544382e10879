#include "stage/schedule/ready_queue.h"

#include "ebbgate/base/assert.h"

namespace ebbgate::schedule {

namespace {

std::uint64_t key_of(const slot& item) {
    return (std::uint64_t{item.lane} << 32) | item.owner;
}

} // namespace

// Nearly always the one whose turn it is: most lanes have the mail of one tenant.
std::uint32_t ready_queue::find(const ready_lane& lane, const slot& item) const {
    const std::uint64_t key = key_of(item);
    const std::uint32_t turn = is_urgent_owner(item.owner) ? lane.urgent_turn : lane.other_turn;
    if (turn == no_queue || queues_[turn].key == key) {
        return turn;
    }
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? no_queue : found->second;
}

// The new one is served last.
std::uint32_t ready_queue::make(std::uint32_t& turn, std::uint64_t key) {
    std::uint32_t made = static_cast<std::uint32_t>(queues_.size());
    if (free_.empty()) {
        queues_.emplace_back();
    } else {
        made = free_.back();
        free_.pop_back();
    }
    tenant_queue& queue = queues_[made];
    queue = {};
    queue.key = key;
    if (turn == no_queue) {
        queue.next = queue.previous = made;
        turn = made;
    } else {
        queue.next = turn;
        queue.previous = queues_[turn].previous;
        queues_[queue.previous].next = made;
        queues_[turn].previous = made;
    }
    by_key_.emplace(key, made);
    return made;
}

void ready_queue::add(ready_lane& lane, std::uint32_t number, bool first) {
    const slot& item = slots_[number];
    std::uint32_t& turn = turn_of(lane, item.owner);
    std::uint32_t queue = find(lane, item);
    if (queue == no_queue) {
        queue = make(turn, key_of(item));
    }
    if (first) {
        slots_.link_first<&slot::waiting>(queues_[queue].items, number);
        turn = queue;
    } else {
        slots_.link_last<&slot::waiting>(queues_[queue].items, number);
    }
    ++lane.count;
}

void ready_queue::unlink_item(ready_lane& lane, std::uint32_t queue, std::uint32_t number) {
    tenant_queue& from = queues_[queue];
    std::uint32_t& turn = turn_of(lane, slots_[number].owner);
    slots_.unlink<&slot::waiting>(from.items, number);
    --lane.count;
    if (from.items.first != no_slot) {
        return;
    }
    if (from.next == queue) {
        turn = no_queue;
    } else {
        queues_[from.previous].next = from.next;
        queues_[from.next].previous = from.previous;
        if (turn == queue) {
            turn = from.next;
        }
    }
    by_key_.erase(from.key);
    free_.push_back(queue);
}

void ready_queue::remove(ready_lane& lane, std::uint32_t number) {
    const std::uint32_t queue = find(lane, slots_[number]);
    EBBGATE_ASSERT(queue != no_queue);
    unlink_item(lane, queue, number);
}

std::uint32_t ready_queue::next(const ready_lane& lane, std::uint32_t urgent_run_max) const {
    const std::uint32_t turn =
        is_urgent_next(lane, urgent_run_max) ? lane.urgent_turn : lane.other_turn;
    return turn == no_queue ? no_slot : queues_[turn].items.first;
}

std::uint32_t ready_queue::take(ready_lane& lane, std::uint32_t urgent_run_max) {
    const bool urgent = is_urgent_next(lane, urgent_run_max);
    std::uint32_t& turn = urgent ? lane.urgent_turn : lane.other_turn;
    if (turn == no_queue) {
        return no_slot;
    }
    lane.urgent_run = urgent ? lane.urgent_run + 1 : 0;
    const std::uint32_t queue = turn;
    const std::uint32_t number = queues_[queue].items.first;
    turn = queues_[queue].next;
    unlink_item(lane, queue, number);
    return number;
}

std::size_t ready_queue::footprint_bytes() const noexcept {
    constexpr std::size_t hash_entry_bytes = 48; // A node and its share of the buckets.
    return queues_.capacity() * sizeof(tenant_queue) + by_key_.size() * hash_entry_bytes;
}

} // namespace ebbgate::schedule
