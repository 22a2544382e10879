// Which recipients go to which lane.

#include "relay/outbound.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

void outbound::enqueue(queued_message& message,
                       std::uint32_t attempts,
                       std::int64_t not_before_unix_ms) {
    const std::uint64_t id = message.envelope.id; // It may end, and be gone, in place().
    const bool goes_out =
        place(message, message.outstanding, attempts, not_before_unix_ms, held_routes::hold);
    if (unrouted_.contains(id)) {
        context_.journal.note(context_.reactor.unix_us(),
                              "qmgr",
                              message::to_text(id) +
                                  ": held, there is no route to a recipient any more");
    }
    if (!goes_out && messages_.contains(id) && message.hot) {
        // Held: it may be long. The spool has it.
        context_.counters.hot_bytes -= message.body.bytes();
        message.body.clear();
        message.hot = message.body_bytes == 0;
    }
}

const policy::route* outbound::route_of(std::string_view address, held_routes held) const {
    const std::size_t at = address.rfind('@');
    if (at == std::string_view::npos) {
        return nullptr;
    }
    const std::string_view domain = address.substr(at + 1);
    const policy::route* first = context_.policy->route_for(domain);
    if (held == held_routes::hold || first == nullptr || first->relay != policy::relay_kind::hold) {
        return first;
    }
    const policy::route* past = context_.policy->route_past_hold_for(domain);
    return past != nullptr ? past : first;
}

// What all items of the message have in common.
schedule::delivery_item outbound::blank_item(const queued_message& message,
                                             std::uint32_t attempts,
                                             std::int64_t not_before_unix_ms) const {
    const std::int64_t now_ms = clock_ms();
    const std::int64_t now_unix_ms = context_.reactor.unix_us() / 1000;
    schedule::delivery_item blank;
    blank.message_id = message.envelope.id;
    blank.arrived_ms =
        now_ms - std::max<std::int64_t>(0, now_unix_ms - message.envelope.received_unix_ms);
    if (not_before_unix_ms != 0) {
        // A wall clock that was wrong when this was noted must not keep the message for ever.
        const std::int64_t wait_ms_max =
            std::int64_t{context_.policy->delivery().retry.max.count()} * 1000;
        blank.not_before_ms = now_ms + std::min(not_before_unix_ms - now_unix_ms, wait_ms_max);
    }
    blank.attempts = static_cast<std::uint16_t>(std::min<std::uint32_t>(attempts, 65535));
    return blank;
}

// Recipients of one destination make one item: one transaction carries them all.
outbound::placement outbound::sort(const queued_message& message,
                                   const schedule::recipient_set& recipients,
                                   held_routes held) const {
    placement sorted;
    recipients.for_each([&](std::uint32_t index) {
        const policy::route* route = route_of(message.envelope.recipients[index].address, held);
        if (route == nullptr || route->relay == policy::relay_kind::hold) {
            sorted.is_unrouted = sorted.is_unrouted || route == nullptr;
            sorted.kept.add(index);
            return;
        }
        if (route->relay == policy::relay_kind::discard) {
            sorted.discarded.add(index);
            return;
        }
        auto at = std::find_if(sorted.out.begin(), sorted.out.end(), [&](const auto& one) {
            return one.first->destination == route->destination;
        });
        if (at == sorted.out.end()) {
            at = sorted.out.emplace(sorted.out.end(), route, schedule::recipient_set());
        }
        at->second.add(index);
    });
    return sorted;
}

bool outbound::place(queued_message& message,
                     const schedule::recipient_set& recipients,
                     std::uint32_t attempts,
                     std::int64_t not_before_unix_ms,
                     held_routes held) {
    const placement sorted = sort(message, recipients, held);
    schedule::delivery_item item = blank_item(message, attempts, not_before_unix_ms);
    ++message.items; // Keeps the message until all of it is looked at.
    sorted.discarded.for_each([&](std::uint32_t index) {
        const smtp::reply reply(250, {2, 0, 0}, "Discarded by route");
        finish_recipient(message, index, outcome::event_type::delivery, reply, "", {}, 1);
    });
    if (!sorted.kept.empty()) {
        ++message.items;
        item.recipients = sorted.kept;
        scheduler_.hold(item);
        if (sorted.is_unrouted) {
            // Inbound had a route for it: the policy has changed since. The message is ours.
            unrouted_.insert(message.envelope.id);
        }
    }
    for (const auto& [route, its_recipients] : sorted.out) {
        ++message.items;
        item.recipients = its_recipients;
        destinations_.try_emplace(route->destination, destination_entry{*route, {}, 0, 0, {}, {}});
        (void)scheduler_.add(item, route->destination, clock_ms());
    }
    --message.items;
    settle(message, attempts, not_before_unix_ms);
    return !sorted.out.empty();
}

// For an item that came out of the hold.
bool outbound::place_again(const schedule::delivery_item& item, held_routes held) {
    queued_message* message = find(item.message_id);
    if (message == nullptr) {
        return false;
    }
    unrouted_.erase(item.message_id);
    --message->items;
    return place(*message, item.recipients, item.attempts, 0, held);
}

} // namespace ebbgate::relay
