#include "config/units.h"

#include <charconv>
#include <limits>

namespace ebbgate::config {

namespace {

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"KB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"KiB", std::uint64_t{1} << 10},
    {"MiB", std::uint64_t{1} << 20},
    {"GiB", std::uint64_t{1} << 30},
};

constexpr unit duration_units[] = {
    {"s", 1},
    {"second", 1},
    {"seconds", 1},
    {"m", minute},
    {"minute", minute},
    {"minutes", minute},
    {"h", hour},
    {"hour", hour},
    {"hours", hour},
    {"d", day},
    {"day", day},
    {"days", day},
    {"month", month},
    {"months", month},
};

constexpr std::uint64_t size_max = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t duration_max = 100 * 365 * day;

template <std::size_t count>
std::optional<std::uint64_t>
parse_quantity(std::string_view text, const unit (&units)[count], std::uint64_t max) noexcept {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    std::string_view name(stop, static_cast<std::size_t>(end - stop));
    if (name.starts_with(' ')) {
        name.remove_prefix(1);
        if (name.empty()) {
            return std::nullopt;
        }
    }
    for (const unit& unit : units) {
        if (unit.name == name) {
            if (number > max / unit.factor) {
                return std::nullopt;
            }
            return number * unit.factor;
        }
    }
    return std::nullopt;
}

} // namespace

std::optional<std::uint64_t> parse_size_bytes(std::string_view text) noexcept {
    return parse_quantity(text, size_units, size_max);
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) noexcept {
    const auto seconds = parse_quantity(text, duration_units, duration_max);
    if (!seconds) {
        return std::nullopt;
    }
    return std::chrono::seconds(static_cast<std::int64_t>(*seconds));
}

} // namespace ebbgate::config
