// What an operator, or the end of the daemon, asks of the queue.

#include "relay/outbound_sweep.h"

#include <memory>
#include <unordered_set>
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

void outbound::flush(const queue_filter& asked, std::function<void(std::size_t)> then) {
    struct flushing {
        std::size_t count = 0;
        std::unordered_set<schedule::lane_id> retried;
    };

    auto done = std::make_shared<flushing>();
    const auto retry = [this, done](schedule::lane_id lane) {
        if (lane != schedule::no_lane && done->retried.insert(lane).second) {
            scheduler_.retry_now(lane, clock_ms());
        }
    };
    const auto make_due = [this, done, retry](std::uint32_t slot) {
        if (scheduler_.make_due(slot, clock_ms())) {
            ++done->count;
        }
        retry(scheduler_.look_at(slot, clock_ms()).lane);
    };
    bad_addresses_ = {};
    dns_.forget();
    for (auto& [key, to] : destinations_) {
        to.asks_again = true; // A connection on its way may need what it knows.
    }
    tls_policies_.forget();
    if (asked.message_id) {
        for (const std::uint32_t slot : slots_of(*asked.message_id)) {
            make_due(slot);
        }
        then(done->count);
        return;
    }
    auto filter = std::make_shared<lane_filter>(*this, asked);
    auto all = std::make_shared<sweep>();
    all->judge = [filter, retry, make_due](const schedule::waiting_item& item) {
        const likeness like = filter->of(item);
        if (like == likeness::all && item.is_deferred) {
            make_due(item.slot);
        } else if (like == likeness::all && !item.is_held) {
            retry(item.lane);
        }
        return like == likeness::some && !item.is_held;
    };
    all->use = [this, filter, make_due](queued_message& message, const auto& item) {
        for (const std::uint32_t slot : slots_of(message.envelope.id)) {
            bool is_meant = false;
            if (slot == item.slot) {
                scheduler_.item_at(slot).recipients.for_each([&](std::uint32_t index) {
                    is_meant = is_meant || filter->takes(message, item, index);
                });
            }
            if (is_meant) {
                make_due(slot);
            }
        }
    };
    all->then = [done, then = std::move(then)] { then(done->count); };
    if (!asked.tenant.empty() || !asked.domain.empty()) {
        start_sweep(std::move(all));
        return;
    }
    // Also those that nothing waits for: a connection may be on its way.
    sweep_lanes([retry](const schedule::lane_view& view) { retry(view.id); },
                [this, all] { start_sweep(all); });
}

struct outbound::bouncing {
    smtp::reply reply;
    bool is_quiet = false;
    std::int64_t began_unix_ms = 0;
    bounce_count count;
};

void outbound::bounce(const queue_filter& asked,
                      const std::string& reason,
                      bool is_quiet,
                      std::function<void(const bounce_count&)> so_far,
                      std::function<void()> then) {
    auto how = std::make_shared<bouncing>();
    how->reply = smtp::reply(550, {5, 7, 1}, reason);
    how->is_quiet = is_quiet;
    how->began_unix_ms = context_.reactor.unix_us() / 1000;
    auto filter = std::make_shared<lane_filter>(*this, asked);
    auto all = std::make_shared<sweep>();
    all->judge = [filter](const schedule::waiting_item& item) {
        return filter->of(item) != likeness::none;
    };
    all->use = [this, how, filter, so_far = std::move(so_far)](queued_message& message,
                                                               const auto&) {
        if (message.envelope.received_unix_ms <= how->began_unix_ms) {
            how->count = {};
            bounce_items(*how, message, *filter);
            so_far(how->count);
        }
    };
    all->is_reporting = !is_quiet;
    all->then = std::move(then);
    if (!asked.message_id) {
        start_sweep(std::move(all));
        return;
    }
    messages_.with(*asked.message_id, [all](queued_message* message, auto) {
        if (message != nullptr) {
            all->use(*message, {});
        }
        all->then();
    });
}

// All of the message's items that are meant. What remains of one keeps its time.
void outbound::bounce_items(bouncing& how, queued_message& message, lane_filter& filter) {
    const std::uint64_t id = message.envelope.id;
    const std::size_t before = message.outstanding.count();
    for (const std::uint32_t slot : slots_of(id)) {
        const auto seen = scheduler_.waiting_at(slot, clock_ms());
        if (!seen) {
            continue; // It ends by itself.
        }
        schedule::recipient_set ended;
        scheduler_.item_at(slot).recipients.for_each([&](std::uint32_t index) {
            if (filter.takes(message, *seen, index)) {
                ended.add(index);
            }
        });
        if (ended.empty()) {
            continue;
        }
        if (seen->is_in_flight) {
            how.count.in_flight += ended.count();
            continue;
        }
        auto item = seen->is_held ? scheduler_.release(id) : scheduler_.withdraw(slot);
        const std::string lane = seen->is_held ? "" : key_of(item->lane);
        attempt_place place;
        place.site = lane;
        ended.for_each([&](std::uint32_t index) {
            item->recipients.remove(index);
            finish_recipient(message,
                             {index,
                              outcome::event_type::admin_bounce,
                              &how.reply,
                              "",
                              item->attempts,
                              false,
                              how.is_quiet},
                             place);
        });
        if (item->recipients.empty()) {
            messages_.item_left(id, slot, seen->is_held ? item->sibling : scheduler_.drop(*item));
        } else if (seen->is_held) {
            messages_.item_left(id, slot, item->sibling);
            message.first_slot = scheduler_.hold(*item, message.first_slot);
            ++message.items;
        } else if (seen->is_put_off) {
            scheduler_.put_off(*item, seen->due_ms, clock_ms());
        } else if (seen->is_deferred) {
            scheduler_.put_aside(*item, seen->due_ms, clock_ms());
        } else {
            scheduler_.put_back(*item, clock_ms());
        }
    }
    reporter_.send(message);
    const std::size_t count = before - message.outstanding.count();
    how.count.recipients += count;
    how.count.messages += count > 0 ? 1 : 0;
    if (count > 0) {
        settle(message);
    }
}

void outbound::shut_down() {
    stopping_ = true;
    std::vector<connection*> unopened; // They wait for DNS.
    for (const auto& [key, one] : connections_) {
        if (one->client == nullptr && !one->is_awaited && one->site == nullptr) {
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
