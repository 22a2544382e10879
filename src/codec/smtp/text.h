// ASCII helpers of the SMTP codec: case, digits, words. Locale plays no part.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <limits>
#include <optional>

namespace ebbgate::smtp {

[[nodiscard]] constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

[[nodiscard]] constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

[[nodiscard]] constexpr bool is_alpha(char c) noexcept {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

[[nodiscard]] constexpr bool is_alnum(char c) noexcept {
    return is_alpha(c) || is_digit(c);
}

[[nodiscard]] constexpr bool is_ascii(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x80;
}

// C0 controls and DEL. Whether bytes above 127 are well formed is asked elsewhere.
[[nodiscard]] constexpr bool is_control(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// `word` is lower case.
[[nodiscard]] constexpr bool equals_ignoring_case(byte_view text, byte_view word) noexcept {
    if (text.size() != word.size()) {
        return false;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (lower(text[i]) != word[i]) {
            return false;
        }
    }
    return true;
}

[[nodiscard]] constexpr bool starts_ignoring_case(byte_view text, byte_view word) noexcept {
    return text.size() >= word.size() && equals_ignoring_case(text.substr(0, word.size()), word);
}

[[nodiscard]] constexpr byte_view without_leading_blanks(byte_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    return text;
}

[[nodiscard]] constexpr byte_view without_trailing_blanks(byte_view text) noexcept {
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

// The next word of `text`, which afterwards starts at the word after it.
[[nodiscard]] constexpr byte_view take_word(byte_view& text) noexcept {
    std::size_t length = 0;
    while (length < text.size() && text[length] != ' ' && text[length] != '\t') {
        ++length;
    }
    const byte_view word = text.substr(0, length);
    text = without_leading_blanks(text.substr(length));
    return word;
}

// 1 to 20 digits. What does not fit in 64 bits becomes the largest value: a size like that is too
// big for every limit, and must not wrap into a small one.
[[nodiscard]] constexpr std::optional<std::uint64_t> parse_number(byte_view text) noexcept {
    constexpr std::size_t digits_max = 20; // RFC 1870 section 3.
    constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
    if (text.empty() || text.size() > digits_max) {
        return std::nullopt;
    }
    std::uint64_t value = 0;
    for (const char c : text) {
        if (!is_digit(c)) {
            return std::nullopt;
        }
        const auto digit = static_cast<std::uint64_t>(c - '0');
        value = value > (largest - digit) / 10 ? largest : value * 10 + digit;
    }
    return value;
}

} // namespace ebbgate::smtp
