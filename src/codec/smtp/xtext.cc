#include "ebbgate/smtp/xtext.h"

namespace ebbgate::smtp {
namespace {

// RFC 3461 section 4 allows upper case only.
int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Next decoded byte, or -1; moves `position` behind it.
int next_byte(byte_view text, std::size_t& position) noexcept {
    const char c = text[position];
    if (c < '!' || c > '~' || c == '=') {
        return -1;
    }
    if (c != '+') {
        ++position;
        return static_cast<unsigned char>(c);
    }
    if (text.size() - position < 3) {
        return -1;
    }
    const int high = hex_value(text[position + 1]);
    const int low = hex_value(text[position + 2]);
    position += 3;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

} // namespace

bool is_printable_xtext(byte_view text) noexcept {
    std::size_t position = 0;
    while (position < text.size()) {
        const int byte = next_byte(text, position);
        if (byte < ' ' || byte > '~') {
            return false;
        }
    }
    return true;
}

std::optional<std::string> decode_xtext(byte_view text) {
    std::string out;
    out.reserve(text.size());
    std::size_t position = 0;
    while (position < text.size()) {
        const int byte = next_byte(text, position);
        if (byte < 0) {
            return std::nullopt;
        }
        out.push_back(static_cast<char>(byte));
    }
    return out;
}

std::string encode_xtext(byte_view text) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (c >= '!' && c <= '~' && c != '+' && c != '=') {
            out.push_back(c);
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out.push_back('+');
        out.push_back(digits[byte >> 4]);
        out.push_back(digits[byte & 15]);
    }
    return out;
}

} // namespace ebbgate::smtp
