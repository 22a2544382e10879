// What the latest failed attempts said, for people who ask: of the messages tried last.
//
// Owner   Outbound of one shard. Lost with the process; the event log has all of it.
// Bounds  messages_max messages; of each what attempt_notes allows.

#pragma once

#include "stage/schedule/attempt_notes.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

namespace ebbgate::relay {

class recent_attempts {
public:
    static constexpr std::size_t messages_max = 20'000;

    void add(std::uint64_t message_id, std::uint32_t recipient, schedule::attempt_note note) {
        const auto [at, fresh] = notes_.try_emplace(message_id);
        at->second.add(recipient, std::move(note));
        if (!fresh) {
            return;
        }
        order_.push_back(message_id);
        while (notes_.size() > messages_max || order_.size() > 2 * messages_max) {
            notes_.erase(order_.front());
            order_.pop_front();
        }
    }

    // Null: nothing is known.
    [[nodiscard]] const schedule::attempt_note* find(std::uint64_t message_id,
                                                     std::uint32_t recipient) const {
        const auto found = notes_.find(message_id);
        return found == notes_.end() ? nullptr : found->second.find(recipient);
    }

    void forget(std::uint64_t message_id, std::uint32_t recipient) {
        if (const auto found = notes_.find(message_id); found != notes_.end()) {
            found->second.remove(recipient);
        }
    }

    void forget(std::uint64_t message_id) { notes_.erase(message_id); }

private:
    std::unordered_map<std::uint64_t, schedule::attempt_notes> notes_;
    std::deque<std::uint64_t> order_; // Oldest first; some have gone.
};

} // namespace ebbgate::relay
