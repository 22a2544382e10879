// How many were sent since when, for every rule and subject: exact, lock-free, restart-proof.
//
// Input   A key, a rate, an amount, the time of one clock that never goes back (clock.h).
// Output  Taken, with a ticket to give it back; or refused, with the count and when it ends.
// Owner   Any thread at any time, but for open() and the destructor.
// Fails   open() as counter_file does. take() refuses when the table is full of live windows.
// Bounds  Slots as given at open. At most 2^24 claims of one slot while one thread is amid a look
//         at it (that many reuses of a slot would deceive its compare-and-swap).
// Specs   DESIGN.md D9. Non-blocking Hashtables with Open Addressing, Purcell and Harris, 2005, for
//         the arbitration; the file is in counter_file.h, a slot in counter_slot.h.
//
// A window of a key opens with the first message taken and lasts the period of the rate that is
// asked with. Another rate for the same key finds the same count: a raised limit is in force at
// once. A window that is given back whole is closed.
//
// A slot and its states; "claim" is one use of a slot, numbered by the generation:
//
//   vacant  -> filling   by whoever claims it; the generation goes up by one. Also from `live`,
//   when
//                        the window is over: so a window is renewed, and a slot reused.
//   filling -> trying    by the claimant alone, after it wrote key, opening time and seal.
//   trying  -> live      by anyone, after a look over the path that began after `trying` was seen,
//                        found no other claim of the key live, and ended each that tries.
//   trying  -> vacant    by anyone who knows of another claim of that key: the one nearer to home
//                        goes on, and a live one goes before all. Also when the clock went on.
//   live    -> live      the count, up and down: what take() and give_back() do.
//   live    -> vacant    with the last unit given back.
//
// Invariants
// 1. A key has at most one live slot, over or not. Of two claims, whichever became `trying` later
//    looks after that, so it sees the other one; therefore both cannot pass. This needs one order
//    of all accesses to words (and to reach): they are sequentially consistent.
// 2. Key and opening time belong to the claim in the word. They are stored (release) only between
//    `filling` and `trying`; so who loads them (acquire) and then finds the generation unchanged,
//    or swaps against the word it began with, has had those of that claim.
// 3. Count and claim change in one swap of one word: no count gets into another window or key, and
//    none goes over the limit it was compared with. A kill between any two instructions leaves
//    at worst a claim that never went live, which the next open drops.
// 4. Live slots never move. A look that misses one began before it was live: the arbitration
//    finds it.
// 5. Windows of a key never overlap, whatever `now` a delayed thread comes with. Who finds a slot
// to
//    be over has put its time into latest_ms_ before it claims; and a claim goes live only if no
//    later time is there after the look of 1, which would have met any window not over by then.
//
// 64 bits and not 128: cmpxchg16b would hold key-less slots with wider counts in one word, but
// needs -mcx16, goes through libatomic in g++ and has no plain load. So the opening time stands
// beside the word, guarded by its generation, which costs a comparison and leaves 32 bits of count.
//
// Full: when every slot of a key's path (128) holds a live window of another key, take() refuses
// with `table_full`, for the caller to answer with a temporary error, and counts it. Letting the
// message through would switch limits off for exactly the one who can fill the table, say with a
// sender name for each message; a refusal loses nothing and heals as windows end. Keys with a live
// window are not touched by it. At half full it does not happen in the life of a machine.
//
// Durability: a mapping outlives the process, so kill -9 loses nothing. Against power cuts there is
// only the kernel's write-back (some 30 s) and flush(), for a worker to call every few seconds and
// at the end: a sync a message would cost more than the limit protects, for what is lost is counts
// of the last seconds, on a day on which the power was cut. Pages that reach the disk at different
// times do no harm: a slot lies within a sector, its seal tells a torn one, the open checks all.

#pragma once

#include "ebbgate/base/result.h"

#include "config/rate.h"
#include "stage/limits/clock.h"
#include "stage/limits/counter_file.h"

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::limits {

// A keyed hash: nobody who does not read the file can choose two subjects that collide.
struct key {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    friend bool operator==(const key&, const key&) = default;
};

// What give_back() needs. Plain data: it may be dropped, or kept longer than the window.
struct ticket {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::uint32_t amount = 0;
};

struct window {
    std::uint32_t used = 0;
    time_point opened{};
    time_point ends{};
};

struct taken {
    limits::ticket ticket;
    limits::window window; // With what was just taken.
};

enum class refusal_reason : std::uint8_t {
    exceeded,   // The window has no room for that amount.
    table_full, // See above; nothing is known about this key.
};

struct not_taken {
    refusal_reason reason = refusal_reason::exceeded;
    std::uint32_t used = 0;
    // Empty: the amount alone is more than the rate allows, so waiting does not help; or the table
    // is full.
    std::optional<time_point> frees;
};

// Since open.
struct counter_statistics {
    std::uint64_t opened = 0;       // Windows.
    std::uint64_t reclaimed = 0;    // Slots that held another key's window, which was over.
    std::uint64_t refused_full = 0; // Takes.
};

class counter_table {
public:
    // At least `slots` (a power of two is made of it), 64 bytes each. A file that is there is
    // carried over with its counts; it may have had another size.
    [[nodiscard]] static result<std::unique_ptr<counter_table>>
    open(const std::string& path, std::uint64_t slots, time_point now);

    [[nodiscard]] key key_of(std::string_view rule, std::string_view subject) const noexcept;

    // The window in which `now` lies, for a rate of that period. Empty: none is open.
    [[nodiscard]] std::optional<window>
    peek(const key& key, const config::rate& rate, time_point now) const noexcept;

    // `amount` > 0; the rate has a period. All of the amount or nothing.
    [[nodiscard]] std::expected<taken, not_taken>
    take(const key& key, const config::rate& rate, std::uint32_t amount, time_point now) noexcept;

    // False: that window is over, and there is nothing to give back to. Once for each ticket.
    bool give_back(const ticket& ticket) noexcept;

    // To the disk, and waits for it: from a worker thread.
    [[nodiscard]] result<void> flush() const { return file_.flush(); }

    [[nodiscard]] std::uint64_t slots() const noexcept { return capacity_; }

    // Live windows; reads all of the table, so not on a shard.
    [[nodiscard]] std::uint64_t count_live(time_point now) const noexcept;

    [[nodiscard]] const limits::carried& carried() const noexcept { return file_.carried(); }

    [[nodiscard]] counter_statistics statistics() const noexcept;

private:
    struct found_slot {
        std::uint64_t place;
        std::uint64_t word;
    };

    enum class opening : std::uint8_t { look_again, full };

    counter_table(counter_file file, std::uint64_t now_ms) noexcept;

    [[nodiscard]] std::uint64_t home_of(const key& key) const noexcept;
    [[nodiscard]] counter_slot& slot_at(const key& key, std::uint64_t place) const noexcept;
    [[nodiscard]] std::optional<found_slot> find(const key& key) const noexcept;
    [[nodiscard]] opening
    open_window(const key& key, std::uint64_t period_seconds, std::uint64_t now_ms) noexcept;
    [[nodiscard]] bool claim(const key& key,
                             std::uint64_t place,
                             std::uint64_t seen,
                             std::uint64_t period_seconds,
                             std::uint64_t now_ms) noexcept;
    void arbitrate(const key& key, std::uint64_t place, std::uint64_t trying) noexcept;
    [[nodiscard]] std::uint64_t advance(std::uint64_t now_ms) noexcept;

    counter_file file_;
    counter_slot* const slots_;
    const std::uint64_t capacity_;
    // Not before any time at which a window was found to be over (invariant 5). Written only when a
    // window opens, as are those after it; on a line that plain takes do not read.
    alignas(64) std::atomic<std::uint64_t> latest_ms_;
    std::atomic<std::uint64_t> opened_{0};
    std::atomic<std::uint64_t> reclaimed_{0};
    std::atomic<std::uint64_t> refused_full_{0};
};

} // namespace ebbgate::limits
