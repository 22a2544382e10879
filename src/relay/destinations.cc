#include "relay/destinations.h"

#include "config/domain.h"

#include <algorithm>
#include <random>

namespace ebbgate::relay {

std::string domain_of(std::string_view address) {
    const std::string_view domain = address.substr(address.rfind('@') + 1);
    auto labels = config::to_a_labels(domain);
    return labels ? std::move(*labels) : config::lower_ascii(domain);
}

std::string
destination_key(const policy::route& route, std::string_view domain, std::string_view pool) {
    std::string key;
    if (route.relay == policy::relay_kind::mx) {
        key = domain;
    }
    key += route.destination;
    if (!pool.empty()) {
        key += "#";
        key += pool;
    }
    return key;
}

std::pair<std::string, destination> without_host(const destination& to, const std::string& host) {
    destination rest = to;
    rest.fault.clear();
    rest.deferred_in_a_row = 0;
    auto& out = rest.without;
    out.insert(std::lower_bound(out.begin(), out.end(), host), host);
    std::string key = to.key;
    for (const std::string& one : out) {
        key += "!" + one;
    }
    return {std::move(key), std::move(rest)};
}

std::string_view
pool_of(const policy::snapshot& policy, const policy::route& route, std::string_view tenant) {
    if (route.source) {
        return {};
    }
    const policy::tenant* found = policy.find_tenant(tenant);
    const bool is_own =
        found != nullptr && (!found->egress.sources.empty() || !found->egress.ehlo.empty());
    return is_own ? std::string_view(found->name) : std::string_view();
}

std::vector<delivery_source> sources_in_order(const policy::snapshot& policy,
                                              const destination& to,
                                              const std::string& server_name,
                                              std::uint64_t seed) {
    if (to.route.source) {
        return {{to.route.source, server_name}};
    }
    const policy::tenant* tenant = to.pool.empty() ? nullptr : policy.find_tenant(to.pool);
    if (tenant == nullptr) {
        return {{std::nullopt, server_name}};
    }
    const policy::egress_pool& pool = tenant->egress;
    const std::string& name = !pool.ehlo.empty()          ? pool.ehlo
                              : !tenant->hostname.empty() ? tenant->hostname
                                                          : server_name;
    if (pool.sources.empty()) {
        return {{std::nullopt, name}};
    }
    std::vector<const policy::egress_source*> left;
    std::uint64_t weights = 0;
    for (const policy::egress_source& one : pool.sources) {
        if (!one.drain) {
            left.push_back(&one);
            weights += one.weight;
        }
    }
    std::mt19937_64 random(seed);
    std::vector<delivery_source> order;
    while (!left.empty()) {
        std::uint64_t drawn = random() % weights;
        auto at = left.begin();
        while (drawn >= (*at)->weight) {
            drawn -= (*at)->weight;
            ++at;
        }
        order.push_back({(*at)->address, (*at)->ehlo.empty() ? name : (*at)->ehlo});
        weights -= (*at)->weight;
        left.erase(at);
    }
    return order;
}

void bad_addresses::failed(const config::ip_address& address, std::int64_t now_ms) {
    if (known_.size() >= bad_addresses_max && !known_.contains(address)) {
        std::erase_if(known_, [&](const auto& one) { return one.second.until_ms <= now_ms; });
        if (known_.size() >= bad_addresses_max) {
            return; // It is tried in its turn.
        }
    }
    record& known = known_[address];
    const std::uint32_t doublings = std::min(known.failures, 10U);
    known.until_ms = now_ms + std::min(first_ms << doublings, longest_ms);
    ++known.failures;
}

bool bad_addresses::is_bad(const config::ip_address& address, std::int64_t now_ms) const {
    const auto found = known_.find(address);
    return found != known_.end() && found->second.until_ms > now_ms;
}

void bad_addresses::sort(std::vector<delivery_target>& targets, std::int64_t now_ms) const {
    if (known_.empty()) {
        return;
    }
    std::vector<delivery_target> order;
    for (const bool wanted : {false, true}) {
        for (const delivery_target& one : targets) {
            if (is_bad(one.address, now_ms) == wanted) {
                order.push_back(one);
            }
        }
    }
    targets = std::move(order);
}

} // namespace ebbgate::relay
