// The class that the codes of a reply give by themselves, when no rule knows its text.
//
// Owner   A free function.
// Specs   RFC 3463, RFC 5248 and its registry, RFC 7504, RFC 7505.

#pragma once

#include "ebbgate/smtp/reply.h"

#include <string_view>

namespace ebbgate::bounces {

inline constexpr std::string_view uncategorized = "Uncategorized";

[[nodiscard]] std::string_view class_of_codes(int code,
                                              const smtp::enhanced_status& status) noexcept;

} // namespace ebbgate::bounces
