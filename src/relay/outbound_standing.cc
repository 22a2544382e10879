// How a message stands: looked up, never searched for among the others.

#include "ebbgate/smtp/reply.h"

#include "relay/outbound.h"

#include <algorithm>

namespace ebbgate::relay {

void outbound::note_attempt(queued_message& message,
                            const deliver::recipient_outcome& outcome,
                            std::uint32_t attempts,
                            std::int64_t due_ms) {
    schedule::attempt_note note;
    note.attempts = attempts;
    note.made_ms = clock_ms();
    note.due_ms = due_ms;
    note.reply = outcome.reply.code == 0 ? outcome.reply.text : smtp::to_line(outcome.reply);
    message.tried.add(outcome.index, std::move(note));
}

std::vector<recipient_standing> outbound::standing_of(const queued_message& message,
                                                      std::size_t recipients_max) const {
    const std::int64_t now_unix_ms = unix_ms_at(clock_ms());
    const schedule::recipient_set held = scheduler_.held_of(message.envelope.id);
    std::vector<recipient_standing> standing;
    message.outstanding.for_each([&](std::uint32_t index) {
        if (standing.size() == recipients_max) {
            return;
        }
        recipient_standing& one = standing.emplace_back();
        one.recipient = index;
        one.is_held = held.contains(index);
        one.attempts = message.recovered_attempts;
        std::int64_t due_unix_ms = is_flushed_since(0) ? 0 : message.recovered_next_unix_ms;
        if (const schedule::attempt_note* note = message.tried.find(index)) {
            one.attempts = note->attempts;
            one.last_reply = note->reply;
            due_unix_ms = is_flushed_since(note->made_ms) ? 0 : unix_ms_at(note->due_ms);
        } else if (message.tried.had_no_room()) {
            one.attempts.reset();
        }
        one.is_tried_now =
            std::any_of(connections_.begin(), connections_.end(), [&](const auto& entry) {
                const connection& used = *entry.second;
                return used.message == &message && used.item.recipients.contains(index);
            });
        if (one.is_held || one.is_tried_now || !one.attempts) {
            return;
        }
        one.next_unix_ms = std::max(due_unix_ms, now_unix_ms);
        add_destination(message.envelope.recipients[index].address, one);
    });
    return standing;
}

// Nobody of a lane that cannot be reached is tried before it is.
void outbound::add_destination(std::string_view address, recipient_standing& standing) const {
    const policy::route* route = route_of(address, held_routes::pass);
    if (route == nullptr) {
        return;
    }
    if (const auto lane = scheduler_.find_lane(route->destination)) {
        const std::int64_t until_ms = scheduler_.view(*lane, clock_ms()).waits_until_ms();
        if (until_ms != 0) {
            standing.next_unix_ms = std::max(standing.next_unix_ms, unix_ms_at(until_ms));
        }
    }
    if (const auto known = destinations_.find(route->destination); known != destinations_.end()) {
        standing.destination_fault = known->second.fault;
    }
}

} // namespace ebbgate::relay
