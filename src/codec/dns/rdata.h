// Record data of DNS answers, read from wire form: what a mail exchanger, an address, a text is.
//
// Input   The data of one record, as libunbound gives it: names whole, never compressed.
// Output  Values; names in lower case, without the final dot, "" for the root.
// Fails   With an empty optional on anything malformed: bytes that lack, bytes too many, a pointer,
//         a name above 255 bytes. Which names may be hosts is not judged here.
// Bounds  A record has 65,535 bytes at most; what is read is never larger.
// Specs   RFC 1035 section 3.3, RFC 3596, RFC 6698 section 2.1.

#pragma once

#include "ebbgate/base/bytes.h"

#include "config/address.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::dns {

inline constexpr std::size_t name_wire_bytes_max = 255;

// The whole data is one name: PTR, CNAME, NS. A byte that no host name has is written as \DDD, and
// so is a dot within a label: such a name equals none that is read otherwise.
[[nodiscard]] std::optional<std::string> read_name(byte_view rdata);

struct mail_exchanger {
    std::uint16_t preference = 0;
    std::string host; // "": the root, which says that there is no mail (RFC 7505).

    auto operator<=>(const mail_exchanger&) const = default;
};

[[nodiscard]] std::optional<mail_exchanger> read_mx(byte_view rdata);

[[nodiscard]] std::optional<config::ip_address> read_a(byte_view rdata);
[[nodiscard]] std::optional<config::ip_address> read_aaaa(byte_view rdata);

// The character strings of one record, joined without anything between (RFC 7208 section 3.3).
[[nodiscard]] std::optional<std::string> read_txt(byte_view rdata);

// The numbers as they are: which are of use is judged by who verifies a certificate.
struct tlsa_record {
    std::uint8_t usage = 0;
    std::uint8_t selector = 0;
    std::uint8_t matching = 0;
    std::string data;

    bool operator==(const tlsa_record&) const = default;
};

[[nodiscard]] std::optional<tlsa_record> read_tlsa(byte_view rdata);

// Where the names of an address are: "1.2.0.192.in-addr.arpa", or 32 digits under ip6.arpa.
[[nodiscard]] std::string reverse_name(const config::ip_address& address);

// "_25._tcp.mx.example".
[[nodiscard]] std::string tlsa_name(std::uint16_t port, std::string_view host);

} // namespace ebbgate::dns
