// Tests and changes of ASCII text, and the form of UTF-8. Locale plays no part.
//
// Fails   Never.
// Specs   RFC 3629 section 4.

#pragma once

#include "ebbgate/base/bytes.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>

namespace ebbgate {

[[nodiscard]] constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

[[nodiscard]] constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

[[nodiscard]] constexpr bool is_letter(char c) noexcept {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

[[nodiscard]] constexpr bool is_ascii(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x80;
}

// C0 controls and DEL. Whether bytes above 127 are well formed is asked elsewhere.
[[nodiscard]] constexpr bool is_control(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

[[nodiscard]] constexpr bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t';
}

// Blanks, and what folds a line.
[[nodiscard]] constexpr bool is_space(char c) noexcept {
    return is_blank(c) || c == '\r' || c == '\n';
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

[[nodiscard]] constexpr bool same_ignoring_case(byte_view left, byte_view right) noexcept {
    return std::ranges::equal(left, right, [](char a, char b) { return lower(a) == lower(b); });
}

// Both cases.
[[nodiscard]] constexpr std::optional<unsigned> hex_digit(char c) noexcept {
    if (is_digit(c)) {
        return static_cast<unsigned>(c - '0');
    }
    if (lower(c) >= 'a' && lower(c) <= 'f') {
        return static_cast<unsigned>(lower(c) - 'a') + 10;
    }
    return std::nullopt;
}

[[nodiscard]] constexpr byte_view trimmed(byte_view text) noexcept {
    while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_space(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

[[nodiscard]] std::string lowered(byte_view text);

// Of the sequence at `position`; 0 when there is none.
[[nodiscard]] std::size_t utf8_sequence_bytes(byte_view text, std::size_t position) noexcept;

} // namespace ebbgate
