#include "relay/outbound_sweep.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::size_t slots_a_turn = 4096;
constexpr std::size_t lanes_a_turn = 256;
constexpr std::size_t sweep_reads_max = 32; // At a time; deliveries read too.

} // namespace

void outbound::start_sweep(std::shared_ptr<sweep> made) {
    go_on(made);
}

void outbound::post_sweep(const std::shared_ptr<sweep>& under_way) {
    if (!std::exchange(under_way->is_posted, true)) {
        context_.reactor.post([this, under_way] {
            under_way->is_posted = false;
            go_on(under_way);
        });
    }
}

void outbound::go_on(const std::shared_ptr<sweep>& under_way) {
    sweep& one = *under_way;
    if (one.is_reporting && reporter_.is_busy() && !stopping_) {
        reporter_.when_it_has_room([this, under_way] { post_sweep(under_way); });
        return;
    }
    std::size_t seen = 0;
    while (!one.is_full && !stopping_ && one.next < scheduler_.slots_made() &&
           one.open < sweep_reads_max && seen++ < slots_a_turn) {
        const auto item = scheduler_.waiting_at(one.next++, clock_ms());
        if (!item || !one.judge(*item)) {
            continue;
        }
        ++one.open;
        ++one.reads;
        seen += slots_a_turn / sweep_reads_max;
        messages_.with(item->message_id, [this, under_way, item](queued_message* message, auto) {
            if (message != nullptr) {
                under_way->use(*message, *item);
            }
            --under_way->open;
            post_sweep(under_way);
        });
    }
    const bool is_through = one.is_full || stopping_ || one.next >= scheduler_.slots_made();
    if (!is_through) {
        if (one.open < sweep_reads_max) {
            post_sweep(under_way);
        }
    } else if (one.open == 0 && !std::exchange(one.has_ended, true)) {
        one.then();
    }
}

void outbound::sweep_lanes(std::function<void(const schedule::lane_view&)> visit,
                           std::function<void()> then,
                           schedule::lane_id from) {
    const auto end = static_cast<schedule::lane_id>(
        std::min<std::size_t>(scheduler_.lanes_made(), from + lanes_a_turn));
    for (; from < end; ++from) {
        if (const auto view = scheduler_.lane_at(from, clock_ms())) {
            visit(*view);
        }
    }
    if (from >= scheduler_.lanes_made()) {
        then();
        return;
    }
    context_.reactor.post([this, visit = std::move(visit), then = std::move(then), from] {
        sweep_lanes(visit, then, from);
    });
}

std::vector<std::uint32_t> outbound::slots_of(std::uint64_t message_id) const {
    std::vector<std::uint32_t> slots;
    const std::uint32_t first = messages_.first_slot(message_id);
    for (std::uint32_t slot = first; slot != schedule::no_slot;) {
        slots.push_back(slot);
        slot = scheduler_.sibling_of(slot);
        if (slot == first) {
            break;
        }
    }
    return slots;
}

const destination* outbound::destination_of(schedule::lane_id lane) const {
    if (lane == schedule::no_lane) {
        return nullptr;
    }
    const auto found = destinations_.find(std::string(scheduler_.destination(lane)));
    return found == destinations_.end() ? nullptr : &found->second;
}

std::string outbound::key_of(schedule::lane_id lane) const {
    const destination* to = destination_of(lane);
    return to == nullptr ? std::string(scheduler_.destination(lane)) : to->key;
}

std::string outbound::name_of(const destination& to) {
    return to.route.relay == policy::relay_kind::mx
               ? to.domain
               : to.route.host.host + ":" + std::to_string(to.route.host.port);
}

outbound::lane_filter::lane_filter(const outbound& owner, const queue_filter& asked)
    : owner_(owner), asked_(asked) {
    if (const auto found = owner.tenants_.find(asked.tenant); found != owner.tenants_.end()) {
        tenant_ = found->second;
    }
}

likeness outbound::lane_filter::of_lane(schedule::lane_id lane) {
    if (asked_.domain.empty()) {
        return likeness::all;
    }
    const std::string destination(lane == schedule::no_lane ? ""
                                                            : owner_.scheduler_.destination(lane));
    if (const auto known = lanes_.find(lane);
        known != lanes_.end() && known->second.destination == destination) {
        return known->second.found;
    }
    const relay::destination* to = owner_.destination_of(lane);
    const bool is_named =
        to != nullptr && (name_of(*to) == asked_.domain || destination == asked_.domain);
    const bool is_shared = to == nullptr || to->route.relay != policy::relay_kind::mx;
    const likeness found = is_named ? likeness::all : is_shared ? likeness::some : likeness::none;
    lanes_.insert_or_assign(lane, known_lane{destination, found});
    return found;
}

likeness outbound::lane_filter::of(const schedule::waiting_item& item) {
    if ((!asked_.tenant.empty() && tenant_ != item.tenant) ||
        (asked_.message_id && *asked_.message_id != item.message_id)) {
        return likeness::none;
    }
    return of_lane(item.lane);
}

bool outbound::lane_filter::takes(const queued_message& message,
                                  const schedule::waiting_item& item,
                                  std::uint32_t recipient) {
    const likeness found = of(item);
    if (found != likeness::some) {
        return found == likeness::all;
    }
    const std::string& address = message.envelope.recipients[recipient].address;
    return config::lower_ascii(address.substr(address.rfind('@') + 1)) == asked_.domain;
}

} // namespace ebbgate::relay
