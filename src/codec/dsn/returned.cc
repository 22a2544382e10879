#include "codec/dsn/returned.h"

#include "base/text.h"
#include "codec/dsn/report.h"
#include "codec/dsn/text.h"

#include <algorithm>

namespace ebbgate::dsn {

namespace {

constexpr byte_view crlf = "\r\n";

// CRLF lines of at most line_bytes_max, no NUL.
bool may_stand_in_a_message(byte_view text) {
    if (text.find('\0') != byte_view::npos) {
        return false;
    }
    while (!text.empty()) {
        const std::size_t end = text.find_first_of(crlf);
        if (std::min(end, text.size()) > line_bytes_max) {
            return false;
        }
        if (end == byte_view::npos) {
            return true;
        }
        if (!text.substr(end).starts_with(crlf)) {
            return false;
        }
        text.remove_prefix(end + crlf.size());
    }
    return true;
}

void append_header_line(std::string& out, byte_view line) {
    std::string clean(line);
    std::ranges::replace_if(clean, [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, '?');
    for (byte_view rest = clean; !rest.empty();) {
        std::size_t end = std::min(rest.size(), line_bytes_max - 1); // A blank may be in front.
        while (end < rest.size() && end > 1 &&
               (static_cast<unsigned char>(rest[end]) & 0xc0U) == 0x80U) {
            --end;
        }
        out += rest.substr(0, end);
        out += crlf;
        rest.remove_prefix(end);
        if (!rest.empty()) {
            out += ' ';
        }
    }
}

std::string header_lines(byte_view header) {
    std::string out;
    while (!header.empty() && out.size() < header_bytes_max) {
        const std::size_t end = std::min(header.find(crlf), header.size());
        if (end == 0) {
            break; // The empty line.
        }
        append_header_line(out, header.substr(0, end));
        header.remove_prefix(std::min(end + crlf.size(), header.size()));
    }
    return out;
}

} // namespace

returned_message returned(byte_view header, byte_view whole, bool smtputf8) {
    returned_message made;
    made.whole = !whole.empty() && may_stand_in_a_message(whole);
    made.text = made.whole ? std::string(whole) : header_lines(header);
    const std::string lines = made.whole ? header_lines(header) : made.text;
    // RFC 6533: the global types only where a header says what the others cannot.
    const bool global = smtputf8 && !is_ascii_text(lines);
    made.type = made.whole ? (global ? "message/global" : "message/rfc822")
                           : (global ? "message/global-headers" : "text/rfc822-headers");
    return made;
}

} // namespace ebbgate::dsn
