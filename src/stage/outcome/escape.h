// Cuts and cleans text of a peer before it stands in a log line.
//
// Input   Any bytes of any length.
// Output  Printable: control characters and what is not UTF-8 become '?', as Postfix does it.
// Bounds  `bytes_max`; what is cut ends in "...", never inside a character.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ebbgate::outcome {

void append_printable(std::string& out, std::string_view text, std::size_t bytes_max);

// The same for an address in <>: white space and angle brackets become '?' too, so that a line
// splits into its fields in one way only.
void append_address(std::string& out, std::string_view text, std::size_t bytes_max);

// The longest prefix of at most `bytes_max` that does not end inside a UTF-8 sequence.
[[nodiscard]] std::string_view cut_text(std::string_view text, std::size_t bytes_max) noexcept;

} // namespace ebbgate::outcome
