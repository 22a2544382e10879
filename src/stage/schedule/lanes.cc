// The lanes of the scheduler: permits, turns, suspension, and which lanes are remembered.

#include "ebbgate/base/assert.h"

#include "stage/schedule/scheduler.h"
#include "stage/schedule/ticks.h"

#include <algorithm>

namespace ebbgate::schedule {

using stage_type = connection_permit::stage_type;

std::uint32_t& scheduler::lane_places::operator()(std::uint32_t number) const {
    return (*lanes)[number].wake_place;
}

std::size_t scheduler::text_hash::operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
}

void scheduler::configure(const settings& settings) {
    settings_ = settings;
    for (const auto& [destination, id] : lanes_by_destination_) {
        review(id);
    }
    retire_idle_lanes();
}

void scheduler::set_connections_max(lane_id id, std::uint32_t connections_max) {
    lane_of(id).connections_max = connections_max;
    review(id);
}

std::optional<lane_work> scheduler::next_due(std::int64_t now_ms) {
    advance(now_ms);
    const lane_id id = turn_.first;
    if (id == no_lane) {
        return std::nullopt;
    }
    lane_record& granted = lane_of(id);
    ++granted.opening;
    lane_work work{id, grant_action::open};
    if (granted.counters.connections_idle > 0) {
        work.action = grant_action::wake_idle;
        --granted.counters.connections_idle;
        --total_.connections_idle;
    } else {
        ++granted.counters.connections;
        ++total_.connections;
    }
    // To the end of the turn, if it may have another one at all.
    unlink(turn_, id);
    granted.in_turn = false;
    review(id);
    return work;
}

std::int64_t scheduler::back_off(lane_id id, std::int64_t now_ms) {
    lane_record& lane = lane_of(id);
    ++lane.refusals;
    lane.backed_off_until_ms =
        now_ms + jitter_.spread(back_off_ms(
                     settings_.suspend_first_ms, 2, settings_.suspend_max_ms, lane.refusals));
    watch(id, now_ms);
    return lane.backed_off_until_ms;
}

std::int64_t scheduler::pushed_back(lane_id id, std::int64_t now_ms) {
    const lane_record& lane = lane_of(id);
    return lane.backed_off_until_ms != 0 ? lane.backed_off_until_ms : back_off(id, now_ms);
}

std::int64_t
scheduler::refused(const connection_permit& permit, std::int64_t now_ms, bool others_work) {
    lane_record& lane = lane_of(permit.lane);
    if (lane.backed_off_until_ms != 0) {
        return lane.backed_off_until_ms; // Its other connections failed for the same reason.
    }
    const bool opening = permit.stage == stage_type::opening;
    const std::uint64_t failing = lane.opening + (opening ? 0U : 1U);
    const std::uint64_t working =
        lane.counters.connections > failing ? lane.counters.connections - failing : 0;
    if (working > 0 && lane.refusals == 0) {
        lane.learned_max = static_cast<std::uint32_t>(working);
        lane.learned_until_ms = now_ms + jitter_.spread(settings_.suspend_first_ms);
        watch(permit.lane, now_ms);
        return lane.learned_until_ms;
    }
    return others_work ? 0 : back_off(permit.lane, now_ms);
}

void scheduler::connected(const connection_permit& permit) {
    lane_record& lane = lane_of(permit.lane);
    if (lane.refusals != 0) {
        lane.refusals = 0;
        review(permit.lane);
    }
}

void scheduler::suspend(lane_id id, std::int64_t until_ms, std::int64_t now_ms) {
    lane_of(id).suspended_until_ms = until_ms;
    watch(id, now_ms);
}

void scheduler::resume(lane_id id, std::int64_t now_ms) {
    lane_of(id).suspended_until_ms = 0;
    watch(id, now_ms);
}

void scheduler::pause(lane_id id, std::int64_t until_ms, std::int64_t now_ms) {
    lane_of(id).paused_until_ms = until_ms;
    watch(id, now_ms);
}

void scheduler::retry_now(lane_id id, std::int64_t now_ms) {
    lane_record& lane = lane_of(id);
    lane.refusals = 0;
    lane.backed_off_until_ms = 0;
    lane.learned_until_ms = 0;
    watch(id, now_ms);
}

void scheduler::block(lane_id id) {
    set_blocked(id, true);
}

void scheduler::unblock(lane_id id) {
    set_blocked(id, false);
}

void scheduler::set_blocked(lane_id id, bool is_blocked) {
    if (id < lanes_.size() && lanes_[id].used) { // Else it was forgotten meanwhile.
        lanes_[id].is_blocked = is_blocked;
        review(id);
    }
}

void scheduler::opened(connection_permit& permit) {
    if (permit.stage == stage_type::opening) {
        lane_record& lane = lane_of(permit.lane);
        EBBGATE_ASSERT(lane.opening > 0);
        --lane.opening;
        permit.stage = stage_type::active;
        review(permit.lane);
    }
}

void scheduler::park(connection_permit& permit) {
    lane_record& lane = lane_of(permit.lane);
    EBBGATE_ASSERT(permit.stage == stage_type::active);
    permit.stage = stage_type::parked;
    ++lane.counters.connections_idle;
    ++total_.connections_idle;
    review(permit.lane);
}

void scheduler::unpark(connection_permit& permit) {
    EBBGATE_ASSERT(permit.stage == stage_type::parked);
    permit.stage = stage_type::opening; // next_due() has counted it so.
}

void scheduler::close(connection_permit& permit) {
    lane_record& lane = lane_of(permit.lane);
    EBBGATE_ASSERT(permit.stage != stage_type::closed && lane.counters.connections > 0);
    if (permit.stage == stage_type::opening) {
        EBBGATE_ASSERT(lane.opening > 0);
        --lane.opening;
    } else if (permit.stage == stage_type::parked) {
        // next_due() wakes before it opens: a parked one that is not woken is still counted idle.
        EBBGATE_ASSERT(lane.counters.connections_idle > 0);
        --lane.counters.connections_idle;
        --total_.connections_idle;
    }
    permit.stage = stage_type::closed;
    --lane.counters.connections;
    --total_.connections;
    review(permit.lane);
}

std::optional<lane_id> scheduler::find_lane(std::string_view destination) const {
    const auto found = lanes_by_destination_.find(destination);
    return found == lanes_by_destination_.end() ? std::nullopt
                                                : std::optional<lane_id>(found->second);
}

std::string_view scheduler::destination(lane_id id) const {
    return lane_of(id).destination;
}

lane_view scheduler::view(lane_id id, std::int64_t now_ms) const {
    const lane_record& seen = lane_of(id);
    lane_view view;
    view.id = id;
    view.destination = seen.destination;
    view.counters = seen.counters;
    view.suspended_until_ms = seen.suspended_until_ms;
    view.backed_off_until_ms = seen.backed_off_until_ms;
    view.paused_until_ms = seen.paused_until_ms;
    view.is_blocked = seen.is_blocked;
    view.is_full =
        seen.counters.connections - seen.counters.connections_idle >= connections_max(seen);
    if (seen.by_arrival.first != no_slot) {
        const std::int64_t arrived_ms =
            std::int64_t{slots_[seen.by_arrival.first].arrived_s} * 1000;
        view.oldest_age_ms = std::max<std::int64_t>(now_ms - arrived_ms, 0);
    }
    return view;
}

std::optional<lane_view> scheduler::lane_at(lane_id id, std::int64_t now_ms) const {
    return lanes_[id].used ? std::optional(view(id, now_ms)) : std::nullopt;
}

void scheduler::for_each_lane(std::int64_t now_ms,
                              const std::function<void(const lane_view&)>& visit) const {
    for (const auto& [destination, id] : lanes_by_destination_) {
        visit(view(id, now_ms));
    }
}

std::int64_t scheduler::oldest_age_ms(std::int64_t now_ms) const {
    std::int64_t oldest = 0;
    for (const auto& [destination, id] : lanes_by_destination_) {
        oldest = std::max(oldest, view(id, now_ms).oldest_age_ms);
    }
    if (held_.first != no_slot) {
        oldest = std::max(oldest, now_ms - std::int64_t{slots_[held_.first].arrived_s} * 1000);
    }
    return oldest;
}

waiting_item scheduler::look_at(std::uint32_t number, std::int64_t now_ms) const {
    const slot& seen = slots_[number];
    waiting_item item;
    item.message_id = seen.message_id;
    item.slot = number;
    item.tenant = tenant_of_owner(seen.owner);
    item.is_urgent = is_urgent_owner(seen.owner);
    item.attempts = seen.attempts;
    item.is_deferred = seen.state == slot_state::deferred;
    item.is_in_flight = seen.state == slot_state::in_flight;
    item.is_held = seen.state == slot_state::held;
    item.is_put_off = item.is_deferred && seen.is_put_off;
    item.is_noticed = seen.is_noticed;
    item.lane = item.is_held ? no_lane : seen.lane;
    item.due_ms = item.is_deferred ? ms_of(times_.time_at(seen.place), now_ms) : 0;
    item.arrived_ms = std::int64_t{seen.arrived_s} * 1000;
    return item;
}

void scheduler::for_each_item(lane_id id,
                              std::int64_t now_ms,
                              const std::function<bool(const waiting_item&)>& visit) const {
    std::uint32_t number = lane_of(id).by_arrival.first;
    while (number != no_slot && visit(look_at(number, now_ms))) {
        number = slots_[number].arrival.next;
    }
}

void scheduler::for_each_newest(lane_id id,
                                std::size_t items_max,
                                const std::function<void(std::uint64_t message_id)>& visit) const {
    std::uint32_t number = lane_of(id).by_arrival.last;
    for (std::size_t seen = 0; seen < items_max && number != no_slot; ++seen) {
        const std::uint32_t before = slots_[number].arrival.previous;
        visit(slots_[number].message_id);
        number = before;
    }
}

void scheduler::for_each_held(std::int64_t now_ms,
                              const std::function<bool(const waiting_item&)>& visit) const {
    std::uint32_t number = held_.first;
    while (number != no_slot && visit(look_at(number, now_ms))) {
        number = slots_[number].waiting.next;
    }
}

scheduler::lane_record& scheduler::lane_of(lane_id id) {
    EBBGATE_ASSERT(id < lanes_.size() && lanes_[id].used);
    return lanes_[id];
}

const scheduler::lane_record& scheduler::lane_of(lane_id id) const {
    EBBGATE_ASSERT(id < lanes_.size() && lanes_[id].used);
    return lanes_[id];
}

lane_id scheduler::make_lane(std::string_view destination) {
    retire_idle_lanes();
    lane_id id = static_cast<lane_id>(lanes_.size());
    if (free_lanes_.empty()) {
        lanes_.emplace_back();
    } else {
        id = free_lanes_.back();
        free_lanes_.pop_back();
    }
    lanes_[id].destination = destination;
    lanes_[id].used = true;
    lanes_by_destination_.emplace(lanes_[id].destination, id);
    return id;
}

// Puts the lane where its state says: in the turn, among the idle, or neither. Constant time.
void scheduler::review(lane_id id) {
    lane_record& lane = lane_of(id);
    const bool turn = may_grant(lane);
    if (turn != lane.in_turn) {
        if (turn && lane.in_idle) {
            unlink(idle_, id);
            lane.in_idle = false;
        }
        turn ? link_last(turn_, id) : unlink(turn_, id);
        lane.in_turn = turn;
    }
    const bool idle = !turn && lane.by_arrival.count == 0 && lane.counters.connections == 0 &&
                      lane.wake_place == no_place;
    if (idle != lane.in_idle) {
        idle ? link_last(idle_, id) : unlink(idle_, id);
        lane.in_idle = idle;
    }
}

bool scheduler::may_grant(const lane_record& lane) const noexcept {
    if (waits(lane) || lane.ready.count <= lane.opening) {
        return false;
    }
    if (lane.refusals != 0 && lane.counters.connections != lane.counters.connections_idle) {
        return false; // One probes.
    }
    return lane.counters.connections_idle > 0 ||
           (!lane.is_blocked && lane.counters.connections < connections_max(lane));
}

bool scheduler::waits(const lane_record& lane) noexcept {
    return lane.suspended_until_ms != 0 || lane.backed_off_until_ms != 0 ||
           lane.paused_until_ms != 0;
}

std::int64_t lane_view::waits_until_ms() const noexcept {
    return std::max({suspended_until_ms, backed_off_until_ms, paused_until_ms});
}

std::uint32_t scheduler::connections_max(const lane_record& lane) const noexcept {
    const std::uint32_t set =
        lane.connections_max != 0 ? lane.connections_max : settings_.connections_per_lane_max;
    return lane.learned_max != 0 ? std::min(set, lane.learned_max) : set;
}

void scheduler::watch(lane_id id, std::int64_t now_ms) {
    lane_record& lane = lane_of(id);
    std::int64_t next_ms = 0;
    for (std::int64_t* until_ms : {&lane.suspended_until_ms,
                                   &lane.backed_off_until_ms,
                                   &lane.paused_until_ms,
                                   &lane.learned_until_ms}) {
        if (*until_ms <= now_ms) {
            *until_ms = 0;
        } else {
            next_ms = next_ms == 0 ? *until_ms : std::min(next_ms, *until_ms);
        }
    }
    if (lane.learned_until_ms == 0) {
        lane.learned_max = 0;
    }
    if (next_ms == 0) {
        if (lane.wake_place != no_place) {
            wakes_.remove(lane.wake_place);
        }
    } else if (const tick time = tick_of(next_ms, now_ms); lane.wake_place == no_place) {
        wakes_.push(time, id); // What is further ahead than the heap reaches is looked at again.
    } else {
        wakes_.change(lane.wake_place, time);
    }
    review(id);
}

void scheduler::link_last(lane_list& list, lane_id id) {
    lanes_[id].turn_previous = list.last;
    lanes_[id].turn_next = no_lane;
    (list.last == no_lane ? list.first : lanes_[list.last].turn_next) = id;
    list.last = id;
    ++list.count;
}

void scheduler::unlink(lane_list& list, lane_id id) {
    const lane_id previous = lanes_[id].turn_previous;
    const lane_id next = lanes_[id].turn_next;
    (previous == no_lane ? list.first : lanes_[previous].turn_next) = next;
    (next == no_lane ? list.last : lanes_[next].turn_previous) = previous;
    --list.count;
}

void scheduler::retire_idle_lanes() {
    while (idle_.count > settings_.lanes_idle_max) {
        const lane_id id = idle_.first;
        unlink(idle_, id);
        lanes_by_destination_.erase(lanes_[id].destination);
        lanes_[id] = lane_record{};
        free_lanes_.push_back(id);
    }
}

} // namespace ebbgate::schedule
