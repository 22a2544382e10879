// IP addresses, networks and endpoints as they are written in configuration files.
//
// Owner   Values. An IPv4 address is kept in its IPv4-mapped IPv6 form, so that one client has one
//         form whichever socket it came by.
// Fails   With an empty optional; the reader words the fault.
// Specs   RFC 4291 section 2.2, RFC 4632.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::config {

struct ip_address {
    std::array<std::uint8_t, 16> bytes{};

    [[nodiscard]] bool is_v4() const noexcept;
    [[nodiscard]] bool is_loopback() const noexcept; // 127.0.0.0/8, ::1
    auto operator<=>(const ip_address&) const = default;
};

[[nodiscard]] std::optional<ip_address> parse_ip_address(std::string_view text) noexcept;
[[nodiscard]] ip_address ip_address_from_v4(const std::uint8_t (&bytes)[4]) noexcept;
[[nodiscard]] std::string to_text(const ip_address& address);

// Bits beyond the prefix are zero. For IPv4 the prefix counts from bit 96 on.
struct ip_network {
    ip_address address;
    std::uint8_t prefix_bits = 128; // 0 to 128, in the IPv6 form.

    auto operator<=>(const ip_network&) const = default;

    [[nodiscard]] bool holds(const ip_address& candidate) const noexcept;
};

struct ip_address_hash {
    std::size_t operator()(const ip_address& address) const noexcept;
};

// What counts as one client: an IPv4 address, the /64 of an IPv6 address. In the IPv6 form.
[[nodiscard]] std::uint8_t client_prefix_bits(const ip_address& address) noexcept;
[[nodiscard]] ip_address client_key(const ip_address& address) noexcept;

// "192.0.2.0/24", "2001:db8::/32" or a single address. Host bits that are set are refused.
[[nodiscard]] std::optional<ip_network> parse_ip_network(std::string_view text) noexcept;
[[nodiscard]] ip_address masked(const ip_address& address, std::uint8_t prefix_bits) noexcept;
[[nodiscard]] std::string to_text(const ip_network& network);

struct endpoint {
    ip_address address;
    std::uint16_t port = 0;

    auto operator<=>(const endpoint&) const = default;
};

// "192.0.2.1:25" or "[2001:db8::1]:25".
[[nodiscard]] std::optional<endpoint> parse_endpoint(std::string_view text) noexcept;
[[nodiscard]] std::string to_text(const endpoint& endpoint);

// "host:25", "192.0.2.1:25", "[2001:db8::1]:25"; the host without brackets, in lower case.
struct host_and_port {
    std::string host;
    std::uint16_t port = 0;
    std::optional<ip_address> literal; // When the host is an address and needs no DNS.
};

[[nodiscard]] std::optional<host_and_port> parse_host_and_port(std::string_view text);

// Letters, digits, hyphens and dots in labels of 1 to 63 characters, 255 in all.
[[nodiscard]] bool is_host_name(std::string_view text) noexcept;
[[nodiscard]] std::string lower_ascii(std::string_view text);

} // namespace ebbgate::config
