// What a host cannot take goes to another.

#include "ebbgate/message/message_id.h"

#include "relay/outbound.h"

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

} // namespace ebbgate::relay
