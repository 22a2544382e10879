// Domains in the one form in which they are compared: lower-case A-labels.
//
// Input   "Example.COM", "b\u00fccher.example" (UTF-8), "xn--bcher-kva.example"; a final dot is not
//         part of a domain and is refused.
// Fails   With an empty optional: not a host name, or not valid by IDNA.
// Bounds  domain_text_bytes_max of input, 255 bytes of result.
// Specs   RFC 5891 (IDNA2008) with the mapping of UTS 46, non-transitional: the sharp s and the
//         final sigma stay what they are.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::config {

inline constexpr std::size_t domain_text_bytes_max = 1024;

[[nodiscard]] bool is_ascii(std::string_view text) noexcept;
[[nodiscard]] std::optional<std::string> to_a_labels(std::string_view domain);

} // namespace ebbgate::config
