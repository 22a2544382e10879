// An SMTP reply: three-digit code, enhanced status, text; and the form it has on the wire.
//
// Output  Wire lines "250 2.1.0 text" CRLF; a text with several lines becomes a multi-line reply.
// Owner   Values. A `fixed_reply` is a constant that already is its own wire form.
// Bounds  reply_line_bytes_max; a longer line is cut. Control characters become '?'.
// Specs   RFC 5321 sections 4.2 and 4.5.3.1.5, RFC 2034, RFC 3463.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace ebbgate::smtp {

// RFC 5321 4.5.3.1.5: 512 octets with the code and the CRLF.
inline constexpr std::size_t reply_line_bytes_max = 512;

// RFC 3463 class.subject.detail. The class 0 means that there is none.
struct enhanced_status {
    std::uint8_t status_class = 0;
    std::uint16_t subject = 0;
    std::uint16_t detail = 0;

    [[nodiscard]] constexpr bool present() const noexcept { return status_class != 0; }

    friend constexpr bool operator==(const enhanced_status&, const enhanced_status&) = default;
};

// Reads "5.1.1" at the start of `text`; sets `length` to what it covers, without the blank after
// it.
[[nodiscard]] std::optional<enhanced_status> parse_enhanced_status(byte_view text,
                                                                   std::size_t& length) noexcept;
[[nodiscard]] std::string to_text(const enhanced_status& status);

// A one-line reply known when the program is built. Its form is checked by the compiler.
class fixed_reply {
public:
    template <std::size_t length>
    consteval fixed_reply(
        const char (&literal)[length]) // NOLINT(google-explicit-constructor): only literals fit.
        : wire_(literal, length - 1) {
        if (!well_formed(wire_)) {
            throw "a fixed reply is: code, blank, text, CRLF";
        }
    }

    [[nodiscard]] constexpr byte_view wire() const noexcept { return wire_; }

    [[nodiscard]] constexpr int code() const noexcept {
        return (wire_[0] - '0') * 100 + (wire_[1] - '0') * 10 + (wire_[2] - '0');
    }

    // "2.1.0 Ok": what follows the code, without CRLF.
    [[nodiscard]] constexpr byte_view rest() const noexcept {
        return wire_.substr(4, wire_.size() - 6);
    }

private:
    static consteval bool well_formed(byte_view wire) {
        if (wire.size() < 6 || wire.size() > reply_line_bytes_max || wire[0] < '2' ||
            wire[0] > '5' || wire[3] != ' ' || wire.substr(wire.size() - 2) != "\r\n") {
            return false;
        }
        for (const char c : wire.substr(0, wire.size() - 2)) {
            if (c < ' ' || c > '~') {
                return false;
            }
        }
        return wire[1] >= '0' && wire[1] <= '9' && wire[2] >= '0' && wire[2] <= '9';
    }

    byte_view wire_;
};

struct reply {
    int code = 0;
    enhanced_status status;
    std::string text; // Lines are separated by '\n'.

    reply() = default;

    reply(int reply_code, enhanced_status reply_status, std::string reply_text)
        : code(reply_code), status(reply_status), text(std::move(reply_text)) {}

    reply(const fixed_reply& fixed); // NOLINT(google-explicit-constructor): a constant is a reply.

    [[nodiscard]] bool positive() const noexcept { return code >= 200 && code < 400; }

    [[nodiscard]] bool transient_failure() const noexcept { return code >= 400 && code < 500; }

    [[nodiscard]] bool permanent_failure() const noexcept { return code >= 500 && code < 600; }

    // 250 2.0.0 Ok: queued as ID
    [[nodiscard]] static reply queued(byte_view id);
    // A `failure::reply` ("4.3.1 Mail system full") with the code that its class calls for.
    [[nodiscard]] static reply from_public_text(byte_view text);
};

void append_wire(std::string& out, const reply& reply);
[[nodiscard]] std::string to_wire(const reply& reply);
// "550 5.1.1 No such user; second line": for logs and outcome records.
[[nodiscard]] std::string to_line(const reply& reply);

} // namespace ebbgate::smtp
