#include "runtime/resolve/mail_hosts.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace ebbgate::dns {

struct mail_hosts::route_search {
    mail_route route;
    std::vector<host_pointer> found; // One a host of the route.
    std::size_t missing = 0;
};

struct mail_hosts::host_search {
    std::string name;
    std::optional<answer> a;
    std::optional<answer> aaaa;
    std::size_t missing = 0;
};

mail_hosts::mail_hosts(task::reactor& reactor, asker& names, mail_hosts_settings settings)
    : reactor_(reactor), names_(names), settings_(std::move(settings)),
      routes_(settings_.routes_max), hosts_(settings_.hosts_max),
      here_(std::make_shared<mail_hosts*>(this)) {}

void mail_hosts::find(std::string_view domain, route_done then) {
    std::string name = config::lower_ascii(domain);
    if (route_pointer route = routes_.find(name, reactor_.now_ms())) {
        later(then, std::move(route));
        return;
    }
    if (!config::is_host_name(name)) {
        mail_route route;
        route.verdict = route_verdict::no_domain;
        route.text = "the domain is no name of a host";
        route.domain = std::move(name);
        later(then, std::make_shared<const mail_route>(std::move(route)));
        return;
    }
    auto& others = waiting_routes_[name];
    others.push_back(std::move(then));
    if (others.size() == 1) {
        ask(name, record_type::mx, [this, name](const answer& mx) { on_mx(name, mx); });
    }
}

void mail_hosts::find_host(std::string_view name, host_done then) {
    const std::string lower = config::lower_ascii(name);
    if (host_pointer host = hosts_.find(lower, reactor_.now_ms())) {
        later(then, std::move(host));
    } else {
        search_host(lower, std::move(then));
    }
}

route_pointer mail_hosts::known(std::string_view domain) {
    return routes_.find(config::lower_ascii(domain), reactor_.now_ms());
}

void mail_hosts::forget() noexcept {
    routes_.clear();
    hosts_.clear();
}

void mail_hosts::ask(const std::string& name, record_type type, asker::done then) {
    names_.ask(reactor_,
               name,
               type,
               [here = std::weak_ptr(here_), then = std::move(then)](const answer& found) {
                   if (!here.expired()) { // On the thread that it belongs to: it stays.
                       then(found);
                   }
               });
}

void mail_hosts::on_mx(const std::string& domain, const answer& mx) {
    auto search = std::make_shared<route_search>();
    search->route = exchangers_from(domain, mx, settings_.rules);
    const bool negative = mx.status != answer_status::found;
    search->route.until_ms = until(negative, mx.ttl_seconds);
    if (search->route.verdict != route_verdict::hosts) {
        settle(domain, std::move(search->route));
        return;
    }
    search->missing = search->route.hosts.size();
    search->found.resize(search->missing);
    // The last of them may settle the route: no part of it is looked at behind that.
    const std::size_t count = search->missing;
    for (std::size_t i = 0; i < count; ++i) {
        const std::string name = search->route.hosts[i].name;
        search_host(name, [this, search, i](const host_pointer& host) {
            search->found[i] = host;
            if (--search->missing == 0) {
                on_host(*search);
            }
        });
    }
}

void mail_hosts::on_host(route_search& search) {
    for (const host_pointer& host : search.found) {
        search.route.until_ms = std::min(search.route.until_ms, host->until_ms);
    }
    const std::string domain = search.route.domain;
    settle(domain, with_addresses(std::move(search.route), search.found, settings_.rules));
}

void mail_hosts::settle(const std::string& domain, mail_route route) {
    if (route.verdict == route_verdict::trouble) {
        route.until_ms = reactor_.now_ms() + settings_.trouble_ms;
    }
    const auto shared = std::make_shared<const mail_route>(std::move(route));
    routes_.put(domain, shared);
    auto found = waiting_routes_.extract(domain);
    for (const route_done& then : found.mapped()) {
        later(then, shared);
    }
}

void mail_hosts::search_host(const std::string& name, host_done then) {
    if (const host_pointer host = hosts_.find(name, reactor_.now_ms())) {
        then(host);
        return;
    }
    auto& others = waiting_hosts_[name];
    others.push_back(std::move(then));
    if (others.size() > 1) {
        return;
    }
    auto search = std::make_shared<host_search>();
    search->name = name;
    const auto look = [this, search](record_type type, std::optional<answer>& into) {
        ++search->missing;
        ask(search->name, type, [this, search, &into](const answer& found) {
            into = found;
            if (--search->missing == 0) {
                on_addresses(*search);
            }
        });
    };
    if (settings_.rules.family != config::address_family::ipv6) {
        look(record_type::a, search->a);
    }
    if (settings_.rules.family != config::address_family::ipv4) {
        look(record_type::aaaa, search->aaaa);
    }
}

void mail_hosts::on_addresses(host_search& search) {
    auto host = addresses_from(search.name, search.a, search.aaaa, settings_.rules.family);
    std::uint64_t ttl_seconds = std::numeric_limits<std::uint32_t>::max();
    for (const std::optional<answer>* one : {&search.a, &search.aaaa}) {
        // A family without addresses does not shorten the life of the other's.
        const bool counts =
            host.addresses.empty() || (*one && (*one)->status == answer_status::found);
        if (*one && counts) {
            ttl_seconds = std::min<std::uint64_t>(ttl_seconds, (*one)->ttl_seconds);
        }
    }
    const bool in_trouble = (search.a && search.a->status == answer_status::trouble) ||
                            (search.aaaa && search.aaaa->status == answer_status::trouble);
    host.until_ms = in_trouble ? reactor_.now_ms() + settings_.trouble_ms
                               : until(host.addresses.empty(), ttl_seconds);
    const auto shared = std::make_shared<const host_addresses>(std::move(host));
    hosts_.put(search.name, shared);
    auto found = waiting_hosts_.extract(search.name);
    for (const host_done& then : found.mapped()) {
        then(shared);
    }
}

std::uint64_t mail_hosts::until(bool negative, std::uint64_t ttl_seconds) const noexcept {
    const std::uint64_t most = negative
                                   ? std::min(settings_.negative_max_ms, settings_.lifetime_max_ms)
                                   : settings_.lifetime_max_ms;
    return reactor_.now_ms() +
           std::max(settings_.lifetime_min_ms, std::min(ttl_seconds * 1000, most));
}

template <typename Value>
void mail_hosts::later(const std::function<void(const Value&)>& then, Value value) {
    reactor_.post([here = std::weak_ptr(here_), then, value = std::move(value)] {
        if (!here.expired()) {
            then(value);
        }
    });
}

} // namespace ebbgate::dns
