// The last part of a report: the message it is about, or its header.
//
// Input   The header and, when it is to go back as a whole, the message; unstuffed.
// Output  The same bytes where they may stand in a message; what may not is mended in a header, and
//         has a whole message replaced by its header.
// Bounds  header_bytes_max; lines of line_bytes_max.
// Specs   RFC 6522 section 4, RFC 6533 sections 4.2 and 4.3, RFC 5322 section 2.1.

#pragma once

#include "ebbgate/base/bytes.h"

#include <string>

namespace ebbgate::dsn {

struct returned_message {
    byte_view type; // A literal.
    std::string text;
    bool whole = false;
};

[[nodiscard]] returned_message returned(byte_view header, byte_view whole, bool smtputf8);

} // namespace ebbgate::dsn
