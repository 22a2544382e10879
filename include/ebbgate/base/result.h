// What an operation returns: a value, or a failure split by who may read it.
//
// Specs   RFC 3463 (enhanced status codes at the start of a public text).

#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace ebbgate {

enum class failure_kind : std::uint8_t {
    bad_input,   // What we were given is wrong; trying again changes nothing.
    no_space,    // Disk, memory or a queue is full; later may work.
    io,          // The system refused: errno text is in the detail.
    unavailable, // Not now: closing, overloaded, suspended.
    corrupt,     // Stored data does not match its checksum or format.
};

// Text a peer may see. Only a string literal converts to it, so no address,
// path or exception text can leak into a reply.
class public_text {
public:
    template <std::size_t length>
    consteval public_text(const char (&literal)[length]) : text_(literal, length - 1) {}

    [[nodiscard]] constexpr std::string_view view() const { return text_; }

private:
    std::string_view text_;
};

struct failure {
    failure_kind kind = failure_kind::io;
    public_text reply = "4.3.0 Internal error"; // For the peer.
    std::string detail;                         // For the log; escaped when written.
};

template <typename T>
using result = std::expected<T, failure>;

[[nodiscard]] inline std::unexpected<failure> fail(failure_kind kind, std::string detail) {
    return std::unexpected(failure{kind, "4.3.0 Internal error", std::move(detail)});
}

} // namespace ebbgate
