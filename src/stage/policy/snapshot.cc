#include "stage/policy/snapshot.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

namespace ebbgate::policy {

namespace {

// 255: RFC 5321 4.5.3.1.2. A longer domain matches only "*".
constexpr std::size_t domain_bytes_max = 255;

} // namespace

std::size_t snapshot::text_hash::operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
}

std::size_t snapshot::address_hash::operator()(const config::ip_address& address) const noexcept {
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()});
}

const account* snapshot::find_account(std::string_view login) const noexcept {
    const auto found = accounts_by_login_.find(login);
    if (found == accounts_by_login_.end()) {
        return nullptr;
    }
    return &tenants_[found->second.tenant].accounts[found->second.account];
}

const tenant* snapshot::find_tenant(std::string_view name) const noexcept {
    const auto found = tenants_by_name_.find(name);
    return found == tenants_by_name_.end() ? nullptr : &tenants_[found->second];
}

const tenant* snapshot::tenant_for_address(const config::ip_address& address) const noexcept {
    // One probe for each prefix length in use, of which real policies have a handful.
    for (const prefix_table& table : relay_hosts_) {
        const auto found = table.tenants.find(config::masked(address, table.prefix_bits));
        if (found != table.tenants.end()) {
            return &tenants_[found->second];
        }
    }
    return nullptr;
}

const tenant* snapshot::tenant_for_address(std::string_view address) const noexcept {
    const auto parsed = config::parse_ip_address(address);
    return parsed ? tenant_for_address(*parsed) : nullptr;
}

bool snapshot::route_index::add(std::string_view match, std::uint32_t index) {
    if (match == "*") {
        const bool first = catch_all == no_route;
        catch_all = std::min(catch_all, index);
        return first;
    }
    return match.starts_with("*.") ? suffix.emplace(match.substr(2), index).second
                                   : exact.emplace(match, index).second;
}

const route* snapshot::route_for(std::string_view domain) const noexcept {
    return find_route(all_routes_, domain);
}

const route* snapshot::route_past_hold_for(std::string_view domain) const noexcept {
    return find_route(routes_past_hold_, domain);
}

const route* snapshot::find_route(const route_index& among,
                                  std::string_view domain) const noexcept {
    std::uint32_t first = among.catch_all;
    const auto offer = [&first](const text_map<std::uint32_t>& routes, std::string_view key) {
        const auto found = routes.find(key);
        if (found != routes.end() && found->second < first) {
            first = found->second;
        }
    };
    if (domain.ends_with('.')) {
        domain.remove_suffix(1);
    }
    if (domain.size() <= domain_bytes_max) {
        std::array<char, domain_bytes_max> buffer{};
        for (std::size_t i = 0; i < domain.size(); ++i) {
            const char c = domain[i];
            buffer[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        const std::string_view lower(buffer.data(), domain.size());
        offer(among.exact, lower);
        if (!among.suffix.empty()) {
            for (std::size_t dot = lower.find('.'); dot != std::string_view::npos;
                 dot = lower.find('.', dot + 1)) {
                offer(among.suffix, lower.substr(dot + 1));
            }
        }
    }
    return first == no_route ? nullptr : &routes_[first];
}

} // namespace ebbgate::policy
