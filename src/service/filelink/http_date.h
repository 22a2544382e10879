// Dates of HTTP headers, in the three forms that a server has to take.
//
// Output  Unix seconds; nothing for what is no date.
// Specs   RFC 9110 section 5.6.7.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ebbgate::filelink {

[[nodiscard]] std::optional<std::int64_t> parse_http_date(std::string_view text);

} // namespace ebbgate::filelink
