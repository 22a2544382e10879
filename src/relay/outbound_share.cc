// Who has a place at a site: other lanes and other shards have their turns there, and a connection
// that has nothing to do goes to another lane with mail for the same host. Of ten
// thousand domains most have their mail at a few hosts: a handshake for each, and one of the
// connections that the host takes, would be what their mail costs.

#include "relay/outbound.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::int64_t spare_ms = 50;
constexpr std::int64_t stand_back_ms = 20;

// The same would be asked of the connection, and has been.
bool is_as_good(const delivery_target& has, const delivery_target& wanted) {
    return has.host == wanted.host && has.address == wanted.address && has.port == wanted.port &&
           has.server_name == wanted.server_name && has.tls->tls == wanted.tls->tls &&
           has.tls->requirement == wanted.tls->requirement;
}

} // namespace

// In the place of `opened`, which ends. False: there is none.
bool outbound::take_over(connection& opened,
                         const source_list& sources,
                         const target_list& targets) {
    // The first that fits, as it was drawn: taking what is idle of others would change the weights.
    const auto source = std::find_if(sources.begin(), sources.end(), [&](const auto& one) {
        return std::any_of(
            targets.begin(), targets.end(), [&](const auto& target) { return fits(one, target); });
    });
    if (source == sources.end()) {
        return false;
    }
    const site_limits::site_pointer site = context_.sites.find(site_name(*opened.to, *source));
    const deliver::client_settings settings = settings_for(*opened.to, source->ehlo);
    auto target = targets.end();
    connection* const taken = idle_.latest_at(*site, [&](const connection& idle) {
        // Never a backup while the best that works is another.
        target = std::find_if(targets.begin(), targets.end(), [&](const delivery_target& wanted) {
            return wanted.preference == targets.front().preference &&
                   is_as_good(idle.targets[idle.next_target - 1], wanted);
        });
        return target != targets.end() && idle.source.address == source->address &&
               idle.settings == settings && idle.client->is_idle();
    });
    if (taken == nullptr) {
        return false;
    }
    idle_.remove(*taken);
    leave_lane(*taken);
    taken->permit = std::exchange(opened.permit, {});
    taken->to = opened.to;
    taken->tls = std::move(opened.tls);
    taken->targets = {*target};
    taken->next_target = 1;
    taken->has_other_hosts = opened.has_other_hosts;
    taken->misses_hosts = opened.misses_hosts;
    taken->to->turned_away_in_a_row = 0;
    taken->ready_ms = clock_ms();
    taken->to->fault.clear();
    connections_.erase(&opened);
    count_session(*taken); // Its domain's reports tell of it as of one that was opened.
    keep_site(*taken);
    (void)taken->client->wake();
    return true;
}

// It needs no other any more, and stands in no line.
void outbound::keep_site(const connection& used) {
    auto& kept = used.to->sites;
    if (std::find(kept.begin(), kept.end(), used.site) == kept.end()) {
        kept.push_back(used.site);
    }
    for (const site_limits::site_pointer& one : kept) {
        lines_.remove(one->name(), used.permit.lane);
    }
    // Another of its connections may have come just before, and found no room: out of line and
    // blocked, nobody would ever unblock it.
    scheduler_.unblock(used.permit.lane);
}

// Idle, it is nobody's from here on.
void outbound::leave_lane(connection& idle) {
    if (idle.permit.stage == schedule::connection_permit::stage_type::parked) {
        std::erase(parked_[idle.permit.lane], &idle);
        scheduler_.close(idle.permit);
    }
}

// Of what the site takes, shards that want some have equal parts.
bool outbound::has_more_than_its_share(const site_limit& site,
                                       std::uint64_t connection_limit) const {
    const std::uint64_t own = entered_.at(site);
    const std::uint64_t most =
        std::min<std::uint64_t>(connection_limit, std::max(site.window(), 1U));
    const std::uint64_t contenders = site.contenders(context_.shard);
    // Of two shards both have some when one has one more; of three or more one may have none.
    const std::uint64_t uneven = contenders == 2 ? 1 : 0;
    return contenders > 1 && (own >= most || own * contenders > most + uneven);
}

bool outbound::owes_its_place(const connection& used) const {
    if (!used.site->is_wanted()) {
        return false;
    }
    if (has_more_than_its_share(*used.site, used.to->limits.connection_limit)) {
        return true;
    }
    return lines_.has_others(used.site->name(), used.permit.lane);
}

// Whoever waits is told and gets there first: this lane stands back for a moment.
void outbound::leave_site(connection& used) {
    const bool stands_back = !stopping_ && (used.makes_room || owes_its_place(used));
    const bool is_for_others =
        stands_back &&
        (used.makes_room || has_more_than_its_share(*used.site, used.to->limits.connection_limit));
    if (std::exchange(used.works, false)) {
        used.site->end_work(clock_ms());
    }
    entered_.remove(used);
    if (stands_back) {
        // Out of its own line too, or the room that it makes would be offered to it first.
        lines_.remove(used.site->name(), used.permit.lane);
        block_until(used.permit.lane, clock_ms() + stand_back_ms);
    }
    if (is_for_others) {
        // Or the lanes that wait here, which hear of it first, would have it every time.
        used.site->leave_to_others(context_.shard);
        lines_.time(used.site->name(), clock_ms() + stand_back_ms);
    } else {
        used.site->leave(context_.shard);
    }
    used.site = nullptr;
}

// Its turn is over, and what it has open is for others: the lane comes back a moment after them.
void outbound::stand_back(connection& asking) {
    const bool is_for_others =
        has_more_than_its_share(*asking.site, asking.to->limits.connection_limit);
    if (!capped_.empty() || is_for_others) {
        send_away(&asking, is_for_others); // They are at other sites, or in other shards.
        return;
    }
    lines_.remove(asking.site->name(), asking.permit.lane);
    block_until(asking.permit.lane, clock_ms() + stand_back_ms);
}

// After what it does now. It is not counted with those of its shard any more, or the next one that
// asks would go for the same reason; nor is it anybody's to take over.
void outbound::send_away(connection* one, bool makes_room) {
    if (one != nullptr) {
        one->makes_room = makes_room;
        idle_.remove(*one);
        entered_.remove(*one);
        one->client->shut_down();
    }
}

// It has no work, and others wait for its place: of this shard the first in line may take it over.
void outbound::offer(connection& idle) {
    const site_limit& site = *idle.site;
    if (has_more_than_its_share(site, idle.to->limits.connection_limit)) {
        send_away(idle_.longest_at(site), true);
    } else if (lines_.has_others(site.name(), idle.permit.lane)) {
        const std::string name = site.name();
        leave_lane(idle);
        idle.permit.lane = schedule::no_lane;
        tell_line(name, 1);
    } else {
        give_way(site);
    }
}

// What is idle is for those that wait in other shards, when nobody here does: if it still is in a
// moment, for a handshake costs more than that.
void outbound::give_way(const site_limit& site) {
    if (site.contenders(context_.shard) > 1 && lines_.count(site.name()) == 0) {
        lines_.time(site.name(), clock_ms() + spare_ms);
    }
}

void outbound::close_spare(const std::string& site) {
    const site_limits::site_pointer at = context_.sites.find(site);
    if (at->contenders(context_.shard) > 1 && lines_.count(site) == 0) {
        send_away(idle_.longest_at(*at), true);
    }
}

} // namespace ebbgate::relay
