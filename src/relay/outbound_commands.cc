// What an operator, or the end of the daemon, asks of the queue.

#include "relay/outbound.h"

namespace ebbgate::relay {

std::size_t outbound::release(std::optional<std::uint64_t> message_id) {
    std::size_t count = 0;
    for (;;) {
        auto item = message_id ? scheduler_.release(*message_id) : scheduler_.release_next();
        const auto found = item ? messages_.find(item->message_id) : messages_.end();
        if (found == messages_.end()) {
            return count;
        }
        ++count;
        // Where policy sends it now; a route that still holds would bring it back here for ever,
        // so release() means: out by the first route that delivers.
        const std::int64_t now_ms = clock_ms();
        for (const policy::route& route : context_.policy->routes()) {
            if (route.relay == policy::relay_kind::host) {
                destinations_.try_emplace(route.destination, destination_entry{route, {}, 0});
                item->not_before_ms = 0;
                (void)scheduler_.add(*item, route.destination, now_ms);
                item.reset();
                break;
            }
        }
        if (item) {
            scheduler_.hold(*item); // There is nowhere to go.
            return count - 1;
        }
        if (message_id) {
            return count;
        }
    }
}

std::size_t outbound::flush() {
    std::vector<schedule::lane_id> lanes;
    scheduler_.for_each_lane(clock_ms(),
                             [&](const schedule::lane_view& view) { lanes.push_back(view.id); });
    std::size_t count = 0;
    for (const schedule::lane_id lane : lanes) {
        scheduler_.resume(lane);
        count += scheduler_.flush(lane, SIZE_MAX, clock_ms());
    }
    return count;
}

void outbound::shut_down() {
    stopping_ = true;
    std::vector<deliver::client*> open;
    for (const auto& [key, one] : connections_) {
        if (one->client != nullptr) {
            open.push_back(one->client);
        }
    }
    for (deliver::client* client : open) {
        client->shut_down();
    }
}

} // namespace ebbgate::relay
