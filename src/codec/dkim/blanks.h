// Finds the next place where a relaxed body differs from the body as it came.
//
// Input   A range, and the byte behind it is readable.
// Output  The first tab, or the first space that a byte up to the space's value follows (a blank,
//         CR, or a control that changes nothing: the caller looks). `end` when there is none.

#pragma once

namespace ebbgate::dkim {

[[nodiscard]] const char* find_blank_to_change(const char* at, const char* end) noexcept;

} // namespace ebbgate::dkim
