// How a message stands: looked up, never searched for among the others.

#include "ebbgate/smtp/reply.h"

#include "relay/outbound.h"

#include <algorithm>

namespace ebbgate::relay {

std::vector<recipient_standing> outbound::standing_of(const queued_message& message,
                                                      std::size_t recipients_max) const {
    const std::int64_t now_unix_ms = unix_ms_at(clock_ms());
    std::vector<recipient_standing> standing;
    const std::uint32_t first = message.first_slot;
    for (std::uint32_t slot = first; slot != schedule::no_slot;) {
        const schedule::waiting_item item = scheduler_.look_at(slot, clock_ms());
        scheduler_.item_at(slot).recipients.for_each([&](std::uint32_t index) {
            recipient_standing& one = standing.emplace_back();
            one.recipient = index;
            one.is_held = item.is_held;
            one.is_tried_now = item.is_in_flight;
            one.attempts = item.attempts;
            if (const auto* note = attempts_.find(message.envelope.id, index)) {
                one.last_reply = note->reply;
            }
            if (one.is_held || one.is_tried_now) {
                return;
            }
            one.next_unix_ms =
                std::max(item.is_deferred ? unix_ms_at(item.due_ms) : 0, now_unix_ms);
            add_destination(message, item.lane, one);
        });
        slot = scheduler_.sibling_of(slot);
        if (slot == first) {
            break;
        }
    }
    std::sort(standing.begin(), standing.end(), [](const auto& left, const auto& right) {
        return left.recipient < right.recipient;
    });
    if (standing.size() > recipients_max) {
        standing.resize(recipients_max);
    }
    return standing;
}

// Nobody of a lane that cannot be reached is tried before it is.
void outbound::add_destination(const queued_message& message,
                               schedule::lane_id lane,
                               recipient_standing& standing) const {
    if (const destination* to = destination_of(lane)) {
        standing.destination_fault = to->fault;
        standing.destination = name_of(*to);
    }
    const std::string& address = message.envelope.recipients[standing.recipient].address;
    const schedule::lane_view view = scheduler_.view(lane, clock_ms());
    const auto wait = [&](std::string why, std::int64_t until_ms) {
        standing.lane = std::move(why);
        standing.lane_until_unix_s = until_ms == 0 ? 0 : (unix_ms_at(until_ms) + 999) / 1000;
        standing.next_unix_ms =
            std::max(standing.next_unix_ms, until_ms == 0 ? 0 : unix_ms_at(until_ms));
    };
    if (view.is_blocked || view.is_full) {
        wait("as many connections as it may have are open", 0);
    }
    if (view.paused_until_ms != 0) {
        wait("its rate is used up", view.paused_until_ms);
    }
    if (view.backed_off_until_ms != 0) {
        wait("the destination is left alone for a while", view.backed_off_until_ms);
    }
    const std::string domain = config::lower_ascii(address.substr(address.rfind('@') + 1));
    const suspension* held_back = suspension_of(message.envelope.tenant, domain);
    if (held_back == nullptr) {
        held_back = suspension_of(message.envelope.tenant, standing.destination);
    }
    if (held_back != nullptr) {
        wait("suspended by an operator: " + held_back->reason, clock_at(held_back->until_unix_s));
    }
}

} // namespace ebbgate::relay
