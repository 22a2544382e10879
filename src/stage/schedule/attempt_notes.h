// What the latest failed attempt said to each recipient of a message, for people who ask.
//
// Stage   Beside the scheduler, which does not need it: it is lost with the process.
// Owner   The queued message.
// Bounds  notes_max answers, reply_bytes_max each: a destination that gives each of a thousand
//         recipients another text must not fill the memory. Beyond it nothing is known.

#pragma once

#include "stage/schedule/recipient_set.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::schedule {

struct attempt_note {
    std::uint32_t attempts = 0; // With this one.
    std::int64_t made_ms = 0;   // On the scheduler's clock.
    std::int64_t due_ms = 0;    // The next one.
    std::string reply;

    bool operator==(const attempt_note&) const = default;
};

class attempt_notes {
public:
    static constexpr std::size_t notes_max = 32;
    static constexpr std::size_t reply_bytes_max = 512;

    // In the place of what was known of this recipient.
    void add(std::uint32_t recipient, attempt_note note);

    // It will not be tried again.
    void remove(std::uint32_t recipient);

    // Null: it was not tried, or there was no room to note it. Good until the next add().
    [[nodiscard]] const attempt_note* find(std::uint32_t recipient) const noexcept;

    // What was not noted may yet have been tried.
    [[nodiscard]] bool had_no_room() const noexcept { return had_no_room_; }

    [[nodiscard]] std::size_t size() const noexcept { return notes_.size(); }

private:
    struct shared_note {
        recipient_set recipients;
        attempt_note note;
    };

    bool had_no_room_ = false;
    std::vector<shared_note> notes_; // No two are equal: recipients share one.
};

} // namespace ebbgate::schedule
