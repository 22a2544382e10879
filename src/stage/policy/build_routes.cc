#include "stage/policy/builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::policy {

using config::named_value;
using std::chrono::seconds;

namespace {

constexpr named_value tls_modes[] = {
    {"off", static_cast<int>(tls_mode::off)},
    {"opportunistic", static_cast<int>(tls_mode::opportunistic)},
    {"required", static_cast<int>(tls_mode::required)},
    {"verify", static_cast<int>(tls_mode::verify)},
};
constexpr named_value eight_bit_modes[] = {
    {"send", static_cast<int>(eight_bit_mode::send)},
    {"bounce", static_cast<int>(eight_bit_mode::bounce)},
};
constexpr std::string_view relay_expected =
    "\"mx\", \"HOST:PORT\", \"[IPV6]:PORT\", \"discard\" or \"hold\"";

constexpr std::size_t ignore_max = 100'000;
constexpr std::size_t log_bytes_max = 1024;

std::string_view name_of(tls_mode mode) {
    return tls_modes[static_cast<std::size_t>(mode)].name;
}

} // namespace

void snapshot_builder::parse_root(const value& root, file_role role) {
    if (!reader_.object(root, keys::root)) {
        return;
    }
    if (const value* at = root.find("delivery")) {
        parse_delivery(*at);
    }
    if (const value* at = root.find("bans")) {
        parse_bans(*at);
    }
    if (const value* at = root.find("defaults")) {
        parse_defaults(*at);
    }
    if (const value* at = reader_.required(root, "routes", "an array of routes")) {
        if (reader_.array(*at, routes_max)) {
            if (at->children().empty()) {
                reader_.add_fault(*at,
                                  "expected at least one route, such as {\"match\": \"*\", "
                                  "\"relay\": \"smarthost.example:25\"}");
            }
            for (const value& item : at->children()) {
                parse_route(item);
            }
        }
    }
    const value* tenants = role == file_role::whole
                               ? reader_.required(root, "tenants", "an array of tenants")
                               : root.find("tenants");
    if (tenants != nullptr && reader_.array(*tenants, tenants_max)) {
        built_->tenants_.reserve(tenants->children().size());
        std::size_t senders = 0;
        for (const value& one : tenants->children()) {
            const value* list = one.find("authorized_senders");
            senders += list == nullptr ? 0 : list->children().size();
        }
        built_->senders_.reserve(std::min(senders, senders_max));
        std::uint32_t item = 0;
        for (const value& one : tenants->children()) {
            if (reader_.full()) {
                return;
            }
            parse_tenant(one, item++);
        }
    }
}

void snapshot_builder::parse_delivery(const value& at) {
    if (!reader_.object(at, keys::delivery)) {
        return;
    }
    delivery_settings& delivery = built_->delivery_;
    if (const value* retry = at.find("retry")) {
        parse_retry(*retry);
    }
    reader_.set(at, "connections_per_destination", delivery.connections_per_destination, 1, 10'000);
    reader_.set(at, "messages_per_connection", delivery.messages_per_connection, 1, 1'000'000);
    reader_.set_duration(at, "idle_timeout", delivery.idle_timeout, seconds(0), seconds(3600));
    if (const value* rules = at.find("bounce_rules")) {
        if (const auto text = reader_.string(*rules, "the path of a file")) {
            delivery.bounce_rules = config::resolve_path(*text, config::folder_of(reader_.file()));
        }
    }
    std::uint32_t mx_port = delivery.mx_port;
    reader_.set(at, "mx_port", mx_port, 1, 65'535);
    delivery.mx_port = static_cast<std::uint16_t>(mx_port);
    reader_.set(at, "max_connections", delivery.connections_max, 1, 1'000'000);
    parse_egress_rate(at, "max_message_rate", delivery.message_rate);
    parse_egress_rate(at, "max_connection_rate", delivery.connection_rate);
    if (const value* rules = at.find("shaping")) {
        parse_shaping(*rules); // After what they inherit.
    }
    if (const value* timeouts = at.find("timeouts")) {
        parse_timeouts(*timeouts);
    }
    parse_flag(at, "chunking", delivery.chunking);
    if (const value* eight_bit = at.find("eight_bit")) {
        const auto chosen = reader_.choice(*eight_bit, eight_bit_modes);
        delivery.eight_bit =
            static_cast<eight_bit_mode>(chosen.value_or(static_cast<int>(delivery.eight_bit)));
    }
}

void snapshot_builder::parse_timeouts(const value& at) {
    if (!reader_.object(at, keys::timeouts)) {
        return;
    }
    constexpr seconds least(1);
    constexpr seconds hour(3600);
    delivery_timeouts& timeouts = built_->delivery_.timeouts;
    reader_.set_duration(at, "connect", timeouts.connect, least, hour);
    reader_.set_duration(at, "greeting", timeouts.greeting, least, hour);
    reader_.set_duration(at, "command", timeouts.command, least, hour);
    reader_.set_duration(at, "data", timeouts.data, least, hour);
    reader_.set_duration(at, "body", timeouts.body, least, hour);
    reader_.set_duration(at, "final", timeouts.final, least, hour);
}

void snapshot_builder::parse_retry(const value& at) {
    if (!reader_.object(at, keys::retry)) {
        return;
    }
    constexpr seconds day(86'400);
    retry_settings& retry = built_->delivery_.retry;
    reader_.set_duration(at, "first", retry.first, seconds(1), day);
    if (const value* factor = at.find("factor")) {
        retry.factor = reader_.real_number(*factor, 1, 100).value_or(retry.factor);
    }
    reader_.set_duration(at, "max", retry.max, seconds(1), 7 * day);
    reader_.set_duration(at, "max_age", retry.max_age, seconds(1), 60 * day);
    reader_.set_duration(at, "delay_notice", retry.delay_notice, seconds(0), 60 * day);
    if (retry.max < retry.first) {
        const value* max = at.find("max");
        reader_.add_fault(max == nullptr ? at : *max,
                          "retry.max is shorter than retry.first; expected at least as long");
    }
}

void snapshot_builder::parse_route(const value& at) {
    route made;
    if (reader_.object(at, keys::route)) {
        if (const value* match = reader_.required(at, "match", "a domain, \"*.domain\" or \"*\"")) {
            parse_match(*match, made);
        }
        if (const value* relay = reader_.required(at, "relay", relay_expected)) {
            parse_relay(*relay, made);
        }
        if (const value* tls = at.find("tls")) {
            const auto chosen = reader_.choice(*tls, tls_modes);
            made.tls = static_cast<tls_mode>(chosen.value_or(static_cast<int>(made.tls)));
            require_delivery(*tls, made);
            if (made.tls == tls_mode::verify && made.host.literal) {
                reader_.add_fault(*tls,
                                  "\"verify\" checks a name; expected a relay by its name, not "
                                  "by its address");
            }
        }
        if (const value* source = at.find("source")) {
            made.source = parse_source_address(*source);
            require_delivery(*source, made);
        }
    }
    if (made.relay == relay_kind::host) {
        const bool v6 = made.host.host.find(':') != std::string::npos;
        made.destination = fmt::format(fmt::runtime(v6 ? "[{}]:{}/{}" : "{}:{}/{}"),
                                       made.host.host,
                                       made.host.port,
                                       name_of(made.tls));
    } else if (made.relay == relay_kind::mx) {
        made.destination = fmt::format("/{}", name_of(made.tls));
    } else {
        made.destination = made.relay == relay_kind::hold ? "hold" : "discard";
    }
    if (made.source) {
        made.destination += "@" + config::to_text(*made.source);
    }
    built_->routes_.push_back(std::move(made));
    index_route(at);
}

void snapshot_builder::require_delivery(const value& at, const route& of) {
    if (of.relay != relay_kind::host && of.relay != relay_kind::mx) {
        reader_.add_fault(at, "has no meaning here; expected only with \"mx\" or \"HOST:PORT\"");
    }
}

void snapshot_builder::parse_match(const value& at, route& into) {
    if (auto pattern = parse_pattern(at)) {
        into.match = std::move(*pattern);
    }
}

std::optional<std::string> snapshot_builder::parse_pattern(const value& at) {
    const auto text = reader_.string(at, "a domain, \"*.domain\" or \"*\"");
    if (!text) {
        return std::nullopt;
    }
    const std::string_view domain = text->starts_with("*.") ? text->substr(2) : *text;
    if (*text != "*" && !config::is_host_name(domain)) {
        reader_.add_fault(at,
                          fmt::format("expected a domain in A-label form, \"*.domain\" or "
                                      "\"*\", found {}",
                                      config::shown(at)));
        return std::nullopt;
    }
    return config::lower_ascii(*text);
}

void snapshot_builder::parse_relay(const value& at, route& into) {
    const auto text = reader_.string(at, relay_expected);
    if (!text) {
        return;
    }
    if (*text == "mx") {
        into.relay = relay_kind::mx;
    } else if (*text == "archive") {
        reader_.add_fault(
            at, fmt::format("\"archive\" is {}; expected {}", config::not_built, relay_expected));
    } else if (*text == "discard") {
        into.relay = relay_kind::discard;
    } else if (*text == "hold") {
        into.relay = relay_kind::hold;
    } else if (const auto host = config::parse_host_and_port(*text)) {
        into.host = *host;
    } else {
        reader_.add_fault(at,
                          fmt::format("expected {}, found {}", relay_expected, config::shown(at)));
    }
}

void snapshot_builder::index_route(const value& at) {
    const auto index = static_cast<std::uint32_t>(built_->routes_.size() - 1);
    const std::string& match = built_->routes_.back().match;
    if (match.empty()) {
        return; // Its fault is said already.
    }
    built_->destinations_.try_emplace(built_->routes_.back().destination,
                                      built_->routes_.back().relay);
    const bool first = built_->all_routes_.add(match, index);
    if (built_->routes_.back().relay != relay_kind::hold) {
        (void)built_->routes_past_hold_.add(match, index);
    }
    if (!first) {
        reader_.add_fault(at,
                          fmt::format("\"{}\" is matched by an earlier route; expected each "
                                      "match once",
                                      match));
    } else if (built_->all_routes_.catch_all < index) {
        reader_.add_fault(at, "is never reached; expected before the route that matches \"*\"");
    }
}

void snapshot_builder::parse_bans(const value& at) {
    if (!reader_.object(at, keys::bans)) {
        return;
    }
    constexpr seconds day(86'400);
    ban_settings& bans = built_->bans_;
    reader_.set(at, "max_retry", bans.max_retry, 1, 100);
    reader_.set_duration(at, "find_time", bans.find_time, seconds(1), 30 * day);
    reader_.set_duration(at, "ban_time", bans.ban_time, seconds(1), 3650 * day);
    parse_flag(at, "ban_time_increment", bans.ban_time_increment);
    if (const value* max = at.find("ban_time_max")) {
        bans.ban_time_max =
            reader_.duration(*max, seconds(1), 3650 * day).value_or(bans.ban_time_max);
        if (bans.ban_time_max < bans.ban_time) {
            reader_.add_fault(*max, "is shorter than ban_time; expected at least as long");
        }
    }
    bans.ban_time_max = std::max(bans.ban_time_max, bans.ban_time);
    if (const value* ignore = at.find("ignore")) {
        bans.ignore.clear();
        if (reader_.array(*ignore, ignore_max)) {
            parse_networks(*ignore, bans.ignore);
        }
    }
    if (const value* log = at.find("log")) {
        const auto text = reader_.string(*log, "the name of a file");
        if (text && (has_control(*text) || text->size() > log_bytes_max || text->ends_with('/'))) {
            reader_.add_fault(*log,
                              fmt::format("expected the name of a file, at most {} bytes without "
                                          "control characters",
                                          log_bytes_max));
        } else if (text) {
            bans.log = *text;
        }
    }
}

} // namespace ebbgate::policy
