// Suspensions of an operator: what they hold is not tried, leaves the memory, and others go on.
//
// A domain's lanes are suspended as a whole. Of a tenant's mail each item is put off when its turn
// comes, to the end of the suspension; so is mail to a domain that leaves by a relay with others'.

#include "relay/outbound_sweep.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr int put_off_max = 500;        // Items of a lane at a time,
constexpr std::int64_t put_off_ms = 10; // and then others have a turn.

} // namespace

std::int64_t outbound::clock_at(std::int64_t unix_s) const {
    return clock_ms() + unix_s * 1000 - context_.reactor.unix_us() / 1000;
}

const suspension* outbound::suspension_of(const std::string& tenant,
                                          std::string_view domain) const {
    return context_.suspended->find(tenant, domain, context_.reactor.unix_us() / 1'000'000);
}

bool outbound::keep_back(schedule::lane_id lane, const destination& to) {
    if (context_.suspended->empty()) {
        return false;
    }
    const std::string name = name_of(to);
    const std::int64_t now_ms = clock_ms();
    if (const suspension* one = suspension_of("", name)) {
        scheduler_.suspend(lane, std::max(clock_at(one->until_unix_s), now_ms + 1), now_ms);
        cool_lane(lane);
        return true;
    }
    for (int put_off = 0; put_off < put_off_max; ++put_off) {
        const std::uint32_t slot = scheduler_.next_ready(lane);
        if (slot == schedule::no_slot) {
            return put_off > 0;
        }
        const suspension* one =
            suspension_of(*tenant_names_[scheduler_.look_at(slot, now_ms).tenant], name);
        if (one == nullptr) {
            return false;
        }
        const bool is_expired = scheduler_.is_expired(slot, now_ms);
        const auto item = scheduler_.withdraw(slot);
        if (is_expired) {
            end(*item, outcome::event_type::expiration, expired_reply());
        } else {
            scheduler_.put_off(*item, clock_at(one->until_unix_s), now_ms);
        }
    }
    scheduler_.pause(
        lane, std::max(scheduler_.view(lane, now_ms).paused_until_ms, now_ms + put_off_ms), now_ms);
    return true;
}

bool outbound::keep_back(connection& asking) {
    const bool is_shared = asking.to->route.relay != policy::relay_kind::mx;
    if (context_.suspended->empty() || !is_shared) {
        return false; // A domain of its own has a lane of its own.
    }
    queued_message& message = *asking.message;
    std::int64_t until_s = 0;
    schedule::delivery_item kept = asking.item;
    asking.item.recipients.for_each([&](std::uint32_t index) {
        const suspension* one = suspension_of(
            message.envelope.tenant, domain_of(message.envelope.recipients[index].address));
        if (one == nullptr) {
            kept.recipients.remove(index);
        } else {
            until_s = std::max(until_s, one->until_unix_s);
        }
    });
    if (kept.recipients.empty() || scheduler_.is_expired(asking.item.slot, clock_ms())) {
        return false; // What is too old has its last attempt.
    }
    if (kept.recipients.count() < asking.item.recipients.count()) {
        kept.recipients.for_each(
            [&](std::uint32_t index) { asking.item.recipients.remove(index); });
        kept.not_before_ms = 0;
        scheduler_.keep(asking.item);
        ++message.items;
        const std::string lane(scheduler_.destination(asking.item.lane));
        const std::uint32_t slot = scheduler_.add(kept, lane, clock_ms(), asking.item.slot);
        scheduler_.put_off(*scheduler_.withdraw(slot), clock_at(until_s), clock_ms());
        return false;
    }
    scheduler_.put_off(asking.item, clock_at(until_s), clock_ms());
    asking.has_item = false;
    if (message.hot && waits_long(message)) {
        cool(message);
    }
    let_go(asking);
    ask_again(asking);
    return true;
}

void outbound::set_suspensions(std::shared_ptr<const suspensions> suspended) {
    context_.suspended = std::move(suspended);
    sweep_lanes(
        [this](const schedule::lane_view& view) {
            const destination* to = destination_of(view.id);
            const suspension* one = to == nullptr ? nullptr : suspension_of("", name_of(*to));
            if (one != nullptr) {
                scheduler_.suspend(view.id, clock_at(one->until_unix_s), clock_ms());
            } else if (view.suspended_until_ms != 0) {
                scheduler_.resume(view.id, clock_ms());
            }
        },
        [this] {
            // What was put off is due; what is still suspended is put off again in its turn.
            auto all = std::make_shared<sweep>();
            all->judge = [this](const schedule::waiting_item& item) {
                if (item.is_put_off && item.due_ms > clock_ms()) {
                    const destination* to = destination_of(item.lane);
                    const suspension* one =
                        to == nullptr ? nullptr
                                      : suspension_of(*tenant_names_[item.tenant], name_of(*to));
                    // It may be another one by now, which ends before.
                    if (one == nullptr || clock_at(one->until_unix_s) + 500 < item.due_ms) {
                        (void)scheduler_.make_due(item.slot, clock_ms());
                    }
                }
                return false;
            };
            all->then = [] {};
            start_sweep(std::move(all));
        });
}

} // namespace ebbgate::relay
