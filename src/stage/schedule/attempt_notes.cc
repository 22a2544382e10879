#include "stage/schedule/attempt_notes.h"

#include <algorithm>
#include <utility>

namespace ebbgate::schedule {

void attempt_notes::add(std::uint32_t recipient, attempt_note note) {
    if (note.reply.size() > reply_bytes_max) {
        note.reply.resize(reply_bytes_max);
    }
    remove(recipient);
    auto same = std::find_if(
        notes_.begin(), notes_.end(), [&note](const shared_note& one) { return one.note == note; });
    if (same == notes_.end()) {
        if (notes_.size() == notes_max) {
            had_no_room_ = true;
            return;
        }
        same = notes_.insert(same, {{}, std::move(note)});
    }
    same->recipients.add(recipient);
}

void attempt_notes::remove(std::uint32_t recipient) {
    for (shared_note& one : notes_) {
        one.recipients.remove(recipient);
    }
    std::erase_if(notes_, [](const shared_note& one) { return one.recipients.empty(); });
}

const attempt_note* attempt_notes::find(std::uint32_t recipient) const noexcept {
    const auto found = std::find_if(notes_.begin(), notes_.end(), [=](const shared_note& one) {
        return one.recipients.contains(recipient);
    });
    return found == notes_.end() ? nullptr : &found->note;
}

} // namespace ebbgate::schedule
