// Runs of base64 digits, by AVX2 where the machine has it.
//
// Specs   RFC 2045 section 6.8.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/mime/boundary_search.h"

#include <array>
#include <cstdint>

namespace ebbgate::mime {

inline constexpr std::size_t base64_slack_bytes = 8; // Written behind the last decoded byte.
inline constexpr std::uint8_t no_digit = 0xff;

// Decodes whole groups of four digits until the first that is not one. Returns how many digits it
// took, and has written three bytes for four; `to` must have room for those, and the slack.
[[nodiscard]] std::size_t decode_digits(byte_view text, char* to) noexcept;

// For tests; `unit` must be one that this machine has.
[[nodiscard]] std::size_t decode_digits(byte_view text, char* to, vector_unit unit) noexcept;

inline constexpr std::array<std::uint8_t, 256> base64_values = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(no_digit);
    std::uint8_t value = 0;
    for (const char c :
         byte_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")) {
        values[static_cast<unsigned char>(c)] = value++;
    }
    return values;
}();

} // namespace ebbgate::mime
