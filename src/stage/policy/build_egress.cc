#include "stage/policy/builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::policy {

using config::named_value;
using std::chrono::seconds;

namespace {

constexpr named_value mail_classes[] = {
    {"bulk", static_cast<int>(mail_class::bulk)},
    {"transactional", static_cast<int>(mail_class::transactional)},
};
constexpr std::string_view address_expected = "an IP address of this machine";
constexpr std::string_view rate_expected = "a rate such as \"100/min\"";

} // namespace

bool matches(std::string_view pattern, std::string_view name) noexcept {
    if (pattern == "*") {
        return true;
    }
    if (!pattern.starts_with("*.")) {
        return pattern == name;
    }
    const std::string_view suffix = pattern.substr(1); // With its dot.
    return name.size() > suffix.size() && name.ends_with(suffix);
}

policy::shaping delivery_settings::shaping_for(std::string_view domain,
                                               std::span<const std::string> hosts) const {
    for (const shaping_rule& rule : shaping) {
        const bool is_match = rule.host.empty()
                                  ? matches(rule.domain, domain)
                                  : std::any_of(hosts.begin(), hosts.end(), [&](const auto& host) {
                                        return matches(rule.host, host);
                                    });
        if (is_match) {
            return rule.limits;
        }
    }
    return standard();
}

void snapshot_builder::parse_class(const value& object, mail_class& into) {
    if (const value* at = object.find("class")) {
        const auto chosen = reader_.choice(*at, mail_classes);
        into = static_cast<mail_class>(chosen.value_or(static_cast<int>(into)));
    }
}

void snapshot_builder::parse_suppression(const value& object, tenant& into) {
    const value* at = object.find("suppression");
    if (at == nullptr || (at->is(json::kind::boolean) && !at->boolean())) {
        return;
    }
    if (reader_.object(*at, keys::suppression)) {
        constexpr seconds day(86'400);
        seconds keep = 90 * day;
        reader_.set_duration(*at, "keep", keep, seconds(1), 3650 * day);
        into.suppression_keep = keep;
    }
}

std::optional<config::ip_address> snapshot_builder::parse_source_address(const value& at) {
    const auto text = reader_.string(at, address_expected);
    const auto address = text ? config::parse_ip_address(*text) : std::nullopt;
    if (text && !address) {
        reader_.add_fault(
            at, fmt::format("expected {}, found {}", address_expected, config::shown(at)));
    }
    if (address && sources_.insert(*address).second) {
        built_->sources_.push_back({*address, file_index(), at.line(), at.pointer()});
    }
    return address;
}

void snapshot_builder::parse_ehlo(const value& object, std::string& into) {
    if (const value* at = object.find("ehlo")) {
        const auto text = reader_.string(*at, "a host name");
        if (text && !config::is_host_name(*text)) {
            reader_.add_fault(*at, "expected a host name such as \"smtp.acme.example\"");
        } else if (text) {
            into = config::lower_ascii(*text);
        }
    }
}

void snapshot_builder::parse_source(const value& at, egress_pool& into) {
    egress_source made;
    std::optional<config::ip_address> address;
    if (at.is_string()) {
        address = parse_source_address(at);
    } else if (reader_.object(at, keys::egress_source)) {
        if (const value* text = reader_.required(at, "address", address_expected)) {
            address = parse_source_address(*text);
        }
        parse_ehlo(at, made.ehlo);
        reader_.set(at, "weight", made.weight, 1, source_weight_max);
        parse_flag(at, "drain", made.drain);
    }
    if (!address) {
        return;
    }
    made.address = *address;
    if (std::any_of(into.sources.begin(), into.sources.end(), [&](const egress_source& other) {
            return other.address == made.address;
        })) {
        reader_.add_fault(at, "the address stands here already; expected each once");
        return;
    }
    into.sources.push_back(std::move(made));
}

void snapshot_builder::parse_egress(const value& at, egress_pool& into) {
    if (!reader_.object(at, keys::egress)) {
        return;
    }
    parse_ehlo(at, into.ehlo);
    const value* sources = at.find("sources");
    if (sources == nullptr || !reader_.array(*sources, sources_max)) {
        return;
    }
    for (const value& item : sources->children()) {
        parse_source(item, into);
    }
}

void snapshot_builder::parse_egress_rate(const value& object,
                                         std::string_view key,
                                         config::rate& into) {
    const value* at = object.find(key);
    const auto text = at == nullptr ? std::nullopt : reader_.string(*at, rate_expected);
    const auto rate = text ? config::parse_rate(*text) : std::nullopt;
    if (rate) {
        into = *rate;
    } else if (text) {
        reader_.add_fault(*at,
                          fmt::format("expected {}, found {}", rate_expected, config::shown(*at)));
    }
}

void snapshot_builder::parse_shaping(const value& at) {
    if (!reader_.array(at, shaping_rules_max)) {
        return;
    }
    for (const value& item : at.children()) {
        if (reader_.object(item, keys::shaping)) {
            parse_shaping_rule(item);
        }
    }
}

void snapshot_builder::parse_shaping_rule(const value& at) {
    shaping_rule made;
    const value* domain = at.find("match");
    const value* host = at.find("mx");
    if ((domain == nullptr) == (host == nullptr)) {
        reader_.add_fault(at, "expected one of \"match\" and \"mx\"");
        return;
    }
    const value& name = domain != nullptr ? *domain : *host;
    const auto pattern = parse_pattern(name);
    if (!pattern) {
        return;
    }
    (domain != nullptr ? made.domain : made.host) = *pattern;
    made.limits = built_->delivery_.standard();
    reader_.set(at, "connection_limit", made.limits.connection_limit, 1, 10'000);
    reader_.set(
        at, "max_deliveries_per_connection", made.limits.deliveries_per_connection, 1, 1'000'000);
    reader_.set_duration(at, "idle_timeout", made.limits.idle_timeout, seconds(0), seconds(3600));
    parse_egress_rate(at, "max_message_rate", made.limits.message_rate);
    parse_egress_rate(at, "max_connection_rate", made.limits.connection_rate);
    built_->delivery_.shaping.push_back(std::move(made));
}

} // namespace ebbgate::policy
