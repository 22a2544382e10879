// Reads the replies of a server we deliver to.
//
// Input   Chunks of any size.
// Output  One reply at a time; bytes after it are left for the next call.
// Fails   On anything that is not a reply. The connection is then of no use any more.
// Bounds  reply_read_line_bytes_max, reply_lines_max, reply_text_bytes_max. Control characters in
//         texts become '?', so that no reply can break a log line or a header.
// Specs   RFC 5321 4.2 and 4.5.3.1.5 (longer lines occur), RFC 2034, RFC 9422 (LIMITS).

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/smtp/reply.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::smtp {

inline constexpr std::size_t reply_read_line_bytes_max = 2048;
inline constexpr std::size_t reply_lines_max = 100;
inline constexpr std::size_t reply_text_bytes_max = 32 * kib;

enum class reply_fault : std::uint8_t {
    bad_code,
    bad_separator,
    code_changed, // Between the lines of one reply.
    bare_cr,
    bare_lf,
    line_too_long,
    too_many_lines,
    text_too_long,
};

[[nodiscard]] byte_view to_text(reply_fault fault) noexcept;

struct reply_step {
    std::size_t consumed_bytes = 0;
    bool complete = false;
    std::optional<reply_fault> fault;
};

class reply_parser {
public:
    // After `complete`, take() the reply before the next call. After a fault, nothing more.
    [[nodiscard]] reply_step feed(byte_view chunk);
    [[nodiscard]] reply take() noexcept;

    // Nothing of a reply has been read.
    [[nodiscard]] bool idle() const noexcept { return partial_.empty() && line_count_ == 0; }

private:
    // `line` without CRLF. `last` says whether it was the last of its reply.
    [[nodiscard]] std::optional<reply_fault> add_line(byte_view line, bool& last);

    std::string partial_;
    reply reply_;
    std::uint16_t line_count_ = 0;
};

// What a server offers in its EHLO reply.
struct ehlo_response {
    std::string name; // First word of the first line.
    bool pipelining = false;
    bool eight_bit_mime = false;
    bool smtputf8 = false;
    bool starttls = false;
    bool dsn = false;
    bool chunking = false;
    bool enhanced_status_codes = false;
    bool auth_plain = false;
    bool auth_login = false;
    std::uint64_t message_bytes_max = 0; // 0: no limit said.
    std::uint32_t recipients_max = 0;    // RFC 9422 RCPTMAX; 0: not said.
    std::uint32_t messages_max = 0;      // RFC 9422 MAILMAX; 0: not said.
};

[[nodiscard]] ehlo_response parse_ehlo_response(const reply& reply);

} // namespace ebbgate::smtp
