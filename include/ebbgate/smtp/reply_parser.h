// Reads the replies of a server, for the client side.
//
// Input   Bytes in chunks of any size.
// Output  One reply at a time: code, enhanced code when there is one, text lines joined by LF.
// Fails   On anything that is not a reply; the connection must then be closed, because what follows
//         can no longer be matched to what was asked.
// Bounds  line_bytes_max a line, lines_max lines, text_bytes_max of text kept (the rest is cut).
// Specs   RFC 5321 4.2 (replies), RFC 2034 and RFC 3463 (enhanced codes).

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

namespace ebbgate::smtp {

enum class reply_fault : std::uint8_t {
    bad_code,        // Not three digits from 200 to 599, or not followed by space, "-" or the end.
    codes_differ,    // A multi-line reply that changes its code.
    bad_line_end,    // A bare LF or CR.
    line_too_long,
    too_many_lines,
};

struct enhanced_status {
    std::uint8_t klass = 0; // 2, 4 or 5.
    std::uint16_t subject = 0;
    std::uint16_t detail = 0;

    auto operator<=>(const enhanced_status&) const = default;
};

struct received_reply {
    int code = 0;
    std::optional<enhanced_status> enhanced; // Of the first line, when it fits the code's class.
    std::string text;                        // Without codes; untrusted, escape before use.
    bool text_cut = false;

    [[nodiscard]] bool is_positive() const noexcept { return code / 100 == 2; }
    [[nodiscard]] bool is_transient() const noexcept { return code / 100 == 4; }
    [[nodiscard]] bool is_permanent() const noexcept { return code / 100 == 5; }
};

class reply_parser {
public:
    // 2048: four times RFC 5321 4.5.3.1.5, as servers in the wild exceed it.
    static constexpr std::size_t line_bytes_max = 2048;
    static constexpr std::size_t lines_max = 128;
    static constexpr std::size_t text_bytes_max = 8192;

    struct outcome {
        std::optional<received_reply> reply; // Nothing: more bytes are needed.
        std::size_t consumed_bytes = 0;
    };

    // Call again with the rest of the chunk until nothing of it is left.
    [[nodiscard]] std::expected<outcome, reply_fault> feed(byte_view chunk);

    [[nodiscard]] bool in_reply() const noexcept { return lines_ > 0 || !line_.empty(); }

private:
    // True: the reply is complete.
    [[nodiscard]] std::expected<bool, reply_fault> take_line(byte_view line);

    std::string line_;
    received_reply reply_;
    std::size_t lines_ = 0;
};

// What a server's EHLO reply says it can do.
struct server_extensions {
    bool pipelining = false;
    bool eight_bit_mime = false;
    bool smtputf8 = false;
    bool starttls = false;
    bool dsn = false;
    bool chunking = false;
    bool enhanced_status_codes = false;
    bool size = false;
    std::uint64_t size_bytes_max = 0; // 0: no fixed limit (RFC 1870).
};

[[nodiscard]] server_extensions parse_ehlo(const received_reply& reply);

// "5.7.1" at the beginning of a text, followed by a blank or the end.
[[nodiscard]] std::optional<enhanced_status> parse_enhanced_status(byte_view text) noexcept;

} // namespace ebbgate::smtp
