// One link as a line of JSON: what stands in its record and in the catalogue.
//
// Input   A link whose texts are any bytes; a text read from the disk.
// Output  One line that ends with LF; controls are escaped, what is not UTF-8 becomes U+FFFD.
// Owner   Functions of their arguments only.
// Fails   bad_input for a link beyond its bounds; corrupt for a text that is no record.
// Bounds  Each *_max below.
// Specs   docs/filelink.md, "The record".

#pragma once

#include "ebbgate/base/result.h"

#include "store/blob/blob_store.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace ebbgate::blob {

inline constexpr std::int64_t record_version = 1;
inline constexpr std::size_t tenant_bytes_max = 64;
inline constexpr std::size_t url_bytes_max = 1024;
inline constexpr std::size_t sender_bytes_max = 320; // RFC 5321 4.5.3.1, and some.
inline constexpr std::size_t message_id_bytes_max = 128;
// All texts with every byte as a \u escape of six, and what stands between them.
inline constexpr std::size_t record_bytes_max = 24 * kib;

// Nothing, or which bound it does not keep.
[[nodiscard]] result<void> check_link(const link& checked);

[[nodiscard]] std::string to_record(const link& written);
// Strict: exactly the members of a record, of their kinds, within their bounds.
[[nodiscard]] result<link> from_record(std::string_view text);

// 64 lower-case hex digits.
[[nodiscard]] std::string hexadecimal(const content_hash& hash);
// False: it is none.
[[nodiscard]] bool read_hash(std::string_view text, content_hash& into) noexcept;

} // namespace ebbgate::blob
