// ASCII helpers of the SMTP codec: words and numbers.

#pragma once

#include "ebbgate/base/bytes.h"

#include "base/text.h"

#include <cstdint>
#include <limits>
#include <optional>

namespace ebbgate::smtp {

[[nodiscard]] constexpr bool is_alnum(char c) noexcept {
    return is_letter(c) || is_digit(c);
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
