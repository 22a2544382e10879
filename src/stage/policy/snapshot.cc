#include "stage/policy/snapshot.h"

#include "config/domain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

namespace ebbgate::policy {

namespace {

// 255: RFC 5321 4.5.3.1.2. A longer domain matches only "*".
constexpr std::size_t domain_bytes_max = 255;

// Lower case, without the dot of the root; empty when it is longer than any domain.
std::string_view lowered(std::string_view domain, std::array<char, domain_bytes_max>& buffer) {
    if (domain.ends_with('.')) {
        domain.remove_suffix(1);
    }
    if (domain.size() > buffer.size()) {
        return {};
    }
    std::transform(domain.begin(), domain.end(), buffer.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return {buffer.data(), domain.size()};
}

} // namespace

std::vector<config::ip_network> loopback() {
    return {*config::parse_ip_network("127.0.0.0/8"), *config::parse_ip_network("::1")};
}

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

const account* snapshot::stand_in_for(std::string_view login) const noexcept {
    const auto& logins = accounts_by_login_;
    if (logins.empty()) {
        return nullptr;
    }
    std::size_t bucket = logins.hash_function()(login) % logins.bucket_count();
    while (logins.begin(bucket) == logins.end(bucket)) {
        bucket = (bucket + 1) % logins.bucket_count();
    }
    const account_place& place = logins.begin(bucket)->second;
    return &tenants_[place.tenant].accounts[place.account];
}

const tenant* snapshot::find_tenant(std::string_view name) const noexcept {
    const auto found = tenants_by_name_.find(name);
    return found == tenants_by_name_.end() ? nullptr : &tenants_[found->second];
}

std::vector<std::string> snapshot::key_files() const {
    std::vector<std::string> files;
    for (const tenant& one : tenants_) {
        for (const dkim_key& key : one.dkim) {
            files.push_back(key.file);
        }
    }
    return files;
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

bool snapshot::leads_to(const route& other) const noexcept {
    const auto found = destinations_.find(other.destination);
    return found != destinations_.end() && found->second == other.relay;
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
    std::array<char, domain_bytes_max> buffer;
    const std::string_view lower = lowered(domain, buffer);
    offer(among.exact, lower);
    if (!among.suffix.empty()) {
        for (std::size_t dot = lower.find('.'); dot != std::string_view::npos;
             dot = lower.find('.', dot + 1)) {
            offer(among.suffix, lower.substr(dot + 1));
        }
    }
    return first == no_route ? nullptr : &routes_[first];
}

sender_verdict snapshot::may_send(const tenant& tenant, std::string_view address) const {
    if (address.empty()) {
        return {tenant.null_sender,
                tenant.null_sender ? sender_refusal::none : sender_refusal::null_sender};
    }
    sender_text sender;
    if (!sender.set_address(address)) {
        return {false, sender_refusal::malformed};
    }
    const std::uint32_t rule = senders_.match(tenant.index, sender);
    if (rule == sender_table::none) {
        return {false, sender_refusal::tenant};
    }
    return {true, sender_refusal::none, rule};
}

sender_verdict snapshot::may_send(const account& account, std::string_view address) const {
    if (address.empty()) {
        return {account.null_sender,
                account.null_sender ? sender_refusal::none : sender_refusal::null_sender};
    }
    sender_text sender;
    if (!sender.set_address(address)) {
        return {false, sender_refusal::malformed};
    }
    std::uint32_t rule = senders_.match(account.tenant, sender);
    if (rule == sender_table::none) {
        return {false, sender_refusal::tenant};
    }
    if (account.senders_owner != no_index) {
        rule = senders_.match(account.senders_owner, sender);
        if (rule == sender_table::none) {
            return {false, sender_refusal::account};
        }
    }
    return {true, sender_refusal::none, rule};
}

std::vector<listed_sender> snapshot::senders_of(const tenant& tenant) const {
    std::vector<listed_sender> listed;
    for (const sender_table::entry& entry : senders_.entries()) {
        if (entry.owner == tenant.index) {
            listed.push_back({senders_.text_of(entry), entry.position == sender_table::by_command});
        }
    }
    return listed;
}

std::vector<std::string_view> snapshot::own_senders_of(const account& account) const {
    std::vector<std::string_view> listed;
    if (account.senders_owner == no_index) {
        return listed;
    }
    const narrowed_account& narrowed = narrowed_[account.senders_owner - account_owners];
    for (std::uint32_t index = narrowed.first; index < narrowed.first + narrowed.count; ++index) {
        listed.push_back(senders_.text_of(senders_.entries()[index]));
    }
    std::sort(listed.begin(), listed.end());
    return listed;
}

const tenant* snapshot::tenant_of_domain(std::string_view domain) const {
    if (domain.ends_with('.')) {
        domain.remove_suffix(1);
    }
    const auto lower = config::to_a_labels(domain);
    std::string_view rest = lower ? std::string_view(*lower) : std::string_view();
    while (!rest.empty()) {
        const auto found = tenants_by_domain_.find(rest);
        if (found != tenants_by_domain_.end()) {
            return &tenants_[found->second];
        }
        const std::size_t dot = rest.find('.');
        rest.remove_prefix(dot == std::string_view::npos ? rest.size() : dot + 1);
    }
    return nullptr;
}

const tenant* snapshot::tenant_for_server_name(std::string_view name) const noexcept {
    std::array<char, domain_bytes_max> buffer;
    const auto found = tenants_by_hostname_.find(lowered(name, buffer));
    return found == tenants_by_hostname_.end() ? nullptr : &tenants_[found->second];
}

rule_place snapshot::place_of(const tenant& tenant) const {
    return {files_[tenant.file],
            tenant.item == no_index ? "" : fmt::format("/tenants/{}", tenant.item),
            tenant.name};
}

rule_place snapshot::place_of(const account& account) const {
    if (account.position == no_index) {
        return {"", "", account.login};
    }
    rule_place place = place_of(tenant_of(account));
    place.pointer += fmt::format("/accounts/{}", account.position);
    place.text = account.login;
    return place;
}

rule_place snapshot::place_of_sender(std::uint32_t rule) const {
    if (rule >= senders_.entries().size()) {
        return {};
    }
    const sender_table::entry& entry = senders_.entries()[rule];
    std::string text(senders_.text_of(entry));
    if (entry.position == sender_table::by_command || entry.owner == sender_table::none) {
        return {"", "", std::move(text)};
    }
    rule_place place;
    if (entry.owner < account_owners) {
        place = place_of(tenants_[entry.owner]);
    } else {
        const narrowed_account& narrowed = narrowed_[entry.owner - account_owners];
        place = place_of(tenants_[narrowed.tenant]);
        place.pointer += fmt::format("/accounts/{}", narrowed.position);
    }
    place.pointer += fmt::format("/authorized_senders/{}", entry.position);
    place.text = std::move(text);
    return place;
}

rule_place
snapshot::place_of_limit(const tenant& tenant, const account* account, limit_key key) const {
    const limit_settings& settings = account == nullptr ? tenant.limits : limits_of(*account);
    rule_place place;
    switch (settings.levels[static_cast<std::size_t>(key)]) {
    case setting_level::built_in:
        break;
    case setting_level::defaults:
        // Always in the first file.
        place = {files_.front(), "/defaults", ""};
        break;
    case setting_level::tenant:
        place = place_of(tenant);
        break;
    case setting_level::account:
        place = place_of(*account);
        break;
    }
    if (!place.file.empty()) {
        place.pointer += fmt::format("/limits/{}", name_of(key));
    }
    place.text = name_of(key);
    return place;
}

} // namespace ebbgate::policy
