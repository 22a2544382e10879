#include "stage/schedule/scheduler.h"

#include "ebbgate/base/assert.h"

#include "stage/schedule/ticks.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ebbgate::schedule {

namespace {

// 1024 items change state in one call at most, so that a million that come due together do not
// stop the shard; next_wakeup_ms() then says "now".
constexpr int advances_max = 1024;

// So many change their bucket, besides.
constexpr std::size_t moves_max = 16'384;

// A ready item gets this long for its last attempt, however old it is; half of a shorter max_age.
constexpr std::int64_t last_chance_ms = 60'000;

// Items mostly come in order of arrival; one that does not is sorted in up to this far.
constexpr int arrival_steps_max = 64;

std::int32_t arrived_seconds(std::int64_t arrived_ms) {
    constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
    return static_cast<std::int32_t>(std::clamp(arrived_ms / 1000, -limit, limit));
}

} // namespace

scheduler::scheduler(const settings& settings, std::uint64_t seed)
    : settings_(settings), jitter_(seed), wakes_(lane_places{&lanes_}) {}

std::uint32_t scheduler::make_slot(const delivery_item& item, std::uint32_t sibling) {
    const std::uint32_t number = slots_.make();
    slot& made = slots_[number];
    made.message_id = item.message_id;
    made.arrived_s = arrived_seconds(item.arrived_ms);
    made.owner = owner_of(item.tenant, item.is_urgent);
    made.attempts = item.attempts;
    made.is_noticed = item.is_noticed;
    made.sibling = number;
    if (sibling != no_slot) {
        EBBGATE_ASSERT(slots_[sibling].message_id == item.message_id);
        made.sibling = std::exchange(slots_[sibling].sibling, number);
    }
    keep_recipients(number, item.recipients);
    return number;
}

std::uint32_t scheduler::add(const delivery_item& item,
                             std::string_view destination,
                             std::int64_t now_ms,
                             std::uint32_t sibling) {
    const auto known = lanes_by_destination_.find(destination);
    const lane_id id =
        known == lanes_by_destination_.end() ? make_lane(destination) : known->second;
    const std::uint32_t number = make_slot(item, sibling);
    slots_[number].lane = id;
    link_arrival(number);
    if (item.not_before_ms > now_ms) {
        make_deferred(number, item.not_before_ms, now_ms);
    } else {
        make_ready(number, false, now_ms);
    }
    review(id);
    return number;
}

std::uint32_t scheduler::hold(const delivery_item& item, std::uint32_t sibling) {
    const auto [known, fresh] = held_by_message_.emplace(item.message_id, no_slot);
    if (!fresh) {
        // One item a message: the recipients join those that wait already.
        delivery_item joined = item_of(known->second);
        item.recipients.for_each([&joined](std::uint32_t index) { joined.recipients.add(index); });
        keep_recipients(known->second, joined.recipients);
        return known->second;
    }
    const std::uint32_t number = make_slot(item, sibling);
    known->second = number;
    slots_[number].state = slot_state::held;
    slots_.link_last<&slot::waiting>(held_, number);
    ++total_.held;
    return number;
}

recipient_set scheduler::held_of(std::uint64_t message_id) const {
    const auto found = held_by_message_.find(message_id);
    return found == held_by_message_.end() ? recipient_set() : item_of(found->second).recipients;
}

std::optional<delivery_item> scheduler::release(std::uint64_t message_id) {
    const auto found = held_by_message_.find(message_id);
    if (found == held_by_message_.end()) {
        return std::nullopt;
    }
    const std::uint32_t number = found->second;
    held_by_message_.erase(found);
    delivery_item item = item_of(number);
    slots_.unlink<&slot::waiting>(held_, number);
    --total_.held;
    if (const std::uint32_t sibling = slots_[number].sibling; sibling != number) {
        item.sibling = sibling;
    }
    free_slot(number);
    return item;
}

std::optional<delivery_item> scheduler::release_next() {
    if (held_.first == no_slot) {
        return std::nullopt;
    }
    return release(slots_[held_.first].message_id);
}

std::optional<delivery_item> scheduler::take_next(connection_permit& permit, std::int64_t now_ms) {
    advance(now_ms);
    lane_record& from = lane_of(permit.lane);
    using stage = connection_permit::stage_type;
    EBBGATE_ASSERT(permit.stage == stage::opening || permit.stage == stage::active);
    if (permit.stage == stage::opening) {
        EBBGATE_ASSERT(from.opening > 0);
        --from.opening;
        permit.stage = stage::active;
    }
    const std::uint32_t number =
        waits(from) ? no_slot : ready_.take(from.ready, settings_.urgent_run_max);
    if (number == no_slot) {
        review(permit.lane);
        return std::nullopt;
    }
    times_.remove(number);
    --from.counters.ready;
    --total_.ready;
    return put_in_flight(number);
}

delivery_item scheduler::put_in_flight(std::uint32_t number) {
    lane_record& from = lane_of(slots_[number].lane);
    slots_[number].state = slot_state::in_flight;
    ++from.counters.in_flight;
    ++total_.in_flight;
    delivery_item item = item_of(number);
    review(item.lane);
    return item;
}

std::optional<delivery_item> scheduler::withdraw(std::uint32_t number) {
    const slot_state state = slots_[number].state;
    if (state != slot_state::ready && state != slot_state::deferred) {
        return std::nullopt;
    }
    unlink_waiting(number);
    return put_in_flight(number);
}

std::optional<delivery_item> scheduler::next_expired(std::int64_t now_ms) {
    advance(now_ms);
    if (expired_.first == no_slot) {
        return std::nullopt;
    }
    const std::uint32_t number = expired_.first;
    slots_.unlink<&slot::waiting>(expired_, number);
    return put_in_flight(number);
}

std::optional<delivery_item> scheduler::next_late(std::int64_t now_ms) {
    advance(now_ms);
    while (!late_.empty()) {
        const auto [number, message_id] = late_.back();
        late_.pop_back();
        if (slots_[number].state != slot_state::free && slots_[number].message_id == message_id) {
            return item_of(number);
        }
    }
    return std::nullopt;
}

std::uint32_t scheduler::done(const delivery_item& item) {
    ++lane_of(item.lane).counters.done_total;
    ++total_.done_total;
    return drop(item);
}

std::uint32_t scheduler::drop(const delivery_item& item) {
    const std::uint32_t number = checked_slot(item);
    lane_record& from = lane_of(item.lane);
    --from.counters.in_flight;
    --total_.in_flight;
    const std::uint32_t sibling = forget(number);
    review(item.lane);
    return sibling;
}

defer_result
scheduler::defer(const delivery_item& item, std::int64_t now_ms, std::int64_t not_before_ms) {
    const std::uint32_t number = checked_slot(item);
    lane_record& from = lane_of(item.lane);
    slot& deferred = slots_[number];
    const std::int64_t expiry = expiry_ms(deferred);
    if (now_ms >= expiry) {
        ++from.counters.expired_total;
        ++total_.expired_total;
        keep_recipients(number, item.recipients);
        return {.expired = true};
    }
    if (deferred.attempts < std::numeric_limits<std::uint16_t>::max()) {
        ++deferred.attempts;
    }
    const retry_settings& retry = settings_.retry;
    const std::int64_t wait_ms =
        jitter_.spread(back_off_ms(retry.first_ms, retry.factor, retry.max_ms, deferred.attempts));
    // The last attempt is made when max_age ends, not skipped.
    const std::int64_t due_ms = std::min(std::max(now_ms + wait_ms, not_before_ms), expiry);
    keep_recipients(number, item.recipients);
    --from.counters.in_flight;
    --total_.in_flight;
    ++from.counters.deferred_total;
    ++total_.deferred_total;
    make_deferred(number, due_ms, now_ms);
    review(item.lane);
    return {.due_ms = due_ms};
}

void scheduler::keep(const delivery_item& item) {
    keep_recipients(checked_slot(item), item.recipients);
}

void scheduler::put_aside(const delivery_item& item, std::int64_t until_ms, std::int64_t now_ms) {
    const std::uint32_t number = checked_slot(item);
    lane_record& from = lane_of(item.lane);
    --from.counters.in_flight;
    --total_.in_flight;
    keep_recipients(number, item.recipients);
    make_deferred(number, until_ms, now_ms);
    review(item.lane);
}

void scheduler::put_off(const delivery_item& item, std::int64_t until_ms, std::int64_t now_ms) {
    // When its time ends it is due, and expires as all that nobody could try.
    const std::int64_t expiry = expiry_ms(slots_[checked_slot(item)]);
    put_aside(item, std::min(until_ms, std::max(expiry, now_ms)), now_ms);
    slots_[item.slot].is_put_off = true;
}

void scheduler::put_back(const delivery_item& item, std::int64_t now_ms) {
    const std::uint32_t number = checked_slot(item);
    lane_record& from = lane_of(item.lane);
    --from.counters.in_flight;
    --total_.in_flight;
    keep_recipients(number, item.recipients);
    make_ready(number, true, now_ms);
    review(item.lane);
}

std::optional<std::int64_t> scheduler::next_wakeup_ms(std::int64_t now_ms) const {
    if (turn_.first != no_lane || expired_.first != no_slot || !late_.empty()) {
        return now_ms;
    }
    std::optional<std::int64_t> wakeup;
    if (const auto time = times_.next_time()) {
        wakeup = ms_of(*time, now_ms);
    }
    if (!wakes_.empty()) {
        const std::int64_t wake_ms = ms_of(wakes_.top().time, now_ms);
        wakeup = wakeup ? std::min(*wakeup, wake_ms) : wake_ms;
    }
    if (wakeup) {
        wakeup = std::max(*wakeup, now_ms);
    }
    return wakeup;
}

std::size_t scheduler::flush(lane_id lane, std::size_t items_max, std::int64_t now_ms) {
    std::size_t flushed = 0;
    while (flushed < items_max && lane_of(lane).deferred.first != no_slot) {
        const std::uint32_t number = lane_of(lane).deferred.first;
        unlink_waiting(number);
        make_ready(number, false, now_ms);
        ++flushed;
    }
    review(lane);
    return flushed;
}

bool scheduler::make_due(std::uint32_t number, std::int64_t now_ms) {
    if (slots_[number].state != slot_state::deferred) {
        return false;
    }
    unlink_waiting(number);
    make_ready(number, false, now_ms);
    review(slots_[number].lane);
    return true;
}

std::uint32_t scheduler::next_ready(lane_id lane) const {
    return ready_.next(lane_of(lane).ready, settings_.urgent_run_max);
}

std::optional<waiting_item> scheduler::waiting_at(std::uint32_t number, std::int64_t now_ms) const {
    const slot_state state = slots_[number].state;
    return state == slot_state::free || state == slot_state::expired
               ? std::nullopt
               : std::optional(look_at(number, now_ms));
}

std::size_t scheduler::footprint_bytes() const noexcept {
    return slots_.footprint_bytes() + times_.footprint_bytes() + wakes_.footprint_bytes() +
           ready_.footprint_bytes() + lanes_.size() * sizeof(lane_record);
}

// A taken item names its slot; what does not fit together is a bug of the caller.
std::uint32_t scheduler::checked_slot(const delivery_item& item) const {
    EBBGATE_ASSERT(item.slot < slots_.size());
    const slot& taken = slots_[item.slot];
    EBBGATE_ASSERT(taken.state == slot_state::in_flight && taken.message_id == item.message_id &&
                   taken.lane == item.lane);
    return item.slot;
}

delivery_item scheduler::item_of(std::uint32_t number) const {
    const slot& from = slots_[number];
    delivery_item item;
    item.message_id = from.message_id;
    item.recipients.low_ = from.recipients_low;
    if (from.more_recipients) {
        item.recipients.high_ = more_recipients_.at(number);
    }
    item.arrived_ms = std::int64_t{from.arrived_s} * 1000;
    item.tenant = tenant_of_owner(from.owner);
    item.is_urgent = is_urgent_owner(from.owner);
    item.is_noticed = from.is_noticed;
    item.attempts = from.attempts;
    item.lane = from.lane;
    item.slot = number;
    return item;
}

void scheduler::keep_recipients(std::uint32_t number, const recipient_set& recipients) {
    slot& into = slots_[number];
    into.recipients_low = recipients.low_;
    if (!recipients.high_.empty()) {
        more_recipients_[number] = recipients.high_;
    } else if (into.more_recipients) {
        more_recipients_.erase(number);
    }
    into.more_recipients = !recipients.high_.empty();
}

void scheduler::free_slot(std::uint32_t number) {
    if (slots_[number].more_recipients) {
        more_recipients_.erase(number);
    }
    if (slots_[number].sibling != number) {
        std::uint32_t before = slots_[number].sibling;
        while (slots_[before].sibling != number) {
            before = slots_[before].sibling;
        }
        slots_[before].sibling = slots_[number].sibling;
    }
    slots_.free(number);
}

void scheduler::link_arrival(std::uint32_t number) {
    slot_list& list = lane_of(slots_[number].lane).by_arrival;
    const std::int32_t arrived = slots_[number].arrived_s;
    std::uint32_t after = list.last;
    for (int step = 0; step < arrival_steps_max && after != no_slot; ++step) {
        if (slots_[after].arrived_s <= arrived) {
            break;
        }
        after = slots_[after].arrival.previous;
    }
    slots_.link_after<&slot::arrival>(list, after, number);
}

void scheduler::make_ready(std::uint32_t number, bool first, std::int64_t now_ms) {
    slot& item = slots_[number];
    lane_record& into = lane_of(item.lane);
    item.state = slot_state::ready;
    if (first) {
        ready_.add_first(into.ready, number);
    } else {
        ready_.add_last(into.ready, number);
    }
    times_.push(tick_of(next_stage_ms(item, now_ms), now_ms), number, tick_at(now_ms));
    ++into.counters.ready;
    ++total_.ready;
}

void scheduler::make_deferred(std::uint32_t number, std::int64_t due_ms, std::int64_t now_ms) {
    slot& item = slots_[number];
    lane_record& into = lane_of(item.lane);
    item.state = slot_state::deferred;
    item.is_put_off = false;
    slots_.link_last<&slot::waiting>(into.deferred, number);
    times_.push(tick_of(due_ms, now_ms), number, tick_at(now_ms));
    ++into.counters.deferred;
    ++total_.deferred;
}

// Out of its list and of the wheel; the caller gives it its new state.
void scheduler::unlink_waiting(std::uint32_t number) {
    slot& item = slots_[number];
    lane_record& from = lane_of(item.lane);
    EBBGATE_ASSERT(item.state == slot_state::ready || item.state == slot_state::deferred);
    times_.remove(number);
    if (item.state == slot_state::ready) {
        ready_.remove(from.ready, number);
        --from.counters.ready;
        --total_.ready;
    } else {
        slots_.unlink<&slot::waiting>(from.deferred, number);
        --from.counters.deferred;
        --total_.deferred;
    }
}

void scheduler::expire(std::uint32_t number) {
    unlink_waiting(number);
    lane_record& from = lane_of(slots_[number].lane);
    slots_[number].state = slot_state::expired;
    slots_.link_last<&slot::waiting>(expired_, number);
    ++from.counters.expired_total;
    ++total_.expired_total;
}

std::uint32_t scheduler::forget(std::uint32_t number) {
    const std::uint32_t sibling = slots_[number].sibling;
    slots_.unlink<&slot::arrival>(lane_of(slots_[number].lane).by_arrival, number);
    free_slot(number);
    return sibling == number ? no_slot : sibling;
}

void scheduler::advance(std::int64_t now_ms) {
    int advanced = 0;
    while (!wakes_.empty() && is_due(wakes_.top().time, now_ms) && advanced++ < advances_max) {
        watch(wakes_.top().number, now_ms);
    }
    std::size_t moves = moves_max;
    while (advanced++ < advances_max) {
        const std::uint32_t number = times_.next_due(tick_at(now_ms), moves);
        if (number == no_slot) {
            break;
        }
        const lane_id id = slots_[number].lane;
        if (slots_[number].state == slot_state::deferred) {
            unlink_waiting(number);
            make_ready(number, false, now_ms);
        } else if (slot& ready = slots_[number]; is_notice_due(ready, now_ms)) {
            ready.is_noticed = true;
            late_.emplace_back(number, ready.message_id);
            wait_for_next_stage(number, now_ms);
        } else if (is_expired(number, now_ms)) {
            expire(number);
        } else {
            wait_for_next_stage(number, now_ms); // The settings have changed: it may stay longer.
        }
        review(id);
    }
}

// When a due item is late, or has no chance left.
void scheduler::wait_for_next_stage(std::uint32_t number, std::int64_t now_ms) {
    times_.remove(number);
    times_.push(tick_of(next_stage_ms(slots_[number], now_ms), now_ms), number, tick_at(now_ms));
}

std::int64_t scheduler::next_stage_ms(const slot& item, std::int64_t now_ms) const noexcept {
    const std::int64_t chance_ms = std::min(last_chance_ms, settings_.retry.max_age_ms / 2);
    const std::int64_t end_ms = std::max(expiry_ms(item), now_ms + chance_ms);
    const bool none = item.is_noticed || settings_.notice_age_ms == 0;
    return none ? end_ms
                : std::min(end_ms, std::int64_t{item.arrived_s} * 1000 + settings_.notice_age_ms);
}

bool scheduler::is_notice_due(const slot& item, std::int64_t now_ms) const noexcept {
    return !item.is_noticed && settings_.notice_age_ms != 0 && now_ms < expiry_ms(item) &&
           now_ms >= std::int64_t{item.arrived_s} * 1000 + settings_.notice_age_ms;
}

std::int64_t scheduler::expiry_ms(const slot& item) const noexcept {
    return std::int64_t{item.arrived_s} * 1000 + settings_.retry.max_age_ms;
}

} // namespace ebbgate::schedule
