#include "config/dns_reader.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string_view>

namespace ebbgate::config {

namespace {

using json::value;

constexpr known_key dns_keys[] = {
    {"resolver"}, {"trust_anchor"}, {"timeout"}, {"private_addresses"}, {"address_family"}};
constexpr named_value private_uses[] = {{"refuse", 0}, {"allow", 1}};
constexpr named_value families[] = {
    {"any", static_cast<int>(address_family::any)},
    {"ipv4", static_cast<int>(address_family::ipv4)},
    {"ipv6", static_cast<int>(address_family::ipv6)},
    {"prefer_ipv4", static_cast<int>(address_family::prefer_ipv4)},
};
constexpr std::uint16_t dns_port = 53;

std::optional<endpoint> parse_server(std::string_view text) {
    if (const auto address = parse_ip_address(text)) {
        return endpoint{*address, dns_port};
    }
    const auto server = parse_endpoint(text);
    return server && server->port != 0 ? server : std::nullopt;
}

void read_server(reader& reader, const value& at, std::string_view expected, dns_settings& into) {
    const auto text = reader.string(at, expected);
    const auto server = text ? parse_server(*text) : std::nullopt;
    if (server) {
        into.servers.push_back(*server);
    } else if (text) {
        reader.add_fault(at, fmt::format("expected {}, found {}", expected, shown(at)));
    }
}

void read_resolver(reader& reader, const value& at, dns_settings& into) {
    if (at.is_string() && at.text() == "system") {
        return;
    }
    if (!at.is(json::kind::array)) {
        read_server(reader, at, "\"system\", \"IP\", \"IP:PORT\" or an array of those", into);
        return;
    }
    if (!reader.array(at, dns_servers_max)) {
        return;
    }
    if (at.children().empty()) {
        reader.add_fault(at, "expected at least one server");
    }
    for (const value& item : at.children()) {
        read_server(reader, item, "\"IP\", \"IP:PORT\" or \"[IPV6]:PORT\"", into);
    }
}

} // namespace

void read_dns(reader& reader, const value& at, const std::string& folder, dns_settings& into) {
    if (!reader.object(at, dns_keys)) {
        return;
    }
    if (const value* resolver = at.find("resolver")) {
        read_resolver(reader, *resolver, into);
    }
    if (const value* anchor = at.find("trust_anchor")) {
        const auto path = reader.string(*anchor, "a file of DS or DNSKEY records, or \"none\"");
        into.validate = path != "none";
        if (path && into.validate) {
            into.trust_anchor = resolve_path(*path, folder);
        }
    }
    reader.set_duration(
        at, "timeout", into.timeout, std::chrono::seconds(1), std::chrono::seconds(300));
    if (const value* use = at.find("private_addresses")) {
        into.allow_private = reader.choice(*use, private_uses).value_or(0) == 1;
    }
    if (const value* family = at.find("address_family")) {
        into.family = static_cast<address_family>(reader.choice(*family, families).value_or(0));
    }
}

} // namespace ebbgate::config
