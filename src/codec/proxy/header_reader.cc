#include "codec/proxy/header_reader.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace ebbgate::proxy {
namespace {

constexpr byte_view v1_signature = "PROXY ";
constexpr byte_view v2_signature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t v2_start_bytes = 16;
constexpr std::size_t v2_v4_bytes = 12;
constexpr std::size_t v2_v6_bytes = 36;
static_assert(v2_start_bytes + v2_v6_bytes <= v1_bytes_max, "Both are kept in one buffer");

// The next word, and the one blank behind it.
byte_view take_word(byte_view& line) noexcept {
    const std::size_t blank = line.find(' ');
    const byte_view word = line.substr(0, blank);
    line.remove_prefix(blank == byte_view::npos ? line.size() : blank + 1);
    return word;
}

// Decimal without leading zeros.
std::optional<std::uint16_t> parse_port(byte_view text) noexcept {
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc{} || stop != end || (text.size() > 1 && text.front() == '0')) {
        return std::nullopt;
    }
    return port;
}

std::optional<config::ip_address> parse_address(byte_view text, bool six) noexcept {
    if ((text.find(':') != byte_view::npos) != six) {
        return std::nullopt;
    }
    return config::parse_ip_address(text);
}

std::uint16_t number_at(byte_view bytes, std::size_t at) noexcept {
    return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                                      static_cast<unsigned char>(bytes[at + 1]));
}

config::ip_address v4_at(byte_view bytes, std::size_t at) noexcept {
    std::uint8_t v4[4];
    std::memcpy(v4, bytes.data() + at, sizeof v4);
    return config::ip_address_from_v4(v4);
}

config::ip_address v6_at(byte_view bytes, std::size_t at) noexcept {
    config::ip_address address;
    std::memcpy(address.bytes.data(), bytes.data() + at, address.bytes.size());
    return address;
}

} // namespace

header_step header_reader::feed(byte_view chunk) noexcept {
    header_step step;
    for (const char byte : chunk) {
        ++step.consumed_bytes;
        switch (take_byte(byte)) {
        case outcome::need_more:
            break;
        case outcome::complete:
            step.header = header_;
            return step;
        case outcome::failed:
            step.fault = fault_;
            return step;
        }
    }
    return step;
}

header_reader::outcome header_reader::take_byte(char byte) noexcept {
    const bool v2 = (kept_bytes_ == 0 ? byte : kept_[0]) == v2_signature[0];
    const byte_view signature = v2 ? v2_signature : v1_signature;
    if (kept_bytes_ < signature.size() && byte != signature[kept_bytes_]) {
        return fail(header_fault::not_proxy);
    }
    if (v2 && kept_bytes_ >= v2_start_bytes) {
        if (kept_bytes_ < v2_start_bytes + v2_address_bytes_) {
            kept_[kept_bytes_++] = byte;
        }
        return --v2_rest_bytes_ == 0 ? finish_v2() : outcome::need_more;
    }
    kept_[kept_bytes_++] = byte;
    if (v2) {
        return kept_bytes_ == v2_start_bytes ? take_v2_start() : outcome::need_more;
    }
    if (byte == '\n') {
        return finish_v1();
    }
    return kept_bytes_ == v1_bytes_max ? fail(header_fault::too_long) : outcome::need_more;
}

header_reader::outcome header_reader::take_v2_start() noexcept {
    const auto version_and_command = static_cast<unsigned char>(kept_[12]);
    const auto family = static_cast<unsigned char>(kept_[13]);
    v2_rest_bytes_ = number_at(kept(), 14);
    if (v2_rest_bytes_ > v2_bytes_max - v2_start_bytes) {
        return fail(header_fault::too_long);
    }
    switch (version_and_command) {
    case 0x20:
        header_.kind = header_kind::local; // Whatever the family says.
        break;
    case 0x21:
        switch (family) {
        case 0x11: // TCP over IPv4
            v2_address_bytes_ = v2_v4_bytes;
            break;
        case 0x21: // TCP over IPv6
            v2_address_bytes_ = v2_v6_bytes;
            break;
        case 0x00: // Unspecified; then UDP over IPv4 and IPv6, Unix stream and datagram.
        case 0x12:
        case 0x22:
        case 0x31:
        case 0x32:
            break;
        default:
            return fail(header_fault::bad_address);
        }
        break;
    default:
        return fail(header_fault::bad_version);
    }
    if (v2_rest_bytes_ < v2_address_bytes_) {
        return fail(header_fault::too_short);
    }
    return v2_rest_bytes_ == 0 ? finish_v2() : outcome::need_more;
}

header_reader::outcome header_reader::finish_v2() noexcept {
    const byte_view addresses = kept().substr(v2_start_bytes);
    if (v2_address_bytes_ == v2_v4_bytes) {
        header_.kind = header_kind::proxied;
        header_.source = {v4_at(addresses, 0), number_at(addresses, 8)};
        header_.destination = {v4_at(addresses, 4), number_at(addresses, 10)};
    } else if (v2_address_bytes_ == v2_v6_bytes) {
        header_.kind = header_kind::proxied;
        header_.source = {v6_at(addresses, 0), number_at(addresses, 32)};
        header_.destination = {v6_at(addresses, 16), number_at(addresses, 34)};
    }
    return outcome::complete;
}

header_reader::outcome header_reader::finish_v1() noexcept {
    byte_view line = kept().substr(v1_signature.size());
    if (!line.ends_with("\r\n")) {
        return fail(header_fault::not_proxy);
    }
    line.remove_suffix(2);
    // NUL above all: the parsers of addresses take C strings.
    if (std::any_of(line.begin(), line.end(), [](char c) { return c < ' ' || c > '~'; })) {
        return fail(header_fault::bad_address);
    }
    const byte_view protocol = take_word(line);
    if (protocol == "UNKNOWN") {
        return outcome::complete; // Section 2.1: what follows is to be ignored.
    }
    if (protocol != "TCP4" && protocol != "TCP6") {
        return fail(header_fault::bad_address);
    }
    const bool six = protocol == "TCP6";
    const auto source = parse_address(take_word(line), six);
    const auto destination = parse_address(take_word(line), six);
    const auto source_port = parse_port(take_word(line));
    const auto destination_port = parse_port(line);
    if (!source || !destination || !source_port || !destination_port) {
        return fail(header_fault::bad_address);
    }
    header_ = {header_kind::proxied, {*source, *source_port}, {*destination, *destination_port}};
    return outcome::complete;
}

header_reader::outcome header_reader::fail(header_fault fault) noexcept {
    fault_ = fault;
    return outcome::failed;
}

} // namespace ebbgate::proxy
