// The Range header: which part of a file is asked for.
//
// Input   The header's value and the file's size.
// Output  One range; nothing when the whole file is to be sent; or that there is no such part.
// Owner   Values.
// Fails   Never: what is no range of bytes, and more than one range, is as if it was not there.
//         Several ranges in one answer serve hardly anybody, and many small or overlapping ones
//         make a small request cost a thousand times its answer.
// Specs   RFC 9110 sections 14.1.2, 14.2, 14.4; of 17.15 the second remedy.

#pragma once

#include <cstdint>
#include <string_view>

namespace ebbgate::filelink {

enum class range_kind : std::uint8_t { whole, part, unsatisfiable };

struct byte_range {
    range_kind kind = range_kind::whole;
    std::uint64_t first = 0; // Of a part.
    std::uint64_t bytes = 0; // Of a part: at least 1.

    bool operator==(const byte_range&) const = default;
};

[[nodiscard]] byte_range parse_byte_range(std::string_view value, std::uint64_t file_bytes);

} // namespace ebbgate::filelink
