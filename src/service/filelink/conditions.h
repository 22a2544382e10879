// Conditional requests: whether the file is to be sent, and all of it, for what the client has.
//
// Input   A request's header, and what identifies the file.
// Output  judge(): go on, 304 or 412. holds_range(): whether Range counts (If-Range).
// Owner   Values.
// Fails   Never. A date that is none, and one that stands twice, is as if it was not there; a list
//         of entity tags that is malformed matches nothing.
// Specs   RFC 9110 sections 13.1 and 13.2.2, in that order; 8.8.3 for entity tags.

#pragma once

#include "service/http/message.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace ebbgate::filelink {

struct validators {
    std::string entity_tag; // Strong, with its quotation marks.
    std::int64_t modified_unix_s = 0;
};

enum class verdict : std::uint8_t { go_on, not_modified, failed };

[[nodiscard]] verdict judge(const http::request& asked, const validators& file);
[[nodiscard]] bool holds_range(const http::request& asked, const validators& file);

enum class comparison : std::uint8_t { strong, weak };

// `*` matches. `list` is the value of If-Match or If-None-Match.
[[nodiscard]] bool
matches_any(std::string_view list, std::string_view entity_tag, comparison how) noexcept;

} // namespace ebbgate::filelink
