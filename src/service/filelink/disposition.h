// How a browser takes a file: as a download with a name, of a type that it does not run.
//
// Input   Name and type as the message had them: the sender's words, not to be trusted.
// Output  Header values in ASCII, without quotation marks or controls of their own.
// Owner   Values.
// Fails   Never: a name of which nothing is left becomes "download".
// Bounds  name_bytes_max of the name; its extension stays.
// Specs   RFC 6266 and its appendix D, RFC 8187; nosniff of the WHATWG Fetch standard stands
// beside.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ebbgate::filelink {

inline constexpr std::size_t name_bytes_max = 200; // Of 255 that file systems have.

// The last part of a path, without controls, direction marks and what is no UTF-8.
[[nodiscard]] std::string clean_name(std::string_view name);

// `attachment; filename="a.pdf"`, and filename* when that is not all of the name.
[[nodiscard]] std::string attachment_disposition(std::string_view name);

// The type itself, or application/octet-stream for one that a browser would run in our origin, or
// that is none.
[[nodiscard]] std::string harmless_type(std::string_view type);

} // namespace ebbgate::filelink
