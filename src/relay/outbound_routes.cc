// Which recipients go to which lane.

#include "relay/outbound.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::size_t leaving_max = 200;    // Items at a time,
constexpr std::int64_t leave_again_ms = 10; // and then others have a turn.

bool leads_to(const policy::route* route, const destination& to) {
    return route != nullptr && route->destination == to.route.destination &&
           route->relay == to.route.relay;
}

} // namespace

// Where the routes send recipients.
struct outbound::placement {
    struct part {
        const policy::route* route = nullptr;
        std::string domain; // Lower case, for routes by MX.
        schedule::recipient_set recipients;
    };

    std::vector<part> out;
    schedule::recipient_set kept; // Held: by a route, or for want of one.
    schedule::recipient_set discarded;
    bool is_unrouted = false;
};

void outbound::enqueue(queued_message& message, const delivery_state& state) {
    const std::uint64_t id = message.envelope.id;
    live_messages::keep(message);
    const bool goes_out = place(message, message.outstanding, state, held_routes::hold);
    if (unrouted_.contains(id)) {
        context_.journal.note(context_.reactor.unix_us(),
                              "qmgr",
                              message::to_text(id) +
                                  ": held, there is no route to a recipient any more");
    }
    if (!goes_out || (message.hot && waits_long(message))) {
        cool(message); // Held, or where nobody can be reached: it may be long.
    }
    messages_.let_go(message);
}

bool outbound::waits_long(const queued_message& message) const {
    const auto slots = slots_of(message.envelope.id);
    return !slots.empty() && std::all_of(slots.begin(), slots.end(), [this](std::uint32_t slot) {
        const schedule::waiting_item item = scheduler_.look_at(slot, clock_ms());
        return item.is_held || item.is_deferred || scheduler_.waits(item.lane);
    });
}

const policy::route* outbound::route_of(std::string_view address, held_routes held) const {
    if (address.find('@') == std::string_view::npos) {
        return nullptr;
    }
    const std::string domain = domain_of(address);
    const policy::route* first = context_.policy->route_for(domain);
    if (held == held_routes::hold || first == nullptr || first->relay != policy::relay_kind::hold) {
        return first;
    }
    const policy::route* past = context_.policy->route_past_hold_for(domain);
    return past != nullptr ? past : first;
}

std::uint32_t outbound::tenant_number(const std::string& name) {
    const auto [at, fresh] =
        tenants_.try_emplace(name, static_cast<std::uint32_t>(tenants_.size()));
    if (fresh) {
        tenant_names_.push_back(&at->first);
    }
    return at->second;
}

// What all items of the message have in common.
schedule::delivery_item outbound::blank_item(const queued_message& message,
                                             const delivery_state& state) {
    const message::envelope& envelope = message.envelope;
    const std::int64_t now_ms = clock_ms();
    const std::int64_t now_unix_ms = context_.reactor.unix_us() / 1000;
    schedule::delivery_item blank;
    blank.message_id = envelope.id;
    blank.arrived_ms = now_ms - std::max<std::int64_t>(0, now_unix_ms - envelope.received_unix_ms);
    if (state.next_unix_ms != 0) {
        // A wall clock that was wrong when this was noted must not keep the message for ever.
        const std::int64_t wait_ms_max =
            std::int64_t{context_.policy->delivery().retry.max.count()} * 1000;
        blank.not_before_ms = now_ms + std::min(state.next_unix_ms - now_unix_ms, wait_ms_max);
    }
    blank.attempts = static_cast<std::uint16_t>(std::min<std::uint32_t>(state.attempts, 65535));
    blank.is_noticed = state.is_noticed;
    blank.tenant = tenant_number(envelope.tenant);
    const policy::tenant* tenant = context_.policy->find_tenant(envelope.tenant);
    const policy::account* account =
        envelope.account.empty() ? nullptr : context_.policy->find_account(envelope.account);
    const policy::mail_class standard =
        tenant == nullptr ? policy::mail_class::bulk : tenant->mail_class;
    blank.is_urgent = (account == nullptr ? standard : account->mail_class.value_or(standard)) ==
                      policy::mail_class::transactional;
    return blank;
}

// Recipients of one destination make one item: one transaction carries them all.
outbound::placement outbound::sort(const queued_message& message,
                                   const schedule::recipient_set& recipients,
                                   held_routes held) const {
    placement sorted;
    recipients.for_each([&](std::uint32_t index) {
        const std::string& address = message.envelope.recipients[index].address;
        const policy::route* route = route_of(address, held);
        if (route == nullptr || route->relay == policy::relay_kind::hold) {
            sorted.is_unrouted = sorted.is_unrouted || route == nullptr;
            sorted.kept.add(index);
            return;
        }
        if (route->relay == policy::relay_kind::discard) {
            sorted.discarded.add(index);
            return;
        }
        const bool by_domain = route->relay == policy::relay_kind::mx;
        const std::string domain = by_domain ? domain_of(address) : "";
        auto at = std::find_if(sorted.out.begin(), sorted.out.end(), [&](const auto& one) {
            return one.route->destination == route->destination && one.domain == domain;
        });
        if (at == sorted.out.end()) {
            at = sorted.out.insert(sorted.out.end(), {route, domain, {}});
        }
        at->recipients.add(index);
    });
    return sorted;
}

bool outbound::place(queued_message& message,
                     const schedule::recipient_set& recipients,
                     const delivery_state& state,
                     held_routes held) {
    const placement sorted = sort(message, recipients, held);
    schedule::delivery_item item = blank_item(message, state);
    sorted.discarded.for_each([&](std::uint32_t index) {
        const smtp::reply reply(250, {2, 0, 0}, "Discarded by route");
        finish_recipient(message, {index, outcome::event_type::delivery, &reply, "", 1}, {});
    });
    if (!sorted.kept.empty()) {
        item.recipients = sorted.kept;
        const bool is_held = !scheduler_.held_of(message.envelope.id).empty();
        const std::uint32_t slot = scheduler_.hold(item, message.first_slot);
        message.items += is_held ? 0 : 1;
        message.first_slot = slot;
        if (sorted.is_unrouted) {
            // Inbound had a route for it: the policy has changed since. The message is ours.
            unrouted_.add(message.envelope.id,
                          item.arrived_ms + context_.policy->delivery().retry.max_age.count() *
                                                std::int64_t{1000});
        }
    }
    for (const placement::part& part : sorted.out) {
        const std::string_view pool =
            pool_of(*context_.policy, *part.route, message.envelope.tenant);
        const std::string key = destination_key(*part.route, part.domain, pool);
        const auto [at, fresh] = destinations_.try_emplace(key);
        if (fresh) {
            at->second.key = key;
            at->second.route = *part.route;
            at->second.domain = part.domain;
            at->second.pool = pool;
            at->second.made_by = at->second.is_of = policy_number_;
        }
        item.recipients = part.recipients;
        message.first_slot = scheduler_.add(item, key, clock_ms(), message.first_slot);
        ++message.items;
    }
    if (!sorted.discarded.empty()) {
        settle(message);
    }
    return !sorted.out.empty();
}

// For an item in the hold.
void outbound::place_again(std::uint64_t message_id,
                           held_routes held,
                           std::function<void(bool)> then) {
    messages_.with(
        message_id,
        [this, message_id, held, then = std::move(then)](queued_message* message, auto) {
            const auto item =
                message == nullptr ? std::nullopt : scheduler_.release(message->envelope.id);
            if (message == nullptr && messages_.contains(message_id)) {
                // It cannot be read for now; whether it has a route is seen then.
                unrouted_.add(message_id,
                              clock_ms() + context_.policy->delivery().retry.max.count() * 1000);
            }
            if (!item) {
                then(false); // It has gone meanwhile, or cannot be read: it stays held.
                return;
            }
            const std::uint64_t id = message->envelope.id;
            unrouted_.erase(id);
            messages_.item_left(id, item->slot, item->sibling);
            then(
                place(*message, item->recipients, {item->attempts, 0, item->is_noticed, {}}, held));
            if (unrouted_.contains(id)) {
                context_.journal.note(context_.reactor.unix_us(),
                                      "qmgr",
                                      message::to_text(id) +
                                          ": held, there is no route to a recipient any more");
            }
        });
}

// Routes changed while mail waited: it goes by those that are in force when it is tried. An
// operator who takes a dead relay away, or asks for TLS, means what waits too. What was released
// from the hold keeps the way that it was given while there is one.
bool outbound::is_left(destination& to) const {
    if (to.is_of == policy_number_) {
        return false;
    }
    const bool is_there = to.route.relay == policy::relay_kind::mx
                              ? is_on_the_way("@" + to.domain, to)
                              : context_.policy->leads_to(to.route);
    if (is_there) {
        to.is_of = policy_number_;
    }
    return !is_there;
}

bool outbound::is_on_the_way(std::string_view address, const destination& to) const {
    const policy::route* first = route_of(address, held_routes::hold);
    return leads_to(first, to) || (first != nullptr && first->relay == policy::relay_kind::hold &&
                                   leads_to(route_of(address, held_routes::pass), to));
}

void outbound::leave(connection& opened) {
    for (std::size_t left = 0;
         left < leaving_max && messages_.reading_count() < live_messages::readings_max;
         ++left) {
        const auto item = scheduler_.take_next(opened.permit, clock_ms());
        if (!item) {
            break;
        }
        messages_.with(item->message_id, [this, item = *item](queued_message* message, auto) {
            const std::int64_t later_ms =
                clock_ms() + context_.policy->delivery().retry.first.count() * 1000;
            if (message == nullptr) {
                scheduler_.put_aside(item, later_ms, clock_ms());
            } else {
                move(*message, item, item.recipients);
            }
        });
    }
    block_until(opened.permit.lane, clock_ms() + leave_again_ms);
    give_back(opened);
}

// These recipients of an item that nobody tries now go where the routes say.
void outbound::move(queued_message& message,
                    schedule::delivery_item item,
                    schedule::recipient_set moved) {
    const std::uint64_t id = message.envelope.id;
    moved.for_each([&](std::uint32_t index) { item.recipients.remove(index); });
    if (item.recipients.empty()) {
        messages_.item_left(id, item.slot, scheduler_.drop(item));
    } else {
        scheduler_.keep(item);
    }
    place(message, moved, {item.attempts, 0, item.is_noticed, {}}, held_routes::hold);
    if (message.hot && waits_long(message)) {
        cool(message);
    }
}

// A lane of a named host has mail of many domains: each message is looked at.
bool outbound::move_some(connection& asking) {
    const destination& to = *asking.to;
    if (to.made_by == policy_number_ || to.route.relay == policy::relay_kind::mx) {
        return false;
    }
    queued_message& message = *asking.message;
    schedule::recipient_set moved = asking.item.recipients;
    asking.item.recipients.for_each([&](std::uint32_t index) {
        if (is_on_the_way(message.envelope.recipients[index].address, to)) {
            moved.remove(index);
        }
    });
    if (moved.empty()) {
        return false;
    }
    move(message, asking.item, moved);
    moved.for_each([&](std::uint32_t index) { asking.item.recipients.remove(index); });
    if (!asking.item.recipients.empty()) {
        return false;
    }
    asking.has_item = false;
    let_go(asking);
    ask_again(asking);
    return true;
}

} // namespace ebbgate::relay
