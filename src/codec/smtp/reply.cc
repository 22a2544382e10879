#include "ebbgate/smtp/reply.h"

#include "codec/smtp/text.h"

#include <algorithm>

namespace ebbgate::smtp {
namespace {

void append_number(std::string& out, unsigned value) {
    char digits[10];
    std::size_t count = 0;
    do {
        digits[count++] = static_cast<char>('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count != 0) {
        out.push_back(digits[--count]);
    }
}

void append_status(std::string& out, const enhanced_status& status) {
    append_number(out, status.status_class);
    out.push_back('.');
    append_number(out, status.subject);
    out.push_back('.');
    append_number(out, status.detail);
}

// RFC 3463 section 2: up to three digits, no leading zero.
std::optional<std::uint16_t> take_status_number(byte_view text, std::size_t& position) {
    const std::size_t start = position;
    unsigned value = 0;
    while (position < text.size() && is_digit(text[position]) && position - start < 3) {
        value = value * 10 + static_cast<unsigned>(text[position] - '0');
        ++position;
    }
    if (position == start || (text[start] == '0' && position - start > 1)) {
        return std::nullopt;
    }
    return static_cast<std::uint16_t>(value);
}

} // namespace

std::optional<enhanced_status> parse_enhanced_status(byte_view text, std::size_t& length) noexcept {
    if (text.size() < 5 || (text[0] != '2' && text[0] != '4' && text[0] != '5') || text[1] != '.') {
        return std::nullopt;
    }
    std::size_t position = 2;
    const auto subject = take_status_number(text, position);
    if (!subject || position >= text.size() || text[position] != '.') {
        return std::nullopt;
    }
    ++position;
    const auto detail = take_status_number(text, position);
    if (!detail || (position < text.size() && text[position] != ' ' && text[position] != '\t')) {
        return std::nullopt;
    }
    length = position;
    return enhanced_status{static_cast<std::uint8_t>(text[0] - '0'), *subject, *detail};
}

std::string to_text(const enhanced_status& status) {
    std::string out;
    append_status(out, status);
    return out;
}

reply::reply(const fixed_reply& fixed) : code(fixed.code()) {
    byte_view rest = fixed.rest();
    std::size_t length = 0;
    if (const auto found = parse_enhanced_status(rest, length)) {
        status = *found;
        rest = without_leading_blanks(rest.substr(length));
    }
    text = rest;
}

reply reply::queued(byte_view id) {
    std::string text = "Ok: queued as ";
    text += id;
    return {250, {2, 0, 0}, std::move(text)};
}

reply reply::from_public_text(byte_view text) {
    std::size_t length = 0;
    const auto status = parse_enhanced_status(text, length);
    if (!status) {
        return {451, {4, 3, 0}, std::string(text)};
    }
    // 3.1 is "mail system full": RFC 5321 has 452 for it.
    int code = status->status_class == 5 ? 554 : 451;
    if (*status == enhanced_status{4, 3, 1}) {
        code = 452;
    } else if (*status == enhanced_status{5, 3, 4}) {
        code = 552;
    } else if (status->status_class == 2) {
        code = 250;
    }
    return {code, *status, std::string(without_leading_blanks(text.substr(length)))};
}

void append_wire(std::string& out, const reply& reply) {
    byte_view rest = reply.text;
    for (;;) {
        const std::size_t line_start = out.size();
        const std::size_t end = rest.find('\n');
        append_number(out, static_cast<unsigned>(std::clamp(reply.code, 200, 599)));
        out.push_back(end == byte_view::npos ? ' ' : '-');
        if (reply.status.present()) {
            append_status(out, reply.status);
            out.push_back(' ');
        }
        const std::size_t room = reply_line_bytes_max - 2 - (out.size() - line_start);
        for (const char c : rest.substr(0, std::min(end, room))) {
            out.push_back(is_control(c) ? '?' : c);
        }
        out += "\r\n";
        if (end == byte_view::npos) {
            return;
        }
        rest.remove_prefix(end + 1);
    }
}

std::string to_wire(const reply& reply) {
    std::string out;
    out.reserve(reply.text.size() + 16);
    append_wire(out, reply);
    return out;
}

std::string to_line(const reply& reply) {
    std::string out;
    out.reserve(reply.text.size() + 16);
    append_number(out, static_cast<unsigned>(std::clamp(reply.code, 0, 999)));
    if (reply.status.present()) {
        out.push_back(' ');
        append_status(out, reply.status);
    }
    if (!reply.text.empty()) {
        out.push_back(' ');
    }
    for (const char c : reply.text) {
        if (c == '\n') {
            out += "; ";
        } else {
            out.push_back(is_control(c) ? '?' : c);
        }
    }
    return out;
}

} // namespace ebbgate::smtp
