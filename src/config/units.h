// Sizes and durations as they are written in configuration files.
//
// Input   "25MB", "1GiB", "512"; "10m", "5d", "90s", "7 days", "12 months".
// Fails   With an empty optional on anything else, on negative values and on overflow.
// Bounds  Sizes below 2^63 bytes, durations up to a hundred years.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::config {

// In seconds. A month is 30 days, not one of the calendar.
inline constexpr std::uint64_t minute = 60;
inline constexpr std::uint64_t hour = 60 * minute;
inline constexpr std::uint64_t day = 24 * hour;
inline constexpr std::uint64_t week = 7 * day;
inline constexpr std::uint64_t month = 30 * day;

// KB MB GB are powers of ten, KiB MiB GiB powers of two; no unit is bytes.
[[nodiscard]] std::optional<std::uint64_t> parse_size_bytes(std::string_view text) noexcept;

// s m h d, second(s) minute(s) hour(s) day(s) month(s); a month is 30 days.
[[nodiscard]] std::optional<std::chrono::seconds> parse_duration(std::string_view text) noexcept;

} // namespace ebbgate::config
