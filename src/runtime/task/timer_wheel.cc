#include "runtime/task/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace ebbgate::task {

void timer_wheel::link(timer& timer, std::uint64_t earliest_ms) noexcept {
    constexpr std::uint64_t horizon = (1ULL << (level_bits * levels)) - 1;
    const std::uint64_t due = std::clamp(timer.due_ms, earliest_ms, now_ms_ + horizon);
    unsigned level_index = 0;
    // The lowest level in which the due time and now share all higher digits.
    while (level_index + 1 < levels && (due >> (level_bits * (level_index + 1))) !=
                                           (now_ms_ >> (level_bits * (level_index + 1)))) {
        ++level_index;
    }
    const unsigned slot = (due >> (level_bits * level_index)) & (slots - 1);
    level& at = levels_[level_index];
    timer.next = at.heads[slot];
    if (timer.next != nullptr) {
        timer.next->previous_link = &timer.next;
    }
    at.heads[slot] = &timer;
    timer.previous_link = &at.heads[slot];
    at.occupied[slot / 64] |= 1ULL << (slot % 64);
}

void timer_wheel::set(timer& timer, std::uint64_t due_ms) noexcept {
    clear(timer);
    timer.due_ms = due_ms;
    link(timer, now_ms_ + 1);
    ++count_;
}

void timer_wheel::clear(timer& timer) noexcept {
    if (!timer.is_set()) {
        return;
    }
    *timer.previous_link = timer.next;
    if (timer.next != nullptr) {
        timer.next->previous_link = timer.previous_link;
    }
    timer.next = nullptr;
    timer.previous_link = nullptr;
    --count_;
}

void timer_wheel::cascade(unsigned level_index) noexcept {
    const unsigned slot = (now_ms_ >> (level_bits * level_index)) & (slots - 1);
    if (slot == 0 && level_index + 1 < levels) {
        cascade(level_index + 1);
    }
    level& at = levels_[level_index];
    timer* moved = at.heads[slot];
    at.heads[slot] = nullptr;
    at.occupied[slot / 64] &= ~(1ULL << (slot % 64));
    while (moved != nullptr) {
        timer* following = moved->next;
        link(*moved, now_ms_); // What is due at this very tick runs right after.
        moved = following;
    }
}

void timer_wheel::advance(std::uint64_t now_ms) noexcept {
    while (now_ms_ < now_ms) {
        if (count_ == 0) {
            now_ms_ = now_ms;
            return;
        }
        ++now_ms_;
        const unsigned slot = now_ms_ & (slots - 1);
        if (slot == 0) {
            cascade(1);
        }
        level& lowest = levels_[0];
        lowest.occupied[slot / 64] &= ~(1ULL << (slot % 64));
        while (lowest.heads[slot] != nullptr) {
            timer& due = *lowest.heads[slot];
            clear(due);
            due.on_expire(due);
        }
    }
}

std::optional<std::uint64_t> timer_wheel::next_delay_ms() const noexcept {
    if (count_ == 0) {
        return std::nullopt;
    }
    // Until the end of this turn of level 0 the bits tell exactly; beyond, wake for the cascade.
    const level& lowest = levels_[0];
    const unsigned here = now_ms_ & (slots - 1);
    for (unsigned slot = here + 1; slot < slots; ++slot) {
        const std::uint64_t word = lowest.occupied[slot / 64] >> (slot % 64);
        if (word != 0) {
            slot += static_cast<unsigned>(std::countr_zero(word));
            return slot - here;
        }
        slot |= 63;
    }
    return slots - here;
}

} // namespace ebbgate::task
