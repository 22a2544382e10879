// What an operator, or the end of the daemon, asks of the queue.

#include "relay/outbound.h"

#include <memory>
#include <utility>

namespace ebbgate::relay {

void outbound::release(std::optional<std::uint64_t> message_id,
                       std::function<void(std::size_t)> then) {
    std::vector<std::uint64_t> held;
    if (message_id) {
        held.push_back(*message_id);
    } else {
        scheduler_.for_each_held(clock_ms(), [&](const schedule::waiting_item& item) {
            held.push_back(item.message_id);
            return true;
        });
    }

    struct progress {
        std::size_t open = 1;
        std::size_t left = 0;
        std::function<void(std::size_t)> then;

        void one_ended() {
            if (--open == 0) {
                then(left);
            }
        }
    };

    auto all = std::make_shared<progress>();
    all->then = std::move(then);
    for (const std::uint64_t id : held) {
        ++all->open;
        place_again(id, held_routes::pass, [all](bool has_left) {
            all->left += has_left ? 1 : 0;
            all->one_ended();
        });
    }
    all->one_ended();
}

std::size_t outbound::flush() {
    std::vector<schedule::lane_id> lanes;
    scheduler_.for_each_lane(clock_ms(),
                             [&](const schedule::lane_view& view) { lanes.push_back(view.id); });
    flushed_ms_ = clock_ms();
    bad_addresses_ = {};
    dns_.forget();
    tls_policies_.forget();
    std::size_t count = 0;
    for (const schedule::lane_id lane : lanes) {
        scheduler_.retry_now(lane, clock_ms());
        count += scheduler_.flush(lane, SIZE_MAX, clock_ms());
    }
    return count;
}

void outbound::shut_down() {
    stopping_ = true;
    std::vector<connection*> unopened; // They wait for DNS.
    for (const auto& [key, one] : connections_) {
        if (one->client == nullptr && !one->reading && one->site == nullptr) {
            unopened.push_back(one.get());
        }
    }
    for (connection* one : unopened) {
        if (one->permit.stage != schedule::connection_permit::stage_type::closed) {
            give_back(*one);
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
