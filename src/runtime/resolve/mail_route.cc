#include "runtime/resolve/mail_route.h"

#include "runtime/resolve/address_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <span>
#include <utility>

namespace ebbgate::dns {

namespace {

bool holds(const auto& all, const auto& one) {
    return std::ranges::find(all, one) != all.end();
}

mail_route& settle(mail_route& route, route_verdict verdict, std::string text) {
    route.hosts.clear();
    route.lane_key.clear();
    route.verdict = verdict;
    route.text = std::move(text);
    return route;
}

// Ours, and what is not better than ours: mail that we hand on to those would come back to us.
bool drop_own(mail_route& route, const std::vector<bool>& is_own) {
    for (std::size_t i = 0; i < route.hosts.size(); ++i) {
        if (is_own[i]) {
            const std::uint16_t preference = route.hosts[i].preference;
            const auto first = std::ranges::find_if(
                route.hosts, [&](const mail_host& one) { return one.preference >= preference; });
            route.hosts.erase(first, route.hosts.end());
            return true;
        }
    }
    return false;
}

std::string loop_text(const mail_route& route) {
    return fmt::format("mail for {} loops back to this host", route.domain);
}

struct exchanger_records {
    std::vector<mail_exchanger> usable;
    std::size_t roots = 0;
    std::size_t others = 0; // Not names of hosts: "192.0.2.1" is the usual one.
    std::size_t malformed = 0;
};

exchanger_records records_of(const answer& mx) {
    exchanger_records all;
    for (const std::string& rdata : mx.rdata) {
        auto one = read_mx(rdata);
        if (!one) {
            ++all.malformed;
        } else if (one->host.empty()) {
            ++all.roots;
        } else if (!config::is_host_name(one->host)) {
            ++all.others;
        } else {
            all.usable.push_back(std::move(*one));
        }
    }
    std::ranges::sort(all.usable);
    return all;
}

// By preference; of a host that is named twice, the better.
void take_hosts(const std::vector<mail_exchanger>& usable, mail_route& into) {
    for (const mail_exchanger& one : usable) {
        if (into.hosts.size() == exchangers_max) {
            return;
        }
        const auto same = [&](const mail_host& known) { return known.name == one.host; };
        if (std::ranges::none_of(into.hosts, same)) {
            into.hosts.push_back({.name = one.host, .preference = one.preference});
        }
    }
}

void set_lane_key(mail_route& route) {
    std::vector<std::string_view> names;
    for (const mail_host& one : route.hosts) {
        names.emplace_back(one.name);
    }
    std::ranges::sort(names);
    route.lane_key = fmt::format("{}", fmt::join(names, ","));
}

bool may_use(const config::ip_address& address, const route_rules& rules) {
    const address_use use = use_of(address);
    return use == address_use::open || (use == address_use::inner && rules.allow_private);
}

void read_addresses(const std::optional<answer>& from,
                    std::optional<config::ip_address> (*read)(byte_view),
                    host_addresses& host,
                    std::vector<config::ip_address>& into) {
    if (!from || from->status != answer_status::found) {
        return;
    }
    for (const std::string& rdata : from->rdata) {
        const auto address = read(rdata);
        // An IPv4 address in an AAAA record is no address of a host (RFC 4291 section 2.5.5.2).
        if (address && address->is_v4() == (read == &read_a)) {
            into.push_back(*address);
        }
    }
    if (!into.empty()) {
        host.secure = host.secure && from->secure;
        host.canonical_name = from->canonical_name;
    }
}

} // namespace

refusal refusal_of(route_verdict verdict) noexcept {
    switch (verdict) {
    case route_verdict::hosts:
        return {};
    case route_verdict::null_mx:
        return {556, "5.1.10"};
    case route_verdict::no_domain:
        return {550, "5.1.2"};
    case route_verdict::no_host:
        return {550, "5.4.4"};
    case route_verdict::loops:
        return {554, "5.4.6"};
    case route_verdict::trouble:
        return {451, "4.4.3"};
    }
    return {451, "4.4.3"};
}

std::string_view name_of(route_verdict verdict) noexcept {
    constexpr std::string_view names[] = {
        "hosts", "null_mx", "no_domain", "no_host", "loops", "trouble"};
    return names[static_cast<std::size_t>(verdict)];
}

host_addresses addresses_from(std::string name,
                              const std::optional<answer>& a,
                              const std::optional<answer>& aaaa,
                              config::address_family family) {
    host_addresses host;
    host.name = std::move(name);
    host.secure = true;
    std::vector<config::ip_address> v4;
    std::vector<config::ip_address> v6;
    read_addresses(a, &read_a, host, v4);
    read_addresses(aaaa, &read_aaaa, host, v6);
    host.addresses = by_family(std::move(v4), std::move(v6), family, addresses_max);
    if (!host.addresses.empty()) {
        host.status = answer_status::found;
        return host;
    }
    host.secure = false;
    host.canonical_name = host.name;
    for (const std::optional<answer>* one : {&a, &aaaa}) {
        if (*one && (*one)->status == answer_status::trouble) {
            host.text = (*one)->text;
            return host;
        }
    }
    const bool no_name = (a && a->status == answer_status::no_name) ||
                         (aaaa && aaaa->status == answer_status::no_name);
    host.status = no_name ? answer_status::no_name : answer_status::no_data;
    host.text = host.name + (no_name ? " does not exist" : " has no address");
    return host;
}

mail_route exchangers_from(std::string domain, const answer& mx, const route_rules& rules) {
    mail_route route;
    route.domain = std::move(domain);
    route.canonical_domain = mx.canonical_name.empty() ? route.domain : mx.canonical_name;
    route.mx_secure = mx.secure;
    exchanger_records records;
    switch (mx.status) {
    case answer_status::trouble:
        return settle(route, route_verdict::trouble, mx.text);
    case answer_status::no_name:
        return settle(route, route_verdict::no_domain, route.domain + " does not exist");
    case answer_status::no_data:
        route.implicit = true;
        records.usable = {{0, route.domain}};
        break;
    case answer_status::found:
        records = records_of(mx);
        break;
    }
    if (records.usable.empty()) {
        if (records.malformed > 0) {
            return settle(route,
                          route_verdict::trouble,
                          fmt::format("MX of {}: malformed records", route.domain));
        }
        if (records.others == 0) {
            return settle(route, route_verdict::null_mx, route.domain + " takes no mail (null MX)");
        }
        return settle(route,
                      route_verdict::no_host,
                      fmt::format("no mail exchanger of {} has the name of a host", route.domain));
    }
    take_hosts(records.usable, route);
    std::vector<bool> is_own;
    for (const mail_host& one : route.hosts) {
        is_own.push_back(holds(rules.own_names, one.name));
    }
    if (drop_own(route, is_own) && route.hosts.empty()) {
        return settle(route, route_verdict::loops, loop_text(route));
    }
    set_lane_key(route);
    route.verdict = route_verdict::hosts;
    return route;
}

mail_route
with_addresses(mail_route begun, const std::vector<host_pointer>& found, const route_rules& rules) {
    std::vector<bool> is_own;
    std::string trouble;
    std::string refused;
    std::string none;
    for (std::size_t i = 0; i < begun.hosts.size(); ++i) {
        mail_host& host = begun.hosts[i];
        const host_addresses& known = *found[i];
        host.canonical_name = known.canonical_name;
        host.secure = known.secure;
        bool own = false;
        for (const config::ip_address& address : known.addresses) {
            own = own || holds(rules.own_addresses, address);
            if (may_use(address, rules)) {
                host.addresses.push_back(address);
            } else {
                refused = fmt::format("{} has the address {}, where no mail is sent to",
                                      host.name,
                                      config::to_text(address));
            }
        }
        is_own.push_back(own);
        if (known.status == answer_status::trouble && trouble.empty()) {
            trouble = known.text;
        } else if (known.addresses.empty() && none.empty()) {
            none = known.text;
        }
    }
    if (drop_own(begun, is_own)) {
        if (begun.hosts.empty()) {
            return settle(begun, route_verdict::loops, loop_text(begun));
        }
        set_lane_key(begun);
    }
    std::erase_if(begun.hosts, [](const mail_host& one) { return one.addresses.empty(); });
    if (!begun.hosts.empty()) {
        begun.is_partial = !trouble.empty();
        return begun;
    }
    if (!trouble.empty()) {
        return settle(begun, route_verdict::trouble, std::move(trouble));
    }
    return settle(begun,
                  route_verdict::no_host,
                  fmt::format("no mail exchanger of {} can be reached: {}",
                              begun.domain,
                              refused.empty() ? none : refused));
}

std::vector<route_target> in_order(const mail_route& route, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<const mail_host*> hosts;
    for (const mail_host& one : route.hosts) {
        hosts.push_back(&one);
    }
    const auto shuffle_runs = [&](auto begin, auto end, auto same) {
        while (begin != end) {
            const auto next =
                std::find_if_not(begin, end, [&](const auto& one) { return same(*begin, one); });
            std::shuffle(begin, next, random);
            begin = next;
        }
    };
    shuffle_runs(hosts.begin(), hosts.end(), [](const mail_host* one, const mail_host* other) {
        return one->preference == other->preference;
    });
    std::vector<route_target> targets;
    for (const mail_host* host : hosts) {
        const auto first = static_cast<std::ptrdiff_t>(targets.size());
        for (const config::ip_address& address : host->addresses) {
            targets.push_back({host, address});
        }
        shuffle_runs(targets.begin() + first,
                     targets.end(),
                     [](const route_target& one, const route_target& other) {
                         return one.address.is_v4() == other.address.is_v4();
                     });
    }
    return targets;
}

} // namespace ebbgate::dns
