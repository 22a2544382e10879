// A connection that has nothing to do goes to another lane with mail for the same host. Of ten
// thousand domains most have their mail at a few hosts: a handshake for each, and one of the
// connections that the host takes, would be what their mail costs.

#include "relay/outbound.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::int64_t spare_ms = 50;

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

// It has no work, and others wait for its place: of this shard the first in line may take it over.
void outbound::offer(connection& idle) {
    const site_limit& site = *idle.site;
    if (has_more_than_its_share(site, idle.to->limits.connection_limit)) {
        close_idle(idle_.longest_at(site), true);
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
        close_idle(idle_.longest_at(*at), true);
    }
}

} // namespace ebbgate::relay
