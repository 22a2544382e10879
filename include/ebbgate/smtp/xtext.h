// xtext: the way DSN parameters carry any ASCII text inside one word.
//
// Specs   RFC 3461 section 4 ("+41" is 'A'; '+' and '=' never stand for themselves).

#pragma once

#include "ebbgate/base/bytes.h"

#include <optional>
#include <string>

namespace ebbgate::smtp {

// The form is right and what it decodes to is printable ASCII or blank: no line break can hide in
// it.
[[nodiscard]] bool is_printable_xtext(byte_view text) noexcept;
[[nodiscard]] std::optional<std::string> decode_xtext(byte_view text);
[[nodiscard]] std::string encode_xtext(byte_view text);

} // namespace ebbgate::smtp
