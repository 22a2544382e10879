// What a host cannot take goes to another; what cannot go anywhere waits, and ends in time.

#include "ebbgate/message/message_id.h"

#include "relay/outbound.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

// The item moves to a lane of the same destination without this host. There it is tried, waits and
// expires like any other, also for hosts that nobody reaches now, and the rest of its own lane
// keeps its connections. Each move leaves out one host more, so they end; after a restart the item
// begins anew, for hosts change.
void outbound::try_other_hosts(connection& used, const smtp::reply& why) {
    queued_message& message = *std::exchange(used.message, nullptr);
    used.has_item = false;
    const std::string& host = used.targets[used.next_target - 1].host;
    const std::uint64_t id = message.envelope.id;
    context_.journal.note(context_.reactor.unix_us(),
                          "smtp",
                          message::to_text(id) + ": " + host + ": " + why.text +
                              ": the other mail hosts are tried");
    auto [key, rest] = without_host(*used.to, host);
    destinations_.try_emplace(key, std::move(rest));
    schedule::delivery_item item = used.item;
    item.not_before_ms = 0;
    messages_.item_left(id, item.slot, scheduler_.drop(item));
    message.first_slot = scheduler_.add(item, key, clock_ms(), message.first_slot);
    ++message.items;
    if (message.hot && waits_long(message)) {
        cool(message);
    }
    messages_.let_go(message);
}

// Nothing could be opened. The lane waits, unless other connections of it work. True: those of
// other lanes do, and it is to wait for room.
bool outbound::back_off(const connection& failed, const smtp::reply& why, bool others_work) {
    const schedule::lane_id lane = failed.permit.lane;
    const auto waits = [&] { return scheduler_.view(lane, clock_ms()).backed_off_until_ms != 0; };
    const bool waited = waits();
    if (scheduler_.refused(failed.permit, clock_ms(), others_work) == 0) {
        return true;
    }
    if (!waited && waits()) { // Once a round, however many connections it was.
        tell_not_reached(lane, why);
        cool_lane(lane);
    }
    return false;
}

// The site is full, which is no reason to wait for a time, and each time longer.
void outbound::wait_for_room(connection& ended) {
    ++ended.to->turned_away_in_a_row;
    const schedule::lane_id lane = ended.permit.lane;
    const site_limits::site_pointer site = ended.site;
    drop(ended);
    scheduler_.block(lane);
    lines_.add(site->name(), lane);
    lines_.time(site->name(), clock_ms() + look_again_ms); // When the last of them has just left.
    site->wait(context_.shard);
}

// The message that the connection was for, so far as one transaction would have carried it. It was
// not tried: its own attempts and times stay, and there is nothing for the spool to remember.
void outbound::tell_not_reached(schedule::lane_id lane, const smtp::reply& why) {
    const std::uint32_t slot = scheduler_.next_ready(lane);
    if (slot == schedule::no_slot || stopping_) {
        return;
    }
    const auto tell = [this, item = scheduler_.item_at(slot), why, site = key_of(lane)](
                          queued_message* message, const auto&) {
        if (message == nullptr) {
            return;
        }
        const std::int64_t now_us = context_.reactor.unix_us();
        attempt_place place;
        place.site = site;
        place.queued_us =
            std::max<std::int64_t>(0, now_us - message->envelope.received_unix_ms * 1000);
        std::size_t told = 0;
        item.recipients.for_each([&](std::uint32_t index) {
            if (message->outstanding.contains(index) &&
                told++ < deliver::client::recipients_max_unsaid) {
                context_.journal.attempted(now_us,
                                           message->envelope,
                                           message->bytes(),
                                           {outcome::event_type::transient_failure,
                                            index,
                                            &why,
                                            "",
                                            item.attempts,
                                            class_of(why)},
                                           place);
            }
        });
    };
    messages_.with(scheduler_.item_at(slot).message_id, tell);
}

// Of a message in the hold: the recipients that have no route end, what a route holds stays.
void outbound::expire_unrouted(std::uint64_t message_id) {
    messages_.with(message_id, [this, message_id](queued_message* message, const auto&) {
        const policy::retry_settings& retry = context_.policy->delivery().retry;
        if (message == nullptr) {
            if (messages_.contains(message_id)) { // It cannot be read for now.
                unrouted_.add(message_id, clock_ms() + retry.max.count() * 1000);
            }
            return;
        }
        const std::int64_t age_ms =
            context_.reactor.unix_us() / 1000 - message->envelope.received_unix_ms;
        if (age_ms < retry.max_age.count() * 1000) {
            // It could not be read when the policy changed, or the clock was set back.
            place_again(message_id, held_routes::hold, [](bool) {});
            return;
        }
        auto item = scheduler_.release(message_id);
        if (!item) {
            return;
        }
        const smtp::reply reply = expired_reply();
        const schedule::recipient_set held = item->recipients;
        held.for_each([&](std::uint32_t index) {
            const std::string& address = message->envelope.recipients[index].address;
            if (route_of(address, held_routes::hold) == nullptr) {
                item->recipients.remove(index);
                finish_recipient(
                    *message,
                    {index, outcome::event_type::expiration, &reply, "", item->attempts},
                    {});
            }
        });
        messages_.item_left(message_id, item->slot, item->sibling);
        if (!item->recipients.empty()) {
            message->first_slot = scheduler_.hold(*item, message->first_slot);
            ++message->items;
        }
        settle(*message);
        reporter_.send(*message);
    });
}

} // namespace ebbgate::relay
