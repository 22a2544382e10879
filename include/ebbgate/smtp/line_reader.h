// Finds command lines in received chunks.
//
// Input   Chunks of any size.
// Output  Lines without CRLF: a view of the chunk when the whole line is in it, of a small buffer
//         otherwise. A line is valid until the next call.
// Fails   On a bare CR, a bare LF and a line over the limit, each reported when its line has ended,
//         so that one bad line gets one reply. `endless` is the end of the session.
// Bounds  command_line_bytes_max (sasl_line_bytes_max for AUTH); nothing of a longer line is kept.
// Specs   RFC 5321 2.3.8 and 4.5.3.1.4, RFC 4954 section 4.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <string>

namespace ebbgate::smtp {

// RFC 5321 has 512; SIZE, BODY, AUTH, SMTPUTF8 and the DSN parameters add up to 1,400. 500 5.5.2.
inline constexpr std::size_t command_line_bytes_max = 2048;
// RFC 4954 section 4: AUTH with an initial response, and the answers to 334. 500 5.5.6.
inline constexpr std::size_t sasl_line_bytes_max = 12288;
// A line that is still not over after this many bytes ends the session. 500 5.5.2, then close.
inline constexpr std::size_t line_discard_bytes_max = 64 * kib;

enum class line_kind : std::uint8_t { command, sasl };

enum class line_outcome : std::uint8_t {
    need_more,
    line,
    bare_cr,
    bare_lf,
    too_long,
    endless,
};

struct line_step {
    std::size_t consumed_bytes = 0;
    line_outcome outcome = line_outcome::need_more;
    byte_view line; // Of a bad line what is kept of it, to see what it was.
};

class line_reader {
public:
    // Reads one line at most.
    [[nodiscard]] line_step next(byte_view chunk, line_kind kind);

    // Wipes and frees what is kept of a line, which may hold a password.
    void forget() noexcept;

    [[nodiscard]] bool in_line() const noexcept { return seen_bytes_ != 0; }

private:
    void keep(byte_view bytes, line_kind kind);
    [[nodiscard]] line_step finish(byte_view line, std::size_t consumed, line_kind kind) noexcept;

    std::string partial_;          // What is kept of the current line.
    std::uint32_t seen_bytes_ = 0; // All of the current line so far, kept or not.
    bool served_from_partial_ = false;
};

} // namespace ebbgate::smtp
