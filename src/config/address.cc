#include "config/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace ebbgate::config {

namespace {

constexpr std::size_t v4_offset = 12;
constexpr std::size_t host_name_max = 255;
constexpr std::size_t label_max = 63;

std::optional<std::uint16_t> parse_port(std::string_view text) noexcept {
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc{} || stop != end) {
        return std::nullopt;
    }
    return port;
}

struct split_port {
    std::string_view host;
    bool bracketed = false;
    std::uint16_t port = 0;
};

std::optional<split_port> split(std::string_view text) noexcept {
    split_port parts;
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return std::nullopt;
    }
    parts.host = text.substr(0, colon);
    if (parts.host.starts_with('[') && parts.host.ends_with(']') && parts.host.size() > 2) {
        parts.host = parts.host.substr(1, parts.host.size() - 2);
        parts.bracketed = true;
    } else if (parts.host.find(':') != std::string_view::npos) {
        return std::nullopt;
    }
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) {
        return std::nullopt;
    }
    parts.port = *port;
    return parts;
}

} // namespace

bool ip_address::is_v4() const noexcept {
    constexpr std::uint8_t mapped[v4_offset] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(bytes.data(), mapped, v4_offset) == 0;
}

bool ip_address::is_loopback() const noexcept {
    constexpr std::uint8_t v4_loopback = 127;
    return is_v4() ? bytes[12] == v4_loopback
                   : std::all_of(bytes.begin(), bytes.end() - 1, [](auto b) { return b == 0; }) &&
                         bytes[15] == 1;
}

ip_address ip_address_from_v4(const std::uint8_t (&bytes)[4]) noexcept {
    ip_address address;
    address.bytes[10] = 0xff;
    address.bytes[11] = 0xff;
    std::memcpy(address.bytes.data() + v4_offset, bytes, sizeof bytes);
    return address;
}

std::optional<ip_address> parse_ip_address(std::string_view text) noexcept {
    char copy[INET6_ADDRSTRLEN];
    if (text.empty() || text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    std::uint8_t v4[4];
    if (inet_pton(AF_INET, copy, v4) == 1) {
        return ip_address_from_v4(v4);
    }
    ip_address address;
    if (inet_pton(AF_INET6, copy, address.bytes.data()) == 1) {
        return address;
    }
    return std::nullopt;
}

std::string to_text(const ip_address& address) {
    char text[INET6_ADDRSTRLEN];
    const char* made = address.is_v4()
                           ? inet_ntop(AF_INET, address.bytes.data() + v4_offset, text, sizeof text)
                           : inet_ntop(AF_INET6, address.bytes.data(), text, sizeof text);
    return made == nullptr ? std::string() : std::string(made);
}

ip_address masked(const ip_address& address, std::uint8_t prefix_bits) noexcept {
    ip_address result = address;
    for (std::size_t i = 0; i < result.bytes.size(); ++i) {
        const int kept = std::clamp(prefix_bits - static_cast<int>(8 * i), 0, 8);
        result.bytes[i] = static_cast<std::uint8_t>(result.bytes[i] & (0xff00U >> kept));
    }
    return result;
}

std::optional<ip_network> parse_ip_network(std::string_view text) noexcept {
    const std::size_t slash = text.find('/');
    const auto address = parse_ip_address(text.substr(0, slash));
    if (!address) {
        return std::nullopt;
    }
    const bool v4 = text.substr(0, slash).find(':') == std::string_view::npos;
    ip_network network{*address, 128};
    if (slash != std::string_view::npos) {
        const auto bits = parse_port(text.substr(slash + 1));
        if (!bits || *bits > (v4 ? 32 : 128)) {
            return std::nullopt;
        }
        network.prefix_bits = static_cast<std::uint8_t>(*bits + (v4 ? 96 : 0));
    }
    if (masked(*address, network.prefix_bits) != *address) {
        return std::nullopt;
    }
    return network;
}

std::string to_text(const ip_network& network) {
    const bool v4 = network.address.is_v4() && network.prefix_bits >= 96;
    return to_text(network.address) + '/' + std::to_string(network.prefix_bits - (v4 ? 96 : 0));
}

std::optional<endpoint> parse_endpoint(std::string_view text) noexcept {
    const auto parts = split(text);
    if (!parts) {
        return std::nullopt;
    }
    const auto address = parse_ip_address(parts->host);
    const bool v6_text = parts->host.find(':') != std::string_view::npos;
    if (!address || parts->bracketed != v6_text) {
        return std::nullopt;
    }
    return endpoint{*address, parts->port};
}

std::string to_text(const endpoint& endpoint) {
    const std::string address = to_text(endpoint.address);
    const std::string port = std::to_string(endpoint.port);
    return endpoint.address.is_v4() ? address + ':' + port : '[' + address + "]:" + port;
}

std::optional<host_and_port> parse_host_and_port(std::string_view text) {
    const auto parts = split(text);
    if (!parts || parts->port == 0) {
        return std::nullopt;
    }
    host_and_port result{lower_ascii(parts->host), parts->port, parse_ip_address(parts->host)};
    const bool v6_text = parts->host.find(':') != std::string_view::npos;
    if (parts->bracketed != v6_text || (!result.literal && !is_host_name(parts->host))) {
        return std::nullopt;
    }
    return result;
}

bool is_host_name(std::string_view text) noexcept {
    if (text.empty() || text.size() > host_name_max) {
        return false;
    }
    std::size_t label_start = 0;
    bool last_is_number = true;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i == text.size() || text[i] == '.') {
            const std::size_t length = i - label_start;
            if (length == 0 || length > label_max || text[label_start] == '-' ||
                text[i - 1] == '-') {
                return false;
            }
            const std::string_view label = text.substr(label_start, length);
            last_is_number = std::all_of(
                label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
            label_start = i + 1;
            continue;
        }
        const char c = text[i];
        const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!allowed) {
            return false;
        }
    }
    // A number as the last label is a mistyped IPv4 address, never a name.
    return !last_is_number;
}

std::string lower_ascii(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') {
            c = static_cast<char>(c - 'A' + 'a');
        }
    }
    return lower;
}

bool ip_network::holds(const ip_address& candidate) const noexcept {
    return masked(candidate, prefix_bits) == address;
}

std::size_t ip_address_hash::operator()(const ip_address& address) const noexcept {
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()});
}

std::uint8_t client_prefix_bits(const ip_address& address) noexcept {
    // ::/64 has loopback and all of IPv4 in its mapped form: never one client.
    const bool no_prefix = std::all_of(address.bytes.begin(),
                                       address.bytes.begin() + 8,
                                       [](std::uint8_t byte) { return byte == 0; });
    return address.is_v4() || no_prefix ? 128 : 64;
}

ip_address client_key(const ip_address& address) noexcept {
    return masked(address, client_prefix_bits(address));
}

} // namespace ebbgate::config
