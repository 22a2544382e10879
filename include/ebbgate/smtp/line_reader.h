// Cuts what a client sends into command lines.
//
// Input   Bytes in chunks of any size.
// Output  One line at a time, without its CRLF: a view of the chunk, or of the kept beginning when
//         the line came in pieces. Valid until the next call.
// Fails   On a bare CR, a bare LF or a NUL, and on a line that is too long. The line is consumed up
//         to its end (LF), so that the next command is read at its beginning.
// Bounds  line_bytes_max are kept; a longer line is swallowed without being kept.
// Specs   RFC 5321 4.5.3.1.4 (512 octets), extended as RFC 4954 section 4 asks for AUTH.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

namespace ebbgate::smtp {

enum class line_fault : std::uint8_t { bare_cr, bare_lf, nul, too_long };

class line_reader {
public:
    // RFC 4954 section 4: a client may send AUTH lines of up to 12,288 octets.
    static constexpr std::size_t line_bytes_max = 12'288;

    struct outcome {
        // Nothing: no line is complete yet, and the whole chunk was consumed.
        std::optional<std::expected<byte_view, line_fault>> line;
        std::size_t consumed_bytes = 0;
    };

    [[nodiscard]] outcome next(byte_view chunk);

    [[nodiscard]] bool has_partial_line() const noexcept { return !kept_.empty() || too_long_; }

private:
    std::string kept_;
    bool too_long_ = false;
    bool spent_ = false; // The last line returned was a view of kept_.
};

} // namespace ebbgate::smtp
