// What every report must be, whatever went into it.

#pragma once

#include "ebbgate/base/assert.h"

#include "codec/dsn/report.h"

#include <string>
#include <vector>

namespace ebbgate::dsn {

// Asserts lines and boundaries; returns the parts, each from its first header line on.
inline std::vector<std::string> checked_parts(const written_report& written) {
    const byte_view text = written.text;
    EBBGATE_ASSERT(text.ends_with("\r\n"));
    std::vector<byte_view> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find("\r\n", at);
        const byte_view line = text.substr(at, end - at);
        EBBGATE_ASSERT(line.size() <= 998);
        EBBGATE_ASSERT(line.find_first_of(byte_view("\r\n\0", 3)) == byte_view::npos);
        lines.push_back(line);
        at = end + 2;
    }
    // Of that field: an address may have such a text in it.
    constexpr byte_view mark = "boundary=\"";
    const std::size_t start = text.find(mark, text.find("\r\nContent-Type: ")) + mark.size();
    const std::string boundary(text.substr(start, text.find('"', start) - start));
    std::vector<std::string> parts;
    std::size_t closed = 0;
    bool in_header = true;
    for (const byte_view line : lines) {
        EBBGATE_ASSERT(closed == 0);
        in_header = in_header && !line.empty();
        // RFC 5322 2.2: no line of a header is blanks alone.
        EBBGATE_ASSERT(!in_header || line.find_first_not_of(" \t") != byte_view::npos);
        if (line == "--" + boundary) {
            parts.emplace_back();
        } else if (line == "--" + boundary + "--") {
            ++closed;
        } else {
            EBBGATE_ASSERT(in_header || line.find(boundary) == byte_view::npos);
            if (!parts.empty()) {
                parts.back() += std::string(line) + "\r\n";
            }
        }
    }
    EBBGATE_ASSERT(closed == 1 && parts.size() == 3);
    bool ascii = true;
    for (const char c : text) {
        ascii = ascii && static_cast<unsigned char>(c) < 0x80;
    }
    EBBGATE_ASSERT(ascii || written.eight_bit);
    EBBGATE_ASSERT(!written.smtputf8 || written.eight_bit);
    return parts;
}

inline std::size_t count_of(byte_view text, byte_view wanted) {
    std::size_t count = 0;
    for (std::size_t at = text.find(wanted); at != byte_view::npos;
         at = text.find(wanted, at + 1)) {
        ++count;
    }
    return count;
}

} // namespace ebbgate::dsn
