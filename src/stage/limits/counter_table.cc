#include "stage/limits/counter_table.h"

#include "ebbgate/base/assert.h"

#include <xxhash.h>

#include <algorithm>
#include <thread>

// Before each access to what threads share: the test of schedules puts its scheduler here.
#ifndef EBBGATE_COUNTER_STEP
#define EBBGATE_COUNTER_STEP() static_cast<void>(0)
#endif

namespace ebbgate::limits {

namespace {

static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);

// Looks at a full path on which slots are just being claimed, before it is taken for full.
constexpr int full_looks_max = 64;

constexpr std::uint64_t ms_per_second = 1000;

// Words and reach: sequentially consistent, see invariant 1.
std::uint64_t load(const std::uint64_t& word) noexcept {
    EBBGATE_COUNTER_STEP();
    // atomic_ref of const comes with C++26; nothing is written through this one.
    return std::atomic_ref(const_cast<std::uint64_t&>(word)).load();
}

bool swap(std::uint64_t& word, std::uint64_t& expected, std::uint64_t desired) noexcept {
    EBBGATE_COUNTER_STEP();
    return std::atomic_ref(word).compare_exchange_strong(expected, desired);
}

void raise(std::uint64_t& word, std::uint64_t least) noexcept {
    std::uint64_t seen = load(word);
    while (seen < least && !swap(word, seen, least)) {
    }
}

// What a claim wrote: see invariant 2.
std::uint64_t load_claimed(const std::uint64_t& part) noexcept {
    EBBGATE_COUNTER_STEP();
    return std::atomic_ref(const_cast<std::uint64_t&>(part)).load(std::memory_order_acquire);
}

void store_claimed(std::uint64_t& part, std::uint64_t value) noexcept {
    EBBGATE_COUNTER_STEP();
    std::atomic_ref(part).store(value, std::memory_order_release);
}

// Whether `word`, as it was loaded from the slot, is a claim of the key. A no may be stale, and a
// yes too: whoever acts on it swaps against the word, or compares it again.
bool is_claim_of(const key& key, const counter_slot& slot, std::uint64_t word) noexcept {
    const slot_state state = unpack(word).state;
    return (state == slot_state::live || state == slot_state::trying) &&
           load_claimed(slot.key_low) == key.low && load_claimed(slot.key_high) == key.high;
}

std::uint64_t in_state(std::uint64_t word, slot_state state) noexcept {
    slot_word changed = unpack(word);
    changed.state = state;
    if (state == slot_state::vacant) {
        changed.count = 0;
    }
    return pack(changed);
}

std::uint64_t to_ms(time_point time) noexcept {
    const auto ms = time.time_since_epoch().count();
    return ms < 0 ? 0 : static_cast<std::uint64_t>(ms);
}

time_point from_ms(std::uint64_t ms) noexcept {
    return time_point(std::chrono::milliseconds(static_cast<std::int64_t>(ms)));
}

window window_of(std::uint32_t used, std::uint64_t opened_ms, const config::rate& rate) noexcept {
    return {used, from_ms(opened_ms), from_ms(opened_ms) + rate.period};
}

bool is_over(std::uint64_t opened_ms, std::uint64_t seconds, std::uint64_t now_ms) noexcept {
    // The opener may have read the clock after us.
    return now_ms >= opened_ms && now_ms - opened_ms >= seconds * ms_per_second;
}

std::uint64_t seconds_of(const config::rate& rate) noexcept {
    EBBGATE_ASSERT(rate.period.count() > 0 && rate.period <= config::rate_period_max);
    return static_cast<std::uint64_t>(rate.period.count());
}

} // namespace

result<std::unique_ptr<counter_table>>
counter_table::open(const std::string& path, std::uint64_t slots, time_point now) {
    auto file = counter_file::open(path, slots, to_ms(now));
    if (!file) {
        return std::unexpected(std::move(file.error()));
    }
    return std::unique_ptr<counter_table>(new counter_table(std::move(*file), to_ms(now)));
}

counter_table::counter_table(counter_file file, std::uint64_t now_ms) noexcept
    : file_(std::move(file)), slots_(file_.slots()), capacity_(file_.slot_count()),
      latest_ms_(now_ms) {}

key counter_table::key_of(std::string_view rule, std::string_view subject) const noexcept {
    const auto hash = [this](const void* bytes, std::size_t count) {
        return XXH3_128bits_withSecret(bytes, count, file_.secret(), secret_bytes);
    };
    // Of both hashes: no separator that a subject could contain, no copy of either.
    const XXH128_hash_t parts[] = {hash(rule.data(), rule.size()),
                                   hash(subject.data(), subject.size())};
    const XXH128_hash_t both = hash(parts, sizeof parts);
    return {both.low64, both.high64};
}

std::optional<window>
counter_table::peek(const key& key, const config::rate& rate, time_point now) const noexcept {
    const std::uint64_t seconds = seconds_of(rate);
    for (;;) {
        const auto found = find(key);
        if (!found) {
            return std::nullopt;
        }
        const counter_slot& slot = slot_at(key, found->place);
        const std::uint64_t opened_ms = load_claimed(slot.opened_ms);
        if (!same_window(found->word, load(slot.word))) {
            continue;
        }
        const std::uint32_t used = unpack(found->word).count;
        if (used == 0 || is_over(opened_ms, seconds, to_ms(now))) {
            return std::nullopt;
        }
        return window_of(used, opened_ms, rate);
    }
}

std::expected<taken, not_taken> counter_table::take(const key& key,
                                                    const config::rate& rate,
                                                    std::uint32_t amount,
                                                    time_point now) noexcept {
    EBBGATE_ASSERT(amount > 0);
    const std::uint64_t seconds = seconds_of(rate);
    const std::uint64_t now_ms = to_ms(now);
    if (amount > rate.count) {
        const auto open = peek(key, rate, now);
        return std::unexpected(
            not_taken{refusal_reason::exceeded, open ? open->used : 0, std::nullopt});
    }
    for (;;) {
        const auto found = find(key);
        if (!found) {
            if (open_window(key, seconds, now_ms) == opening::full) {
                refused_full_.fetch_add(1, std::memory_order_relaxed);
                return std::unexpected(not_taken{refusal_reason::table_full, 0, std::nullopt});
            }
            continue;
        }
        counter_slot& slot = slot_at(key, found->place);
        std::uint64_t seen = found->word;
        slot_word word = unpack(seen);
        const std::uint64_t opened_ms = load_claimed(slot.opened_ms);
        if (is_over(opened_ms, seconds, now_ms)) {
            // The own slot is there to be claimed, unless another thread is faster: never full.
            (void)open_window(key, seconds, now_ms);
            continue;
        }
        if (word.count > rate.count - amount) {
            if (!same_window(seen, load(slot.word))) {
                continue;
            }
            return std::unexpected(not_taken{
                refusal_reason::exceeded, word.count, window_of(word.count, opened_ms, rate).ends});
        }
        word.count += amount;
        // Kept for the longest of the periods asked with, while two policies are in use.
        word.period_code = std::max(word.period_code, period_code_for(seconds));
        if (swap(slot.word, seen, pack(word))) {
            return taken{{static_cast<std::uint32_t>(&slot - slots_), word.generation, amount},
                         window_of(word.count, opened_ms, rate)};
        }
    }
}

bool counter_table::give_back(const ticket& ticket) noexcept {
    EBBGATE_ASSERT(ticket.slot < capacity_);
    counter_slot& slot = slots_[ticket.slot];
    std::uint64_t seen = load(slot.word);
    for (;;) {
        slot_word word = unpack(seen);
        if (word.state != slot_state::live || word.generation != ticket.generation) {
            return false;
        }
        EBBGATE_ASSERT(word.count >= ticket.amount); // Else a ticket was given back twice.
        word.count -= ticket.amount;
        const std::uint64_t changed = pack(word);
        if (swap(slot.word,
                 seen,
                 word.count == 0 ? in_state(changed, slot_state::vacant) : changed)) {
            return true;
        }
    }
}

std::uint64_t counter_table::count_live(time_point now) const noexcept {
    std::uint64_t live = 0;
    for (std::uint64_t i = 0; i < capacity_; ++i) {
        const slot_word word = unpack(load(slots_[i].word));
        live += word.state == slot_state::live && !is_over(load_claimed(slots_[i].opened_ms),
                                                           kept_seconds(word.period_code),
                                                           to_ms(now))
                    ? 1U
                    : 0U;
    }
    return live;
}

counter_statistics counter_table::statistics() const noexcept {
    return {opened_.load(std::memory_order_relaxed),
            reclaimed_.load(std::memory_order_relaxed),
            refused_full_.load(std::memory_order_relaxed)};
}

std::uint64_t counter_table::home_of(const key& key) const noexcept {
    return key.low & (capacity_ - 1);
}

counter_slot& counter_table::slot_at(const key& key, std::uint64_t place) const noexcept {
    return slots_[slot_on_path(home_of(key), place, capacity_)];
}

// The live claim of the key, whose window may be over.
std::optional<counter_table::found_slot> counter_table::find(const key& key) const noexcept {
    const std::uint64_t reach = load(slots_[home_of(key)].reach);
    for (std::uint64_t place = 0; place < reach; ++place) {
        const counter_slot& slot = slot_at(key, place);
        const std::uint64_t word = load(slot.word);
        if (unpack(word).state == slot_state::live && is_claim_of(key, slot, word)) {
            return found_slot{place, word};
        }
    }
    return std::nullopt;
}

// The key has no window open: claims the slot of its last one, or the first that is free. The
// count begins at zero, and whoever swaps first has the first message.
counter_table::opening counter_table::open_window(const key& key,
                                                  std::uint64_t period_seconds,
                                                  std::uint64_t now_ms) noexcept {
    for (int look = 0; look < full_looks_max; ++look) {
        // Before any slot is found to be over: who then loses it to us finds this time.
        const std::uint64_t clock_ms = advance(now_ms);
        std::optional<found_slot> free;
        bool in_transit = false;
        for (std::uint64_t place = 0; place < path_slots(capacity_); ++place) {
            const counter_slot& slot = slot_at(key, place);
            const std::uint64_t seen = load(slot.word);
            const slot_word word = unpack(seen);
            if (is_claim_of(key, slot, seen)) {
                if (word.state == slot_state::trying) {
                    arbitrate(key, place, seen);
                    return opening::look_again;
                }
                if (!is_over(load_claimed(slot.opened_ms), period_seconds, clock_ms)) {
                    return opening::look_again;
                }
                free = found_slot{place, seen}; // This one and no other: invariant 1.
                break;
            }
            in_transit |= word.state == slot_state::filling || word.state == slot_state::trying;
            const bool is_free =
                word.state == slot_state::vacant ||
                (word.state == slot_state::live &&
                 is_over(load_claimed(slot.opened_ms), kept_seconds(word.period_code), clock_ms));
            if (is_free && !free) {
                free = found_slot{place, seen};
            }
            if (free && place + 1 >= load(slots_[home_of(key)].reach)) {
                break; // The key is nowhere beyond.
            }
        }
        if (free) {
            if (claim(key, free->place, free->word, period_seconds, clock_ms)) {
                return opening::look_again;
            }
            look = -1; // Another thread got on with its work. It may have been for this key.
            continue;
        }
        if (!in_transit) {
            return opening::full;
        }
        std::this_thread::yield();
    }
    return opening::full;
}

// False: the slot is not as it was seen.
bool counter_table::claim(const key& key,
                          std::uint64_t place,
                          std::uint64_t seen,
                          std::uint64_t period_seconds,
                          std::uint64_t now_ms) noexcept {
    counter_slot& slot = slot_at(key, place);
    const slot_word before = unpack(seen);
    slot_word word{slot_state::filling,
                   period_code_for(period_seconds),
                   (before.generation + 1) & generation_mask,
                   0};
    if (!swap(slot.word, seen, pack(word))) {
        return false;
    }
    const bool reused =
        before.state == slot_state::live && (slot.key_low != key.low || slot.key_high != key.high);
    const counter_slot sealed{0, key.low, key.high, now_ms, 0, 0, {}};
    store_claimed(slot.key_low, key.low);
    store_claimed(slot.key_high, key.high);
    store_claimed(slot.opened_ms, now_ms);
    store_claimed(slot.seal, seal_of(sealed, word.generation));
    raise(slots_[home_of(key)].reach, place + 1);
    word.state = slot_state::trying;
    EBBGATE_COUNTER_STEP();
    std::atomic_ref(slot.word).store(pack(word));
    arbitrate(key, place, pack(word));
    if (reused) {
        reclaimed_.fetch_add(1, std::memory_order_relaxed);
    }
    return true;
}

// Decides about the claim at `place`, which was seen with this word: afterwards it is not trying.
// Anyone may do so for anyone: nobody waits for a claimant that does not run.
void counter_table::arbitrate(const key& key, std::uint64_t place, std::uint64_t trying) noexcept {
    // Each turn is about a claim nearer to home than the last one.
    for (bool decided = false; !decided;) {
        decided = true;
        counter_slot& claimed = slot_at(key, place);
        std::uint64_t& ours = claimed.word;
        const std::uint64_t reach = load(slots_[home_of(key)].reach);
        for (std::uint64_t other = 0; decided && other < reach; ++other) {
            if (other == place) {
                continue;
            }
            counter_slot& slot = slot_at(key, other);
            std::uint64_t seen = load(slot.word);
            while (is_claim_of(key, slot, seen)) {
                const bool is_live = unpack(seen).state == slot_state::live;
                std::uint64_t expected = trying;
                if (is_live || other < place) {
                    (void)swap(ours, expected, in_state(trying, slot_state::vacant));
                    if (is_live) {
                        return;
                    }
                    place = other;
                    trying = seen;
                    decided = false;
                    break;
                }
                if (load(ours) != trying) {
                    return; // Decided by another thread.
                }
                if (swap(slot.word, seen, in_state(seen, slot_state::vacant))) {
                    break;
                }
            }
        }
        if (!decided) {
            continue;
        }
        // Invariant 5: a window of this key may have opened, ended and been replaced since the
        // claimant read the clock. It then has to begin again.
        const std::uint64_t opened_ms = load_claimed(claimed.opened_ms);
        EBBGATE_COUNTER_STEP();
        const bool is_late = opened_ms < latest_ms_.load();
        if (swap(ours, trying, in_state(trying, is_late ? slot_state::vacant : slot_state::live)) &&
            !is_late) {
            opened_.fetch_add(1, std::memory_order_relaxed);
        }
    }
}

std::uint64_t counter_table::advance(std::uint64_t now_ms) noexcept {
    EBBGATE_COUNTER_STEP();
    std::uint64_t seen = latest_ms_.load();
    while (seen < now_ms) {
        if (latest_ms_.compare_exchange_weak(seen, now_ms)) {
            return now_ms;
        }
    }
    return seen;
}

} // namespace ebbgate::limits
