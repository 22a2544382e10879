#include "ebbgate/smtp/reply_parser.h"

#include "codec/smtp/text.h"

#include <algorithm>
#include <limits>

namespace ebbgate::smtp {
namespace {

void append_safely(std::string& out, byte_view text) {
    for (const char c : text) {
        if (c == '\t') {
            out.push_back(' ');
        } else {
            out.push_back(is_control(c) ? '?' : c);
        }
    }
}

std::uint32_t to_32_bits(byte_view digits) noexcept {
    const auto number = parse_number(digits);
    constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
    return number ? static_cast<std::uint32_t>(std::min(*number, largest)) : 0;
}

void read_limits(byte_view words, ehlo_response& out) noexcept {
    while (!words.empty()) {
        const byte_view word = take_word(words);
        if (starts_ignoring_case(word, "rcptmax=")) {
            out.recipients_max = to_32_bits(word.substr(8));
        } else if (starts_ignoring_case(word, "mailmax=")) {
            out.messages_max = to_32_bits(word.substr(8));
        }
    }
}

void read_mechanisms(byte_view words, ehlo_response& out) noexcept {
    while (!words.empty()) {
        const byte_view word = take_word(words);
        out.auth_plain = out.auth_plain || equals_ignoring_case(word, "plain");
        out.auth_login = out.auth_login || equals_ignoring_case(word, "login");
    }
}

void read_keyword(byte_view line, ehlo_response& out) noexcept {
    const byte_view keyword = take_word(line);
    if (equals_ignoring_case(keyword, "pipelining")) {
        out.pipelining = true;
    } else if (equals_ignoring_case(keyword, "size")) {
        out.message_bytes_max = parse_number(take_word(line)).value_or(0);
    } else if (equals_ignoring_case(keyword, "8bitmime")) {
        out.eight_bit_mime = true;
    } else if (equals_ignoring_case(keyword, "smtputf8")) {
        out.smtputf8 = true;
    } else if (equals_ignoring_case(keyword, "starttls")) {
        out.starttls = true;
    } else if (equals_ignoring_case(keyword, "dsn")) {
        out.dsn = true;
    } else if (equals_ignoring_case(keyword, "chunking")) {
        out.chunking = true;
    } else if (equals_ignoring_case(keyword, "enhancedstatuscodes")) {
        out.enhanced_status_codes = true;
    } else if (equals_ignoring_case(keyword, "auth")) {
        read_mechanisms(line, out);
    } else if (equals_ignoring_case(keyword, "limits")) {
        read_limits(line, out);
    }
}

} // namespace

byte_view to_text(reply_fault fault) noexcept {
    switch (fault) {
    case reply_fault::bad_code:
        return "no reply code";
    case reply_fault::bad_separator:
        return "bad character after the reply code";
    case reply_fault::code_changed:
        return "reply code changed within a reply";
    case reply_fault::bare_cr:
        return "bare CR in a reply";
    case reply_fault::bare_lf:
        return "bare LF in a reply";
    case reply_fault::line_too_long:
        return "reply line too long";
    case reply_fault::too_many_lines:
        return "too many reply lines";
    case reply_fault::text_too_long:
        return "reply too long";
    }
    return "bad reply";
}

std::optional<reply_fault> reply_parser::add_line(byte_view line, bool& last) {
    if (line.size() < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) ||
        !is_digit(line[2])) {
        return reply_fault::bad_code;
    }
    if (line.size() > 3 && line[3] != ' ' && line[3] != '-') {
        return reply_fault::bad_separator;
    }
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    last = line.size() == 3 || line[3] == ' ';
    byte_view text = line.size() > 4 ? line.substr(4) : byte_view();
    std::size_t status_bytes = 0;
    const auto status = parse_enhanced_status(text, status_bytes);
    if (line_count_ == 0) {
        reply_ = reply();
        reply_.code = code;
        // A class that contradicts the code is text.
        if (status && status->status_class == line[0] - '0') {
            reply_.status = *status;
        }
    } else if (code != reply_.code) {
        return reply_fault::code_changed;
    }
    if (++line_count_ > reply_lines_max) {
        return reply_fault::too_many_lines;
    }
    if (status && *status == reply_.status) {
        text = without_leading_blanks(text.substr(status_bytes));
    }
    if (reply_.text.size() + text.size() + 1 > reply_text_bytes_max) {
        return reply_fault::text_too_long;
    }
    if (line_count_ > 1) {
        reply_.text.push_back('\n');
    }
    append_safely(reply_.text, text);
    return std::nullopt;
}

reply_step reply_parser::feed(byte_view chunk) {
    reply_step step;
    while (!chunk.empty()) {
        const std::size_t room = reply_read_line_bytes_max - partial_.size();
        const byte_view within = chunk.substr(0, room);
        const std::size_t end = within.find('\n');
        const std::size_t taken = end == byte_view::npos ? within.size() : end + 1;
        step.consumed_bytes += taken;
        chunk.remove_prefix(taken);
        if (end == byte_view::npos) {
            partial_.append(within);
            if (partial_.size() == reply_read_line_bytes_max) {
                step.fault = reply_fault::line_too_long;
                return step;
            }
            continue;
        }
        byte_view line = within.substr(0, taken);
        if (!partial_.empty()) {
            partial_.append(line);
            line = partial_;
        }
        if (line.size() < 2 || line[line.size() - 2] != '\r') {
            step.fault = reply_fault::bare_lf;
            return step;
        }
        line.remove_suffix(2);
        if (line.find('\r') != byte_view::npos) {
            step.fault = reply_fault::bare_cr;
            return step;
        }
        bool last = false;
        step.fault = add_line(line, last);
        if (step.fault) {
            return step;
        }
        std::string().swap(partial_);
        if (last) {
            step.complete = true;
            return step;
        }
    }
    return step;
}

reply reply_parser::take() noexcept {
    line_count_ = 0;
    return std::move(reply_);
}

ehlo_response parse_ehlo_response(const reply& reply) {
    ehlo_response out;
    byte_view rest = reply.text;
    bool first = true;
    for (;;) {
        const std::size_t end = rest.find('\n');
        byte_view line = rest.substr(0, end);
        if (first) {
            out.name = take_word(line);
            first = false;
        } else {
            read_keyword(line, out);
        }
        if (end == byte_view::npos) {
            return out;
        }
        rest.remove_prefix(end + 1);
    }
}

} // namespace ebbgate::smtp
