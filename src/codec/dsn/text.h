// Texts of strangers made fit for a report: bounded, one line, without controls, and without the
// addresses and paths of our own network.
//
// Input   Any bytes: replies of peers, addresses, display names.
// Output  Text that can stand in a header field or a line; fields folded to lines of line_bytes.
// Owner   Free functions.
// Fails   Never.
// Bounds  As each says; a field is never longer than what it was given and its folds.
// Specs   RFC 5322 sections 2.1.1 and 2.2.3, RFC 2045 section 6.7, RFC 2047, RFC 6533 section 3.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <string>

namespace ebbgate::dsn {

inline constexpr std::size_t line_bytes = 78;      // Where it can be broken.
inline constexpr std::size_t line_bytes_max = 998; // Everywhere.

// One line of UTF-8: blanks for line ends and tabs, '?' for controls, for what is not UTF-8 and for
// what turns the direction of text; " ..." when it was longer than `bytes_max`.
enum class blanks : std::uint8_t { one, as_they_are }; // Of a row of them.
[[nodiscard]] std::string
clean_line(byte_view text, std::size_t bytes_max, blanks kept = blanks::one);

// '?' for each byte that is not ASCII.
[[nodiscard]] std::string ascii(std::string text);

[[nodiscard]] bool is_ascii_text(byte_view text) noexcept;

// IP addresses that mean something only inside our network become "[private address]".
[[nodiscard]] std::string without_private_addresses(byte_view text);

// For texts of our own making: words that are absolute paths become "[...]".
[[nodiscard]] std::string without_paths(byte_view text);

// "Name: value", folded at blanks, with its CRLF. The value is a clean line.
void append_field(std::string& out, byte_view name, byte_view value);

// utf-8-addr-xtext: ASCII with \x{...} for all else.
[[nodiscard]] std::string encode_utf8_address(byte_view text);
// The reverse; what is no \x{...} stays.
[[nodiscard]] std::string decode_utf8_address(byte_view text);

// A display name as it stands in front of "<": plain, quoted or as encoded words.
[[nodiscard]] std::string display_phrase(byte_view name);

// Lines that end in '\n' become CRLF lines in quoted-printable.
[[nodiscard]] std::string quoted_printable(byte_view lines);
[[nodiscard]] std::string with_crlf(byte_view lines);

// Lines of at most 74 bytes where blanks allow it, each behind `indent`, each with '\n'.
void append_wrapped(std::string& out, byte_view text, byte_view indent);

} // namespace ebbgate::dsn
