#include "codec/dns/rdata.h"

#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ebbgate::dns {

namespace {

constexpr std::size_t label_bytes_max = 63; // Above it the length byte is a pointer.
constexpr std::size_t v4_bytes = 4;
constexpr std::size_t v6_bytes = 16;

std::uint8_t byte_at(byte_view bytes, std::size_t at) noexcept {
    return static_cast<std::uint8_t>(bytes[at]);
}

bool stands_plain(char c) noexcept {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_';
}

void add_label(byte_view label, std::string& into) {
    for (const char c : label) {
        if (stands_plain(c)) {
            into += lower(c);
        } else {
            into += fmt::format("\\{:03}", static_cast<std::uint8_t>(c));
        }
    }
}

} // namespace

std::optional<std::string> read_name(byte_view rdata) {
    if (rdata.size() > name_wire_bytes_max) {
        return std::nullopt;
    }
    std::string name;
    std::size_t at = 0;
    while (at < rdata.size()) {
        const std::size_t length = byte_at(rdata, at);
        ++at;
        if (length == 0) {
            return at == rdata.size() ? std::optional(std::move(name)) : std::nullopt;
        }
        if (length > label_bytes_max || length > rdata.size() - at) {
            return std::nullopt;
        }
        if (!name.empty()) {
            name += '.';
        }
        add_label(rdata.substr(at, length), name);
        at += length;
    }
    return std::nullopt; // No root label.
}

std::optional<mail_exchanger> read_mx(byte_view rdata) {
    constexpr std::size_t preference_bytes = 2;
    if (rdata.size() <= preference_bytes) {
        return std::nullopt;
    }
    auto host = read_name(rdata.substr(preference_bytes));
    if (!host) {
        return std::nullopt;
    }
    const unsigned preference = byte_at(rdata, 0) * 256U + byte_at(rdata, 1);
    return mail_exchanger{static_cast<std::uint16_t>(preference), std::move(*host)};
}

std::optional<config::ip_address> read_a(byte_view rdata) {
    if (rdata.size() != v4_bytes) {
        return std::nullopt;
    }
    const std::uint8_t bytes[v4_bytes] = {
        byte_at(rdata, 0), byte_at(rdata, 1), byte_at(rdata, 2), byte_at(rdata, 3)};
    return config::ip_address_from_v4(bytes);
}

std::optional<config::ip_address> read_aaaa(byte_view rdata) {
    if (rdata.size() != v6_bytes) {
        return std::nullopt;
    }
    config::ip_address address;
    std::ranges::transform(
        rdata, address.bytes.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
    return address;
}

std::optional<std::string> read_txt(byte_view rdata) {
    if (rdata.empty()) {
        return std::nullopt; // One string at least, and be it an empty one.
    }
    std::string text;
    while (!rdata.empty()) {
        const std::size_t length = byte_at(rdata, 0);
        rdata.remove_prefix(1);
        if (length > rdata.size()) {
            return std::nullopt;
        }
        text += rdata.substr(0, length);
        rdata.remove_prefix(length);
    }
    return text;
}

std::optional<tlsa_record> read_tlsa(byte_view rdata) {
    constexpr std::size_t numbers_bytes = 3;
    if (rdata.size() <= numbers_bytes) {
        return std::nullopt; // No data to compare with.
    }
    return tlsa_record{byte_at(rdata, 0),
                       byte_at(rdata, 1),
                       byte_at(rdata, 2),
                       std::string(rdata.substr(numbers_bytes))};
}

std::string reverse_name(const config::ip_address& address) {
    constexpr std::size_t v4_offset = v6_bytes - v4_bytes;
    std::string name;
    if (address.is_v4()) {
        for (std::size_t i = v6_bytes; i > v4_offset; --i) {
            name += fmt::format("{}.", address.bytes[i - 1]);
        }
        return name + "in-addr.arpa";
    }
    for (std::size_t i = v6_bytes; i > 0; --i) {
        name += fmt::format("{:x}.{:x}.", address.bytes[i - 1] & 0xfU, address.bytes[i - 1] >> 4U);
    }
    return name + "ip6.arpa";
}

std::string tlsa_name(std::uint16_t port, std::string_view host) {
    return fmt::format("_{}._tcp.{}", port, host);
}

} // namespace ebbgate::dns
