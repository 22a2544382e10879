// Rates as they are written in configuration files: so many in a period.
//
// Input   "500/day", "50/hour", "100/min", "10/30m", "1000/2 days", "unlimited".
// Output  A rate; and its text, which reads as the same rate again.
// Fails   With an empty optional on anything else: signs, grouped digits, fractions, a count or a
//         period of nothing, one beyond its bound.
// Bounds  rate_count_max, rate_period_max.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::config {

// What a counter of 32 bits holds, rounded down: 1500 a second for a whole month.
inline constexpr std::uint32_t rate_count_max = 4'000'000'000;
// A year: what is counted for longer is not a rate.
inline constexpr std::chrono::seconds rate_period_max = std::chrono::hours(24 * 366);

struct rate {
    std::uint32_t count = 0;
    std::chrono::seconds period{0}; // 0: unlimited, whatever the count.

    [[nodiscard]] constexpr bool is_unlimited() const noexcept { return period.count() == 0; }

    friend constexpr bool operator==(const rate&, const rate&) = default;
};

inline constexpr rate unlimited_rate{};

// COUNT "/" PERIOD; a period is a unit, or a number and a unit with at most one space between:
// s sec second(s), m min minute(s), h hour(s), d day(s), week(s), month(s); a month is 30 days.
[[nodiscard]] std::optional<rate> parse_rate(std::string_view text) noexcept;

// For people, in the largest unit that divides it: "1 day", "12 hours", "90 minutes".
[[nodiscard]] std::string period_text(std::chrono::seconds period);

// As it is written: "500/day", "10/30 minutes", "unlimited".
[[nodiscard]] std::string to_text(const rate& rate);

} // namespace ebbgate::config
