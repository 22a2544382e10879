// The hot loop of a scan: finds the next line that could be a boundary.
//
// Input   Any bytes.
// Output  The place of the LF in the next "\n--" that lies in them whole.
// Bounds  Reads each byte a few times, nothing outside of the span.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>

namespace ebbgate::mime {

enum class vector_unit : std::uint8_t { none, avx2, avx512 };

// byte_view::npos: there is none. With what this machine has.
[[nodiscard]] std::size_t find_dash_line(byte_view text) noexcept;

// For tests and benchmarks. `unit` must be one that this machine has.
[[nodiscard]] std::size_t find_dash_line(byte_view text, vector_unit unit) noexcept;
[[nodiscard]] bool machine_has(vector_unit unit) noexcept;

} // namespace ebbgate::mime
