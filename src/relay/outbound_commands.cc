// What an operator, or the end of the daemon, asks of the queue.

#include "relay/outbound.h"

#include <utility>

namespace ebbgate::relay {

std::size_t outbound::release(std::optional<std::uint64_t> message_id) {
    // All of them out first: what has nowhere to go is held again.
    std::vector<schedule::delivery_item> released;
    while (auto item = message_id ? scheduler_.release(*message_id) : scheduler_.release_next()) {
        released.push_back(std::move(*item));
    }
    std::size_t count = 0;
    for (const schedule::delivery_item& item : released) {
        count += place_again(item, held_routes::pass) ? 1 : 0;
    }
    return count;
}

std::size_t outbound::flush() {
    std::vector<schedule::lane_id> lanes;
    scheduler_.for_each_lane(clock_ms(),
                             [&](const schedule::lane_view& view) { lanes.push_back(view.id); });
    flushed_ms_ = clock_ms();
    std::size_t count = 0;
    for (const schedule::lane_id lane : lanes) {
        scheduler_.retry_now(lane, clock_ms());
        count += scheduler_.flush(lane, SIZE_MAX, clock_ms());
    }
    return count;
}

void outbound::shut_down() {
    stopping_ = true;
    for (auto& [key, entry] : destinations_) {
        for (connection* waiting : std::exchange(entry.waiting, {})) {
            scheduler_.close(waiting->permit);
            connections_.erase(waiting);
        }
    }
    for (deliver::client* client : open_clients()) {
        client->shut_down();
    }
}

void outbound::cut() {
    for (deliver::client* client : open_clients()) {
        client->cut();
    }
}

std::vector<deliver::client*> outbound::open_clients() const {
    std::vector<deliver::client*> open;
    for (const auto& [key, one] : connections_) {
        if (one->client != nullptr) {
            open.push_back(one->client);
        }
    }
    return open;
}

} // namespace ebbgate::relay
