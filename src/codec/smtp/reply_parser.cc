#include "ebbgate/smtp/reply_parser.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace ebbgate::smtp {

namespace {

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

// 1 to 3 digits, without a leading zero in front of others (RFC 3463 section 2).
std::optional<std::uint16_t> take_number(byte_view& text) noexcept {
    std::size_t digits = 0;
    std::uint16_t value = 0;
    while (digits < text.size() && is_digit(text[digits])) {
        if (digits == 3 || (digits == 1 && text[0] == '0')) {
            return std::nullopt;
        }
        value = static_cast<std::uint16_t>(value * 10 + (text[digits] - '0'));
        ++digits;
    }
    if (digits == 0) {
        return std::nullopt;
    }
    text.remove_prefix(digits);
    return value;
}

bool take_dot(byte_view& text) noexcept {
    if (!text.starts_with('.')) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

bool equal_ignoring_case(byte_view left, byte_view upper) noexcept {
    return std::equal(left.begin(), left.end(), upper.begin(), upper.end(), [](char a, char b) {
        return (a >= 'a' && a <= 'z' ? static_cast<char>(a - 32) : a) == b;
    });
}

void note_keyword(server_extensions& known, byte_view line) {
    const std::size_t blank = line.find(' ');
    const byte_view keyword = line.substr(0, blank);
    const byte_view rest = blank == byte_view::npos ? byte_view() : line.substr(blank + 1);
    if (equal_ignoring_case(keyword, "PIPELINING")) {
        known.pipelining = true;
    } else if (equal_ignoring_case(keyword, "8BITMIME")) {
        known.eight_bit_mime = true;
    } else if (equal_ignoring_case(keyword, "SMTPUTF8")) {
        known.smtputf8 = true;
    } else if (equal_ignoring_case(keyword, "STARTTLS")) {
        known.starttls = true;
    } else if (equal_ignoring_case(keyword, "DSN")) {
        known.dsn = true;
    } else if (equal_ignoring_case(keyword, "CHUNKING")) {
        known.chunking = true;
    } else if (equal_ignoring_case(keyword, "ENHANCEDSTATUSCODES")) {
        known.enhanced_status_codes = true;
    } else if (equal_ignoring_case(keyword, "SIZE")) {
        known.size = true;
        const char* end = rest.data() + rest.size();
        if (std::from_chars(rest.data(), end, known.size_bytes_max).ptr != end) {
            known.size_bytes_max = 0;
        }
    }
}

} // namespace

std::optional<enhanced_status> parse_enhanced_status(byte_view text) noexcept {
    enhanced_status status;
    const auto klass = take_number(text);
    if (!klass || (*klass != 2 && *klass != 4 && *klass != 5) || !take_dot(text)) {
        return std::nullopt;
    }
    const auto subject = take_number(text);
    if (!subject || !take_dot(text)) {
        return std::nullopt;
    }
    const auto detail = take_number(text);
    if (!detail || (!text.empty() && text.front() != ' ')) {
        return std::nullopt;
    }
    return enhanced_status{static_cast<std::uint8_t>(*klass), *subject, *detail};
}

std::expected<bool, reply_fault> reply_parser::take_line(byte_view line) {
    if (!line.ends_with('\r')) {
        return std::unexpected(reply_fault::bad_line_end);
    }
    line.remove_suffix(1);
    if (line.find('\r') != byte_view::npos) {
        return std::unexpected(reply_fault::bad_line_end);
    }
    const bool digits = line.size() >= 3 && is_digit(line[0]) && is_digit(line[1]) && is_digit(line[2]);
    const char follows = line.size() > 3 ? line[3] : ' ';
    if (!digits || line[0] < '2' || line[0] > '5' || (follows != ' ' && follows != '-')) {
        return std::unexpected(reply_fault::bad_code);
    }
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    byte_view text = line.size() > 4 ? line.substr(4) : byte_view();
    const auto enhanced = parse_enhanced_status(text);
    const bool fits = enhanced && enhanced->klass == line[0] - '0';
    if (lines_ == 0) {
        reply_ = {};
        reply_.code = code;
        if (fits) {
            reply_.enhanced = enhanced;
        }
    } else if (code != reply_.code) {
        return std::unexpected(reply_fault::codes_differ);
    } else if (lines_ == lines_max) {
        return std::unexpected(reply_fault::too_many_lines);
    }
    if (fits) {
        const std::size_t blank = text.find(' ');
        text = blank == byte_view::npos ? byte_view() : text.substr(blank + 1);
    }
    if (lines_ > 0 && reply_.text.size() < text_bytes_max) {
        reply_.text += '\n';
    }
    const std::size_t room = text_bytes_max - std::min(text_bytes_max, reply_.text.size());
    reply_.text_cut = reply_.text_cut || text.size() > room;
    reply_.text.append(text.substr(0, room));
    ++lines_;
    return follows == ' ';
}

std::expected<reply_parser::outcome, reply_fault> reply_parser::feed(byte_view chunk) {
    outcome result;
    while (result.consumed_bytes < chunk.size()) {
        const byte_view rest = chunk.substr(result.consumed_bytes);
        const std::size_t end = rest.find('\n');
        const byte_view piece = rest.substr(0, end);
        if (line_.size() + piece.size() > line_bytes_max) {
            return std::unexpected(reply_fault::line_too_long);
        }
        result.consumed_bytes += end == byte_view::npos ? piece.size() : piece.size() + 1;
        if (end == byte_view::npos) {
            line_.append(piece);
            break;
        }
        std::expected<bool, reply_fault> complete = false;
        if (line_.empty()) {
            complete = take_line(piece);
        } else {
            line_.append(piece);
            complete = take_line(line_);
            line_.clear();
        }
        if (!complete) {
            return std::unexpected(complete.error());
        }
        if (*complete) {
            lines_ = 0;
            result.reply = std::exchange(reply_, {});
            break;
        }
    }
    return result;
}

server_extensions parse_ehlo(const received_reply& reply) {
    server_extensions known;
    byte_view text = reply.text;
    bool first = true; // The first line is the greeting.
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (!first) {
            note_keyword(known, text.substr(0, end));
        }
        first = false;
        text.remove_prefix(end == byte_view::npos ? text.size() : end + 1);
    }
    return known;
}

} // namespace ebbgate::smtp
