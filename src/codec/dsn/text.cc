#include "codec/dsn/text.h"

#include "ebbgate/smtp/address.h"

#include "base/text.h"

#include <fmt/format.h>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace ebbgate::dsn {

namespace {

constexpr byte_view cut_mark = " ...";
constexpr std::size_t encoded_word_text_max = 45; // "=?UTF-8?Q?" and "?=" make it 57.
constexpr std::size_t soft_line_bytes = 75;       // And the "=" that breaks it.
constexpr std::size_t wrapped_bytes = 74;         // Fits quoted-printable unbroken.

// C1 controls, and the marks that make text run backwards: what is read is not what is there.
bool misleads(byte_view sequence) noexcept {
    if (sequence.size() == 2) {
        return sequence[0] == '\xc2' && static_cast<unsigned char>(sequence[1]) < 0xa0;
    }
    if (sequence.size() != 3 || sequence[0] != '\xe2') {
        return false;
    }
    const auto last = static_cast<unsigned char>(sequence[2]);
    return (sequence[1] == '\x80' &&
            (last == 0x8e || last == 0x8f || (last >= 0xa8 && last <= 0xae))) ||
           (sequence[1] == '\x81' && last >= 0xa6 && last <= 0xa9);
}

bool is_private_v4(const std::array<std::uint8_t, 4>& ip) noexcept {
    return ip[0] == 0 || ip[0] == 10 || ip[0] == 127 || (ip[0] == 172 && (ip[1] & 0xf0U) == 16) ||
           (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254) ||
           (ip[0] == 100 && (ip[1] & 0xc0U) == 64);
}

bool is_private_v6(const std::array<std::uint8_t, 16>& ip) noexcept {
    const auto zeros = [&](std::size_t bytes) {
        return std::all_of(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(bytes), [](auto b) {
            return b == 0;
        });
    };
    if (zeros(10) && ip[10] == 0xff && ip[11] == 0xff) {
        return is_private_v4({ip[12], ip[13], ip[14], ip[15]});
    }
    return (ip[0] & 0xfeU) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0U) == 0x80) || zeros(15);
}

bool is_private(byte_view text) {
    if (text.size() < 3 || text.size() > 45) {
        return false;
    }
    const std::string terminated(text);
    std::array<std::uint8_t, 4> v4{};
    if (inet_pton(AF_INET, terminated.c_str(), v4.data()) == 1) {
        return is_private_v4(v4);
    }
    std::array<std::uint8_t, 16> v6{};
    return inet_pton(AF_INET6, terminated.c_str(), v6.data()) == 1 && is_private_v6(v6);
}

constexpr bool in_address(char c) noexcept {
    return hex_digit(c).has_value() || c == '.' || c == ':';
}

constexpr bool in_word(char c) noexcept {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_';
}

// A port, or the full stop of the sentence, may follow the address.
std::size_t private_prefix(byte_view run) {
    for (std::size_t end = run.size(); end > 1;) {
        if (is_private(run.substr(0, end))) {
            return end;
        }
        const std::size_t mark = run.substr(0, end).find_last_of(".:");
        if (mark == byte_view::npos || mark == 0) {
            break;
        }
        end = mark;
    }
    return 0;
}

// Where to break `text` so that what is in front is at most `room` bytes; its size when it need
// not be broken. At a blank where there is one, else anywhere but inside a character.
std::size_t break_at(byte_view text, std::size_t room, std::size_t hard_room) {
    if (text.size() <= room) {
        return text.size();
    }
    // Not at the first byte: the line would be empty.
    for (std::size_t at = std::min(room, text.size() - 1); at > 0; --at) {
        if (text[at] == ' ' && text[at - 1] != ' ') {
            return at;
        }
    }
    for (std::size_t at = room; at < std::min(text.size(), hard_room); ++at) {
        if (text[at] == ' ' && text[at - 1] != ' ') {
            return at;
        }
    }
    if (text.size() <= hard_room) {
        return text.size();
    }
    std::size_t at = hard_room;
    while (at > 1 && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U) {
        --at;
    }
    return at;
}

constexpr bool in_atom(char c) noexcept {
    return is_letter(c) || is_digit(c) ||
           byte_view("!#$%&'*+-/=?^_`{|}~ ").find(c) != byte_view::npos;
}

std::string encoded_words(byte_view text) {
    std::string out;
    std::string word;
    const auto close = [&] {
        if (!word.empty()) {
            out += (out.empty() ? "=?UTF-8?Q?" : " =?UTF-8?Q?") + word + "?=";
            word.clear();
        }
    };
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = std::max<std::size_t>(utf8_sequence_bytes(text, at), 1);
        std::string one;
        for (const char c : text.substr(at, bytes)) {
            if (is_letter(c) || is_digit(c)) {
                one += c;
            } else {
                one += c == ' ' ? std::string("_")
                                : fmt::format("={:02X}", static_cast<unsigned char>(c));
            }
        }
        if (word.size() + one.size() > encoded_word_text_max) {
            close();
        }
        word += one;
        at += bytes;
    }
    close();
    return out;
}

} // namespace

std::string clean_line(byte_view text, std::size_t bytes_max, blanks kept) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = utf8_sequence_bytes(text, at);
        const byte_view one = text.substr(at, std::max<std::size_t>(bytes, 1));
        at += one.size();
        if (out.size() + one.size() > bytes_max) {
            out += cut_mark;
            break;
        }
        if (bytes == 1 && is_space(one[0])) {
            if (kept == blanks::as_they_are || !out.ends_with(' ')) {
                out += ' ';
            }
        } else if (bytes == 0 || (bytes == 1 && is_control(one[0])) || misleads(one)) {
            out += '?';
        } else {
            out += one;
        }
    }
    return std::string(trimmed(out));
}

std::string ascii(std::string text) {
    std::ranges::replace_if(text, [](char c) { return !is_ascii(c); }, '?');
    return text;
}

bool is_ascii_text(byte_view text) noexcept {
    return std::ranges::all_of(text, is_ascii);
}

std::string without_private_addresses(byte_view text) {
    std::string out;
    while (!text.empty()) {
        std::size_t start = 0; // Of a run that may be an address; in front of it none can be.
        while (start < text.size() && !in_address(text[start])) {
            ++start;
        }
        std::size_t end = start;
        while (end < text.size() && in_address(text[end])) {
            ++end;
        }
        if (start > 0 && in_word(text[start - 1])) {
            // "IPv6:" ends with what looks like the start of an address.
            const std::size_t mark = text.substr(start, end - start).find(':');
            start = mark == byte_view::npos ? end : start + mark + 1;
        }
        const bool ends_word = end == text.size() || !in_word(text[end]);
        const std::size_t bytes = ends_word ? private_prefix(text.substr(start, end - start)) : 0;
        out += text.substr(0, start);
        if (bytes > 0) {
            out += "[private address]";
        }
        out += text.substr(start + bytes, end - start - bytes);
        text.remove_prefix(end);
    }
    return out;
}

std::string without_paths(byte_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const bool starts = at == 0 || is_blank(text[at - 1]) ||
                            byte_view("\"'(<[=:").find(text[at - 1]) != byte_view::npos;
        if (text[at] == '/' && starts && at + 1 < text.size() && in_word(text[at + 1])) {
            out += "[...]";
            while (at < text.size() && (in_word(text[at]) || text[at] == '/' || text[at] == '.')) {
                ++at;
            }
        } else {
            out += text[at++];
        }
    }
    return out;
}

void append_field(std::string& out, byte_view name, byte_view value) {
    out += name;
    out += ':';
    std::size_t used = name.size() + 1;
    while (!value.empty()) {
        const std::size_t room = line_bytes > used + 2 ? line_bytes - used - 1 : 1;
        const std::size_t end = break_at(value, room, line_bytes_max - used - 1);
        out += ' ';
        out += value.substr(0, end);
        value = value.substr(end);
        if (!value.empty() && value.front() == ' ') {
            value.remove_prefix(1);
        }
        if (!value.empty()) {
            out += "\r\n";
            used = 0;
        }
    }
    out += "\r\n";
}

std::string encode_utf8_address(byte_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = utf8_sequence_bytes(text, at);
        const char c = text[at];
        if (bytes == 1 && c > ' ' && c < '\x7f' && c != '\\' && c != '+' && c != '=') {
            out += c;
            ++at;
            continue;
        }
        std::uint32_t point = static_cast<unsigned char>(c);
        if (bytes > 1) {
            point &= 0xffU >> (bytes + 1);
            for (std::size_t more = 1; more < bytes; ++more) {
                point = (point << 6U) | (static_cast<unsigned char>(text[at + more]) & 0x3fU);
            }
        }
        out += fmt::format("\\x{{{:02X}}}", point);
        at += std::max<std::size_t>(bytes, 1);
    }
    return out;
}

std::string decode_utf8_address(byte_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('}', at);
        if (text.substr(at).starts_with("\\x{") && end != byte_view::npos && end > at + 3 &&
            end <= at + 9) {
            std::uint32_t point = 0;
            bool good = true;
            for (const char c : text.substr(at + 3, end - at - 3)) {
                good = good && hex_digit(c).has_value();
                point = point * 16 + hex_digit(c).value_or(0);
            }
            if (good && point >= ' ' && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff)) {
                const std::size_t bytes = point < 0x80      ? 1
                                          : point < 0x800   ? 2
                                          : point < 0x10000 ? 3
                                                            : 4;
                constexpr std::array<std::uint32_t, 5> lead = {0, 0, 0xc0, 0xe0, 0xf0};
                out += static_cast<char>(lead[bytes] | (point >> (6 * (bytes - 1))));
                for (std::size_t more = bytes - 1; more > 0; --more) {
                    out += static_cast<char>(0x80U | ((point >> (6 * (more - 1))) & 0x3fU));
                }
                at = end + 1;
                continue;
            }
        }
        out += text[at++];
    }
    return out;
}

std::string display_phrase(byte_view name) {
    if (!is_ascii_text(name)) {
        return encoded_words(name);
    }
    if (std::ranges::all_of(name, in_atom) && name.find("=?") == byte_view::npos) {
        return std::string(name);
    }
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    return out + '"';
}

std::string quoted_printable(byte_view lines) {
    std::string out;
    std::size_t column = 0;
    for (std::size_t at = 0; at < lines.size(); ++at) {
        const char c = lines[at];
        if (c == '\n') {
            out += "\r\n";
            column = 0;
            continue;
        }
        const bool at_end = at + 1 == lines.size() || lines[at + 1] == '\n';
        const bool plain = is_ascii(c) && !is_control(c) && c != '=' && !(c == ' ' && at_end);
        if (column + (plain ? 1 : 3) > soft_line_bytes) {
            out += "=\r\n";
            column = 0;
        }
        if (plain) {
            out += c;
        } else {
            out += fmt::format("={:02X}", static_cast<unsigned char>(c));
        }
        column += plain ? 1 : 3;
    }
    return out;
}

std::string with_crlf(byte_view lines) {
    std::string out;
    for (const char c : lines) {
        out += c == '\n' ? byte_view("\r\n") : byte_view(&c, 1);
    }
    return out;
}

void append_wrapped(std::string& out, byte_view text, byte_view indent) {
    const std::size_t room = wrapped_bytes - indent.size();
    while (!text.empty()) {
        const std::size_t end = break_at(text, room, line_bytes_max - indent.size());
        out += indent;
        out += text.substr(0, end);
        out += '\n';
        text = text.substr(end);
        while (!text.empty() && text.front() == ' ') {
            text.remove_prefix(1);
        }
    }
}

} // namespace ebbgate::dsn
