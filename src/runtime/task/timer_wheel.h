// Deadlines: thousands of timers that are set and cleared far more often than they expire.
//
// Owner   One per reactor. A timer is embedded in its owner, which clears it before it goes.
// Bounds  Ticks of one millisecond; up to 49 days ahead. Setting and clearing are a few stores;
//         advancing costs one step a tick passed, and one move a level for far timers.

#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace ebbgate::task {

struct timer {
    using handler = void (*)(timer&) noexcept;

    handler on_expire = nullptr;
    timer* next = nullptr;
    timer** previous_link = nullptr; // Null: not set.
    std::uint64_t due_ms = 0;

    [[nodiscard]] bool is_set() const noexcept { return previous_link != nullptr; }
};

class timer_wheel {
public:
    explicit timer_wheel(std::uint64_t now_ms) : now_ms_(now_ms) {}

    // Sets the timer, or moves it when it is set already. Due now means the next advance().
    void set(timer& timer, std::uint64_t due_ms) noexcept;
    void clear(timer& timer) noexcept;

    // Runs the handlers of all that is due. A handler may set and clear any timer.
    void advance(std::uint64_t now_ms) noexcept;

    // Milliseconds until the next timer may be due (never late, at most early); nothing: none set.
    [[nodiscard]] std::optional<std::uint64_t> next_delay_ms() const noexcept;

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

private:
    static constexpr unsigned level_bits = 8;
    static constexpr unsigned levels = 4;
    static constexpr unsigned slots = 1U << level_bits;

    struct level {
        std::array<timer*, slots> heads{};
        std::array<std::uint64_t, slots / 64> occupied{};
    };

    void link(timer& timer, std::uint64_t earliest_ms) noexcept;
    void cascade(unsigned level_index) noexcept;

    std::array<level, levels> levels_{};
    std::uint64_t now_ms_;
    std::uint64_t count_ = 0;
};

} // namespace ebbgate::task
