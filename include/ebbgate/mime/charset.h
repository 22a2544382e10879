// Text of a header in UTF-8, from the charset that its sender named.
//
// Input   Bytes, and a charset's name in any case, with RFC 2231's language behind a '*'.
// Output  UTF-8; what is none in the charset is U+FFFD, so that no byte disappears.
// Bounds  Time and memory linear in the bytes. UTF-8, ASCII, ISO-8859-1 and windows-1252 are done
//         here; others by iconv(3), and only charsets of a list: a sender cannot choose which
//         module the C library loads. The first use of one reads a file.
// Specs   RFC 2231, RFC 2047, RFC 3629.

#pragma once

#include "ebbgate/base/bytes.h"

#include <string>

namespace ebbgate::mime {

struct decoded_text {
    std::string text;
    bool charset_known = true; // If not, the bytes were read as UTF-8.
    bool valid = true;         // No byte had to be replaced.
};

[[nodiscard]] decoded_text to_utf8(byte_view charset, byte_view bytes);

} // namespace ebbgate::mime
