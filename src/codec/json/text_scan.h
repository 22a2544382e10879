// What can be told of a JSON text without its tree: where it is faulty, how much there is of it,
// and whether a token is a number.
//
// Input   Any bytes.
// Output  Places in them.
// Owner   Nothing is kept.
// Bounds  One pass each.
// Specs   RFC 8259.

#pragma once

#include "ebbgate/base/bytes.h"

#include "codec/json/document.h"

#include <cstdint>
#include <string_view>

namespace ebbgate::json {

[[nodiscard]] std::uint32_t line_at(byte_view text, std::size_t offset);

// The library reports some faults of the whole text without a place; this finds the first one.
[[nodiscard]] parse_fault locate(byte_view text, const char* fallback);

// Where the text has more commas and opening brackets than values can explain; npos: nowhere. It
// is what keeps a text of nothing but brackets from costing the parser five times its size.
[[nodiscard]] std::size_t too_many_separators(byte_view text, std::size_t count_max);

[[nodiscard]] std::string_view without_trailing_space(std::string_view token);

// RFC 8259 section 6, exactly; the library's own check stops at 64 bits.
[[nodiscard]] bool is_number(std::string_view token, bool& integral);

} // namespace ebbgate::json
