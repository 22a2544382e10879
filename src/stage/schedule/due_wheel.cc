#include "stage/schedule/due_wheel.h"

#include "ebbgate/base/assert.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace ebbgate::schedule {

void due_wheel::level_map::set(std::uint32_t index) noexcept {
    words[index / 64] |= std::uint64_t{1} << index % 64;
    used_words |= std::uint64_t{1} << index / 64;
}

void due_wheel::level_map::clear(std::uint32_t index) noexcept {
    words[index / 64] &= ~(std::uint64_t{1} << index % 64);
    if (words[index / 64] == 0) {
        used_words &= ~(std::uint64_t{1} << index / 64);
    }
}

std::optional<std::uint32_t> due_wheel::level_map::next(std::uint32_t index) const noexcept {
    const std::uint32_t word = index / 64;
    if (const std::uint64_t rest = words[word] >> index % 64; rest != 0) {
        return static_cast<std::uint32_t>(std::countr_zero(rest));
    }
    if (used_words == 0) {
        return std::nullopt;
    }
    // The words after this one; else those from the first on, this one's lower half included.
    const std::uint64_t after = used_words & ~((std::uint64_t{2} << word) - 1);
    const auto found =
        static_cast<std::uint32_t>(std::countr_zero(after != 0 ? after : used_words));
    const std::uint32_t at =
        found * 64 + static_cast<std::uint32_t>(std::countr_zero(words[found]));
    return (at - index) % level_buckets;
}

std::uint32_t due_wheel::make_block() {
    if (first_free_ != no_block) {
        return std::exchange(first_free_, block_at(first_free_).next);
    }
    if (blocks_made_ % chunk_blocks == 0) {
        chunks_.push_back(std::make_unique<block[]>(chunk_blocks));
    }
    EBBGATE_ASSERT(blocks_made_ < no_block / block_places);
    return blocks_made_++;
}

void due_wheel::insert(tick time, std::uint32_t number) {
    const tick at = earlier(time, cursor_) ? cursor_ : time;
    std::uint32_t level = 0;
    while (level + 1 < levels && level_distance(level, at) >= level_buckets) {
        ++level;
    }
    const std::uint32_t bucket = bucket_of(level, at);
    std::uint32_t& first = buckets_[bucket];
    if (first == no_block) {
        maps_[level].set(bucket % level_buckets);
        earliest_[bucket] = time;
    } else if (earlier(time, earliest_[bucket])) {
        earliest_[bucket] = time;
    }
    if (first == no_block || block_at(first).count == block_at(first).nodes.size()) {
        const std::uint32_t made = make_block();
        block_at(made).next = first;
        block_at(made).bucket = static_cast<std::uint16_t>(bucket);
        block_at(made).count = 0;
        first = made;
    }
    block& into = block_at(first);
    slots_[number].place = first * block_places + into.count;
    into.nodes[into.count++] = {time, number};
}

void due_wheel::take_last(std::uint32_t bucket) {
    const std::uint32_t first = buckets_[bucket];
    block& from = block_at(first);
    if (--from.count > 0) {
        return;
    }
    buckets_[bucket] = std::exchange(from.next, std::exchange(first_free_, first));
    if (buckets_[bucket] == no_block) {
        maps_[bucket / level_buckets].clear(bucket % level_buckets);
    }
}

void due_wheel::push(tick time, std::uint32_t number, tick now) {
    if (size_ == 0) {
        cursor_ = now;
        asked_until_ = now;
        soonest_ = time;
        is_soonest_known_ = true;
    } else if (is_soonest_known_ && earlier(time, soonest_)) {
        soonest_ = time;
    }
    insert(time, number);
    ++size_;
}

void due_wheel::remove(std::uint32_t number) {
    const std::uint32_t place = std::exchange(slots_[number].place, no_place);
    EBBGATE_ASSERT(place != no_place && size_ > 0);
    block& from = block_at(place / block_places);
    const std::uint32_t bucket = from.bucket;
    node& hole = from.nodes[place % block_places];
    if (hole.time == soonest_) {
        is_soonest_known_ = false;
    }
    const block& first = block_at(buckets_[bucket]);
    const node& last = first.nodes[first.count - 1U];
    if (&last != &hole) {
        hole = last;
        slots_[last.number].place = place;
    }
    take_last(bucket);
    --size_;
}

std::uint32_t due_wheel::next_due(tick now, std::size_t& moves) {
    if (size_ == 0 || (is_soonest_known_ && earlier(now, soonest_))) {
        return no_slot;
    }
    for (;;) {
        if (!spill(2, moves) || !spill(1, moves)) {
            soonest_ = cursor_;
            is_soonest_known_ = true;
            return no_slot;
        }
        if (const std::uint32_t first = buckets_[bucket_of(0, cursor_)]; first != no_block) {
            ask_for_what_follows(first);
            const block& due = block_at(first);
            return due.nodes[due.count - 1U].number;
        }
        const tick stop = next_stop();
        asked_from_ = no_block;
        if (earlier(now, stop)) {
            cursor_ = earlier(cursor_, now) ? now : cursor_;
            soonest_ = find_soonest();
            is_soonest_known_ = true;
            return no_slot;
        }
        cursor_ = stop;
    }
}

std::optional<tick> due_wheel::next_time() const noexcept {
    if (size_ == 0) {
        return std::nullopt;
    }
    return is_soonest_known_ ? soonest_ : find_soonest();
}

tick due_wheel::next_stop() const noexcept {
    tick nearest = 0xffff'ffff; // From the cursor.
    for (std::uint32_t level = 0; level < levels; ++level) {
        const std::uint32_t shift = level * level_bits;
        if (const auto ahead = maps_[level].next(bucket_of(0, cursor_ >> shift))) {
            nearest = std::min(nearest, (((cursor_ >> shift) + *ahead) << shift) - cursor_);
        }
    }
    return cursor_ + nearest;
}

tick due_wheel::find_soonest() const noexcept {
    std::optional<tick> soonest;
    for (std::uint32_t level = 0; level < levels; ++level) {
        const std::uint32_t index = bucket_of(0, cursor_ >> level * level_bits);
        if (const auto ahead = maps_[level].next(index)) {
            const tick time = earliest_[level * level_buckets + (index + *ahead) % level_buckets];
            soonest = soonest && earlier(*soonest, time) ? *soonest : time;
        }
    }
    return soonest.value_or(cursor_);
}

// What the cursor has come to, into the levels below; false: not all of it.
bool due_wheel::spill(std::uint32_t level, std::size_t& moves) {
    const std::uint32_t bucket = bucket_of(level, cursor_);
    while (buckets_[bucket] != no_block) {
        const block& from = block_at(buckets_[bucket]);
        for (std::uint32_t at = 0; at < from.count; ++at) {
            __builtin_prefetch(&slots_[from.nodes[at].number].place, 1);
        }
        for (std::uint32_t left = from.count; left > 0; --left) {
            if (moves == 0) {
                return false;
            }
            --moves;
            insert(from.nodes[left - 1].time, from.nodes[left - 1].number);
            take_last(bucket);
        }
    }
    return true;
}

// The next block of this bucket; or, some buckets at a time, those that come after it.
void due_wheel::ask_for_what_follows(std::uint32_t block_number) {
    if (asked_from_ == block_number) {
        return;
    }
    asked_from_ = block_number;
    std::array<std::uint32_t, asked_min + block_places> numbers;
    std::size_t count = 0;
    const auto gather = [&](const block& of) {
        for (std::uint32_t at = 0; at < of.count; ++at) {
            numbers[count++] = of.nodes[at].number;
        }
    };
    if (const std::uint32_t next = block_at(block_number).next; next != no_block) {
        gather(block_at(next));
    } else if (!earlier(cursor_, asked_until_)) {
        for (tick at = cursor_ + 1; count < asked_min; ++at) {
            const auto ahead = maps_[0].next(bucket_of(0, at));
            if (!ahead || at + *ahead - cursor_ >= level_buckets) {
                break;
            }
            at += *ahead;
            gather(block_at(buckets_[bucket_of(0, at)]));
            asked_until_ = at;
        }
    }
    ask_for_slots(std::span(numbers).first(count));
}

// A slot may lie in two lines, and its neighbours are changed with it. The second round waits for
// the first, but for all slots at once.
void due_wheel::ask_for_slots(std::span<const std::uint32_t> numbers) const {
    for (const std::uint32_t number : numbers) {
        __builtin_prefetch(&slots_[number].message_id, 1);
        __builtin_prefetch(&slots_[number].state, 1);
    }
    std::array<std::uint64_t, asked_min + block_places> ids;
    std::size_t count = 0;
    for (const std::uint32_t number : numbers) {
        ids[count++] = slots_[number].message_id;
        const slot_links& links = slots_[number].waiting;
        for (const std::uint32_t neighbour : {links.previous, links.next}) {
            if (neighbour != no_slot) {
                __builtin_prefetch(&slots_[neighbour].waiting, 1);
            }
        }
    }
    if (soon_due_ && count > 0) {
        soon_due_(std::span(ids).first(count));
    }
}

} // namespace ebbgate::schedule
