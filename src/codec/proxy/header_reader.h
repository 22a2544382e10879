// Reads the PROXY protocol's header, versions 1 and 2, from the front of a connection.
//
// Input   What the proxy sent, in chunks of any size; never a byte behind the header.
// Output  The client's address and ours as the proxy saw them. Whether this proxy may be believed
//         is asked before, by its address.
// Fails   At the first byte that is not the protocol's; the connection is closed without a reply.
// Bounds  v1_bytes_max; v2_bytes_max, of which no more than the addresses is kept.
// Specs   haproxy's proxy-protocol.txt, sections 2.1 and 2.2.

#pragma once

#include "ebbgate/base/bytes.h"

#include "config/address.h"

#include <array>
#include <cstdint>
#include <optional>

namespace ebbgate::proxy {

inline constexpr std::size_t v1_bytes_max = 107; // With CRLF.
// With TLVs, which are skipped. Proxies send at most some hundred bytes: names, a unique id.
inline constexpr std::size_t v2_bytes_max = 2048;

enum class header_kind : std::uint8_t {
    proxied, // `source` and `destination` are those of the client's TCP connection.
    local,   // The proxy speaks for itself: a health check. The connection's own addresses hold.
    unknown, // Not TCP over IP, so there is no address: UNKNOWN, AF_UNSPEC, AF_UNIX, datagrams.
};

struct header {
    header_kind kind = header_kind::unknown;
    config::endpoint source;
    config::endpoint destination;

    bool operator==(const header&) const = default;
};

enum class header_fault : std::uint8_t { not_proxy, bad_version, bad_address, too_short, too_long };

struct header_step {
    std::size_t consumed_bytes = 0; // Of the chunk. With a header, the rest is the client's.
    std::optional<proxy::header> header;
    std::optional<header_fault> fault;
};

class header_reader {
public:
    // Not to be called again after a header or a fault.
    [[nodiscard]] header_step feed(byte_view chunk) noexcept;

private:
    enum class outcome : std::uint8_t { need_more, complete, failed };

    [[nodiscard]] outcome take_byte(char byte) noexcept;
    [[nodiscard]] outcome take_v2_start() noexcept;
    [[nodiscard]] outcome finish_v1() noexcept;
    [[nodiscard]] outcome finish_v2() noexcept;
    [[nodiscard]] outcome fail(header_fault fault) noexcept;

    [[nodiscard]] byte_view kept() const noexcept { return {kept_.data(), kept_bytes_}; }

    std::array<char, v1_bytes_max> kept_{};
    std::size_t kept_bytes_ = 0;
    std::size_t v2_address_bytes_ = 0;
    std::size_t v2_rest_bytes_ = 0; // Still to come.
    header header_;
    header_fault fault_ = header_fault::not_proxy;
};

} // namespace ebbgate::proxy
