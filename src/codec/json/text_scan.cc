#include "codec/json/text_scan.h"

#include "base/text.h"

#include <algorithm>

namespace ebbgate::json {

namespace {

constexpr bool separates(char c) {
    return c == ',' || c == '[' || c == '{';
}

} // namespace

std::uint32_t line_at(byte_view text, std::size_t offset) {
    const byte_view before = text.substr(0, std::min(offset, text.size()));
    return static_cast<std::uint32_t>(1 + std::count(before.begin(), before.end(), '\n'));
}

parse_fault locate(byte_view text, const char* fallback) {
    bool in_string = false;
    std::size_t string_start = 0;
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte >= 0x80) {
            const std::size_t bytes = utf8_sequence_bytes(text, i);
            if (bytes == 0) {
                return {line_at(text, i), "", "the text is not valid UTF-8"};
            }
            i += bytes;
            continue;
        }
        if (in_string && byte < 0x20) {
            return {line_at(text, i),
                    "",
                    "a string contains a raw control character or has no closing quote"};
        }
        if (in_string && byte == '\\') {
            ++i;
        } else if (byte == '"') {
            in_string = !in_string;
            string_start = i;
        }
        ++i;
    }
    if (in_string) {
        return {line_at(text, string_start), "", "a string has no closing quote"};
    }
    return {line_at(text, text.size()), "", fallback};
}

std::size_t too_many_separators(byte_view text, std::size_t count_max) {
    // Strings may hold them too, so the exact count is for the few texts with so many.
    if (static_cast<std::size_t>(std::count_if(text.begin(), text.end(), separates)) <= count_max) {
        return byte_view::npos;
    }
    std::size_t count = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (in_string && text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && separates(text[i]) && ++count > count_max) {
            return i;
        }
    }
    return byte_view::npos;
}

std::string_view without_trailing_space(std::string_view token) {
    const std::size_t last = token.find_last_not_of(" \t\r\n");
    return token.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

bool is_number(std::string_view token, bool& integral) {
    std::size_t i = 0;
    const auto digits = [&] {
        const std::size_t start = i;
        while (i < token.size() && token[i] >= '0' && token[i] <= '9') {
            ++i;
        }
        return i - start;
    };
    integral = true;
    if (i < token.size() && token[i] == '-') {
        ++i;
    }
    const bool leading_zero = i < token.size() && token[i] == '0';
    const std::size_t whole = digits();
    if (whole == 0 || (leading_zero && whole > 1)) {
        return false;
    }
    if (i < token.size() && token[i] == '.') {
        integral = false;
        ++i;
        if (digits() == 0) {
            return false;
        }
    }
    if (i < token.size() && (token[i] == 'e' || token[i] == 'E')) {
        integral = false;
        ++i;
        if (i < token.size() && (token[i] == '+' || token[i] == '-')) {
            ++i;
        }
        if (digits() == 0) {
            return false;
        }
    }
    return i == token.size();
}

} // namespace ebbgate::json
