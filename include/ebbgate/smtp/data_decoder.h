// Finds the end of a message sent with DATA, and turns message bytes into wire form and back.
//
// Input   What the peer sent after the 354 reply (or in BDAT chunks), in chunks of any size.
// Output  Views to keep in the given order. Wire form: CRLF line ends, dots stuffed, no end mark.
//         DATA arrives in wire form, so its bytes are passed on untouched.
// Fails   On a bare CR or a bare LF, which is never repaired: two servers that repair differently
//         can be made to disagree about where a message ends (SMTP smuggling). Only CRLF "." CRLF
//         ends a message. Everything else, NUL too, is content.
// Bounds  Two bytes of state between calls; nothing is buffered or copied.
// Specs   RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2; RFC 3030.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <optional>

namespace ebbgate::smtp {

enum class data_fault : std::uint8_t { bare_cr, bare_lf };

// Where in a line the next byte is.
enum class line_position : std::uint8_t { line_start, in_line, after_cr };

enum class scan_stop : std::uint8_t { end, dot, bare_cr, bare_lf };

struct scan_result {
    std::size_t scanned_bytes = 0;
    scan_stop stop = scan_stop::end;
};

// Runs over text until its end, or until just before a dot that starts a line, or to the byte that
// proves a bare CR or LF. The hot loop of all three classes below.
[[nodiscard]] scan_result scan_text(byte_view text, line_position& position) noexcept;

struct data_step {
    std::size_t consumed_bytes = 0; // Of the chunk. The rest belongs to the next command.
    byte_view carry;                // Keep first: a dot of an earlier chunk that was no end mark.
    byte_view message;              // Keep then: a prefix of the chunk.
    std::uint32_t stuffed_dots = 0; // In carry and message; RFC 1870 does not count them as size.
    bool complete = false;
    std::optional<data_fault> fault;
};

class data_decoder {
public:
    [[nodiscard]] data_step feed(byte_view chunk) noexcept;

private:
    enum class hold : std::uint8_t { nothing, dot, dot_cr };

    line_position position_ = line_position::line_start;
    hold hold_ = hold::nothing;
};

struct stuffing_step {
    std::size_t consumed_bytes = 0; // May be 0 while `output` is a dot that was added.
    byte_view output;
    std::optional<data_fault> fault;
};

// Raw text (a BDAT chunk) to wire form. Call until everything is consumed.
class bdat_stuffer {
public:
    [[nodiscard]] stuffing_step next(byte_view rest) noexcept;
    // After the last chunk: CRLF when the text lacks its last one. A final CR alone is a fault.
    [[nodiscard]] stuffing_step finish() noexcept;

private:
    line_position position_ = line_position::line_start;
    bool dot_added_ = false;
};

// Wire form to raw text. Call until everything is consumed.
class dot_unstuffer {
public:
    [[nodiscard]] stuffing_step next(byte_view rest) noexcept;

private:
    line_position position_ = line_position::line_start;
};

} // namespace ebbgate::smtp
