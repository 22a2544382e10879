// From a lane to a connection: names, addresses, sources, and what a site takes.

#include "relay/outbound.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::size_t targets_max = 8;     // Tried by one connection, one after another.
constexpr std::size_t asking_max = 1000;   // Connections that wait for names.
constexpr std::size_t looks_max = 64;      // At lanes in line.
constexpr std::size_t cooled_max = 20'000; // Items looked at when a lane backs off.

std::string site_of(const destination& to) {
    if (to.hosts != nullptr) {
        return to.hosts->lane_key;
    }
    return to.route.host.host + ":" + std::to_string(to.route.host.port);
}

} // namespace

void outbound::open(schedule::lane_id lane) {
    destination& to = destinations_.at(std::string(scheduler_.destination(lane)));
    if (keep_back(lane, to)) {
        schedule::connection_permit permit{lane};
        scheduler_.close(permit);
        return;
    }
    const auto keep_waiting = [&](lane_line* line) {
        schedule::connection_permit permit{lane};
        scheduler_.close(permit);
        scheduler_.block(lane);
        if (line != nullptr) {
            line->add(lane);
        }
    };
    if (to.is_asking) {
        to.is_waited_for = true;
        keep_waiting(nullptr); // One asks for all.
        return;
    }
    const std::int64_t now_ms = clock_ms();
    const auto is_good = [now_ms](const auto& answer) {
        return answer != nullptr && static_cast<std::int64_t>(answer->until_ms) > now_ms;
    };
    const bool is_known =
        to.route.host.literal || (!to.asks_again && (is_good(to.hosts) || is_good(to.host)));
    if (!is_known && asking_ >= asking_max) {
        keep_waiting(&unasked_);
        return;
    }
    if (is_known && open_count() >= connections_max_) {
        send_away(idle_.longest());
        keep_waiting(&capped_); // Until a connection has ended.
        return;
    }
    auto made = std::make_unique<connection>();
    connection& opened = *made;
    opened.owner = this;
    opened.permit.lane = lane;
    opened.to = &to;
    connections_.emplace(&opened, std::move(made));
    if (is_left(to)) {
        leave(opened);
        return;
    }
    to.is_asking = true;
    ++asking_;
    if (is_known) {
        resolved(opened);
    } else {
        ask_dns(opened);
    }
}

// What has to be known of a destination is, or cannot be had: others of its lane may ask again.
void outbound::end_asking(connection& opened) {
    if (std::exchange(opened.to->is_asking, false)) {
        --asking_;
        if (std::exchange(opened.to->is_waited_for, false)) {
            scheduler_.unblock(opened.permit.lane);
        }
    }
}

// Those that wait for names hold nothing of the other end: names that do not answer must not take
// the connections of those that do.
std::size_t outbound::open_count() const noexcept {
    return connections_.size() - asking_;
}

// Answers that are known come in the next turn; questions for one name are asked once.
void outbound::ask_dns(connection& opened) {
    destination* const to = opened.to;
    connection* const waiting = &opened;
    const auto is_here = [this, waiting] { return connections_.contains(waiting); };
    if (to->route.relay == policy::relay_kind::mx) {
        dns_.find(to->domain, [this, to, waiting, is_here](const dns::route_pointer& found) {
            if (is_here() && !stopping_) {
                to->hosts = found;
                to->asks_again = false;
                to->limits_of = 0;
                resolved(*waiting);
            }
        });
    } else {
        dns_.find_host(to->route.host.host,
                       [this, to, waiting, is_here](const dns::host_pointer& found) {
                           if (is_here() && !stopping_) {
                               to->host = found;
                               to->asks_again = false;
                               resolved(*waiting);
                           }
                       });
    }
}

void outbound::resolved(connection& opened) {
    destination& to = *opened.to;
    if (to.hosts != nullptr && to.hosts->verdict != dns::route_verdict::hosts) {
        const dns::mail_route& route = *to.hosts;
        to.fault = route.text;
        if (route.verdict == dns::route_verdict::trouble) {
            fail_to_open(opened, route.text, {4, 4, 3});
            return;
        }
        const dns::refusal refusal = dns::refusal_of(route.verdict);
        std::size_t length = 0;
        const auto status = smtp::parse_enhanced_status(refusal.status, length);
        answer_all(
            opened,
            smtp::reply(refusal.code, status.value_or(smtp::enhanced_status{5, 4, 4}), route.text));
        return;
    }
    if (to.host != nullptr && to.host->addresses.empty()) {
        // A host that the operator named: a mistake of his, or of his DNS. Nobody's mail bounces.
        fail_to_open(
            opened, "no address found for " + to.route.host.host + ": " + to.host->text, {4, 4, 3});
        return;
    }
    ask_tls(opened);
}

void outbound::set_limits(destination& to, schedule::lane_id lane) {
    if (to.limits_of == policy_number_) {
        scheduler_.set_connections_max(lane, to.limits.connection_limit); // The lane may be new.
        return;
    }
    std::vector<std::string> hosts;
    if (to.hosts != nullptr) {
        for (const dns::mail_host& one : to.hosts->hosts) {
            hosts.push_back(one.name);
        }
    } else {
        hosts.push_back(to.route.host.host);
    }
    if (std::string site = site_of(to); site != to.site) {
        for (const site_limits::site_pointer& one : to.sites) {
            lines_.remove(one->name(), lane);
        }
        to.site = std::move(site);
        to.sites.clear();
    }
    to.limits = context_.policy->delivery().shaping_for(to.domain, hosts);
    to.limits_of = policy_number_;
    scheduler_.set_connections_max(lane, to.limits.connection_limit);
}

target_list outbound::targets_of(const connection& opened) {
    const destination& to = *opened.to;
    target_list targets;
    if (to.hosts != nullptr) {
        const std::uint16_t port = context_.policy->delivery().mx_port;
        for (const dns::route_target& one : dns::in_order(*to.hosts, draw_())) {
            if (std::binary_search(to.without.begin(), to.without.end(), one.host->name)) {
                continue;
            }
            targets.push_back(
                {one.host->name, one.address, port, nullptr, {}, one.host->preference});
        }
    } else if (to.route.host.literal) {
        targets.push_back(
            {to.route.host.host, *to.route.host.literal, to.route.host.port, nullptr, {}, 0});
    } else {
        for (const config::ip_address& one : to.host->addresses) {
            targets.push_back({to.route.host.host, one, to.route.host.port, nullptr, {}, 0});
        }
    }
    bad_addresses_.sort(targets, clock_ms());
    return targets;
}

bool outbound::enter_site(connection& opened,
                          const source_list& sources,
                          const target_list& targets) {
    const destination& to = *opened.to;
    for (const delivery_source& source : sources) {
        const auto is_fit = [&source](const auto& target) { return fits(source, target); };
        if (std::none_of(targets.begin(), targets.end(), is_fit)) {
            continue;
        }
        const std::string name = site_name(to, source);
        site_limits::site_pointer site = context_.sites.find(name);
        site->begin(to.hosts == nullptr);
        if (site->enter(context_.shard, to.limits.connection_limit)) {
            opened.entered_as = site->connections();
            opened.site = std::move(site);
            entered_.add(opened);
            opened.source = source;
            std::copy_if(
                targets.begin(), targets.end(), std::back_inserter(opened.targets), is_fit);
            keep_site(opened);
            return true;
        }
        connection* const idle = idle_.longest_at(*site);
        send_away(idle);
        if (idle != nullptr) {
            lines_.add_first(name, opened.permit.lane); // Its room is for this lane.
        } else {
            lines_.add(name, opened.permit.lane);
        }
    }
    return false;
}

void outbound::set_out(connection& opened) {
    destination& to = *opened.to;
    const schedule::lane_id lane = opened.permit.lane;
    if (to.hosts != nullptr && to.hosts->verdict != dns::route_verdict::hosts) {
        resolved(opened); // DNS says something else since.
        return;
    }
    end_asking(opened);
    if (open_count() > connections_max_) { // This one is among them now.
        send_away(idle_.longest());
        give_back(opened);
        scheduler_.block(lane);
        capped_.add(lane);
        return;
    }
    set_limits(to, lane);
    const auto sources = sources_in_order(*context_.policy, to, context_.server.hostname, draw_());
    opened.misses_hosts = to.hosts != nullptr && to.hosts->is_partial;
    target_list targets = targets_of(opened);
    if (targets.empty() && !opened.misses_hosts) {
        answer_all(opened, lacking_reply()); // Those that it had not seen are no mail hosts now.
        return;
    }
    std::string why_not = "nothing is known of the other mail hosts";
    if (!targets.empty()) {
        why_not.clear();
        targets = permitted(opened, std::move(targets), why_not);
    }
    if (!targets.empty()) {
        why_not = "no source address to reach it from";
        std::erase_if(targets, [&](const delivery_target& target) {
            return std::none_of(sources.begin(), sources.end(), [&](const delivery_source& source) {
                return fits(source, target);
            });
        });
    }
    if (targets.empty()) {
        fail_to_open(opened, why_not);
        return;
    }
    opened.has_other_hosts =
        std::any_of(targets.begin(), targets.end(), [&](const delivery_target& target) {
            return target.host != targets.front().host;
        });
    if (take_over(opened, sources, targets)) {
        return;
    }
    if (!enter_site(opened, sources, targets)) {
        give_back(opened);
        scheduler_.block(lane);
        return;
    }
    const std::int64_t now_us = context_.reactor.unix_us();
    if (const auto due_us = opened.site->take_connection(to.limits.connection_rate, now_us)) {
        // In line, and not each to the same time: one of them would win it, and all would have
        // come.
        const std::string site = opened.site->name();
        leave_site(opened);
        give_back(opened);
        scheduler_.block(lane);
        const std::int64_t due_ms = clock_ms() + (due_us - now_us) / 1000 + 1;
        lines_.add(site, lane);
        lines_.use_up(site, due_ms);
        return;
    }
    if (opened.targets.size() > targets_max) {
        opened.targets.resize(targets_max);
    }
    opened.settings = settings_for(to, opened.source.ehlo);
    connect(opened);
}

deliver::client_settings outbound::settings_for(const destination& to,
                                                const std::string& ehlo) const {
    deliver::client_settings settings = client_settings_;
    settings.ehlo_name = ehlo;
    settings.chunking = client_settings_.chunking && !to.refuses_chunks;
    settings.messages_max = to.limits.deliveries_per_connection;
    settings.idle_timeout_ms = static_cast<std::uint64_t>(to.limits.idle_timeout.count()) * 1000;
    return settings;
}

void outbound::connect(connection& opened) {
    const delivery_target& target = opened.targets[opened.next_target++];
    deliver::destination where;
    where.address = {config::to_text(target.address), target.port};
    where.source = opened.source.address ? config::to_text(*opened.source.address) : std::string();
    where.host = target.host;
    where.server_name = target.server_name;
    where.tls = target.tls->tls;
    where.requirement = target.tls->requirement;
    where.authorities = context_.authorities;
    opened.client = new deliver::client(context_.reactor,
                                        context_.flusher,
                                        opened.settings,
                                        context_.client_tls,
                                        std::move(where),
                                        *this);
    opened.client->context = &opened;
    opened.client->start();
}

// Nothing could be opened: the lane waits, longer each time.
void outbound::fail_to_open(connection& opened,
                            const std::string& why,
                            smtp::enhanced_status status) {
    opened.to->fault = why;
    context_.journal.note(context_.reactor.unix_us(), "smtp", why);
    (void)back_off(opened, smtp::reply(0, status, why));
    give_back(opened);
}

void outbound::give_back(connection& opened) {
    end_asking(opened);
    scheduler_.close(opened.permit);
    connections_.erase(&opened);
}

// The domain takes no mail, for good: that is the answer to each message that waits for it.
void outbound::answer_all(connection& opened, const smtp::reply& reply) {
    while (endings_.size() < endings_waiting_max) {
        const auto item = scheduler_.take_next(opened.permit, clock_ms());
        if (!item) {
            break;
        }
        end(*item, outcome::event_type::bounce, reply);
    }
    if (endings_.size() >= endings_waiting_max) {
        block_until(opened.permit.lane, clock_ms() + look_again_ms);
    }
    give_back(opened);
}

// What is not tried for a while need not be in memory: one dead destination must not take all that
// there is for the others. The newest, for the others are cold already.
void outbound::cool_lane(schedule::lane_id lane) {
    scheduler_.for_each_newest(lane, cooled_max, [this](std::uint64_t message_id) {
        queued_message* message = messages_.find(message_id);
        if (message != nullptr && message->hot && message->users == 0 && waits_long(*message)) {
            cool(*message);
        }
    });
}

// The spool has its body.
void outbound::cool(queued_message& message) {
    context_.counters.hot_bytes -= message.body.bytes();
    message.body.clear();
    message.hot = false;
    if (message.users == 0) {
        (void)messages_.cool(message);
    }
}

void outbound::block_until(schedule::lane_id lane, std::int64_t until_ms) {
    scheduler_.block(lane);
    blocked_until_.add(lane, until_ms);
}

void outbound::unblock_due(std::int64_t now_ms) {
    while (const auto lane = blocked_until_.take(now_ms)) {
        scheduler_.unblock(*lane);
    }
    while (const auto site = lines_.take_due(now_ms)) {
        room_at(*site);
        close_spare(*site);
    }
    // As many as there is room for: each that opens nothing leaves it to the next.
    for (std::size_t room = asking_max - std::min(asking_max, asking_);
         room > 0 && !unasked_.empty();
         --room) {
        scheduler_.unblock(unasked_.take());
    }
    for (std::size_t room = connections_max_ - std::min(connections_max_, open_count());
         room > 0 && !capped_.empty();
         --room) {
        scheduler_.unblock(capped_.take());
    }
}

void outbound::room_at(const std::string& site) {
    if (lines_.is_used_up(site, clock_ms())) {
        return;
    }
    tell_line(site, lanes_told_max);
}

// The first in line, by their order; those that would open nothing now leave it.
void outbound::tell_line(const std::string& site, std::size_t most) {
    // Its mail may go elsewhere by now.
    const auto is_here = [this, &site](schedule::lane_id lane) {
        const auto to = destinations_.find(std::string(scheduler_.destination(lane)));
        return to != destinations_.end() && site.starts_with(to->second.site);
    };
    std::size_t told = 0;
    for (const schedule::lane_id lane : lines_.first(site, looks_max)) {
        scheduler_.unblock(lane);
        const auto seen = scheduler_.lane_at(lane, clock_ms());
        if (!seen || seen->counters.ready == 0 || seen->waits_until_ms() != 0 || seen->is_full ||
            !is_here(lane)) {
            lines_.remove(site, lane);
        } else if (++told == most) {
            break;
        }
    }
    if (lines_.count(site) > told) {
        // Those that were told may need nothing any more: the others must not wait for them.
        context_.sites.find(site)->wait(context_.shard);
        lines_.time(site, clock_ms() + look_again_ms);
    }
}

void outbound::wanted_at(const std::string& site) {
    const site_limits::site_pointer at = context_.sites.find(site);
    connection* const idle = idle_.longest_at(*at);
    if (idle != nullptr) {
        if (has_more_than_its_share(*at, idle->to->limits.connection_limit)) {
            send_away(idle, true);
        } else {
            give_way(*at);
        }
    }
}

// Those of lanes that the scheduler has forgotten.
void outbound::forget_destinations() {
    if (destinations_.size() < destinations_sweep_) {
        return;
    }
    std::unordered_set<const destination*> used;
    for (const auto& [key, one] : connections_) {
        used.insert(one->to);
    }
    std::erase_if(destinations_, [&](const auto& one) {
        return !scheduler_.find_lane(one.first) && !used.contains(&one.second);
    });
    std::erase_if(parked_, [](const auto& one) { return one.second.empty(); });
    destinations_sweep_ = std::max<std::size_t>(2048, destinations_.size() * 2);
}

} // namespace ebbgate::relay
