#include "config/rate.h"

#include "config/units.h"

#include <fmt/format.h>

#include <charconv>

namespace ebbgate::config {

namespace {

struct unit {
    std::string_view name;
    std::uint64_t seconds;
};

constexpr unit units[] = {
    {"s", 1},
    {"sec", 1},
    {"second", 1},
    {"seconds", 1},
    {"m", minute},
    {"min", minute},
    {"minute", minute},
    {"minutes", minute},
    {"h", hour},
    {"hour", hour},
    {"hours", hour},
    {"d", day},
    {"day", day},
    {"days", day},
    {"week", week},
    {"weeks", week},
    {"month", month},
    {"months", month},
};

// The names for people, largest first.
constexpr unit spoken_units[] = {
    {"month", month},
    {"week", week},
    {"day", day},
    {"hour", hour},
    {"minute", minute},
    {"second", 1},
};

constexpr std::string_view unlimited_text = "unlimited";
constexpr auto period_max = static_cast<std::uint64_t>(rate_period_max.count());

std::optional<std::uint64_t> seconds_of(std::string_view name) noexcept {
    for (const unit& unit : units) {
        if (unit.name == name) {
            return unit.seconds;
        }
    }
    return std::nullopt;
}

// Moves `text` past the number. Only digits: from_chars takes a minus for signed types alone.
std::optional<std::uint64_t> take_number(std::string_view& text) noexcept {
    std::uint64_t number = 0;
    const char* const begin = text.data();
    const auto [stop, error] = std::from_chars(begin, begin + text.size(), number);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(stop - begin));
    return number;
}

struct spoken_period {
    std::uint64_t number;
    std::string_view name;
};

spoken_period spoken(std::chrono::seconds period) noexcept {
    const auto seconds = static_cast<std::uint64_t>(period.count());
    for (const unit& unit : spoken_units) {
        if (seconds >= unit.seconds && seconds % unit.seconds == 0) {
            return {seconds / unit.seconds, unit.name};
        }
    }
    return {seconds, spoken_units[std::size(spoken_units) - 1].name};
}

} // namespace

std::optional<rate> parse_rate(std::string_view text) noexcept {
    if (text == unlimited_text) {
        return unlimited_rate;
    }
    const auto count = take_number(text);
    if (!count || *count == 0 || *count > rate_count_max || !text.starts_with('/')) {
        return std::nullopt;
    }
    text.remove_prefix(1);
    std::uint64_t number = 1;
    if (!text.empty() && text.front() >= '0' && text.front() <= '9') {
        const auto written = take_number(text);
        if (!written || *written == 0) {
            return std::nullopt;
        }
        number = *written;
        if (text.starts_with(' ')) {
            text.remove_prefix(1);
        }
    }
    const auto seconds = seconds_of(text);
    if (!seconds || number > period_max / *seconds) {
        return std::nullopt;
    }
    return rate{static_cast<std::uint32_t>(*count),
                std::chrono::seconds(static_cast<std::int64_t>(number * *seconds))};
}

std::string period_text(std::chrono::seconds period) {
    const spoken_period text = spoken(period);
    return fmt::format("{} {}{}", text.number, text.name, text.number == 1 ? "" : "s");
}

std::string to_text(const rate& rate) {
    if (rate.is_unlimited()) {
        return std::string(unlimited_text);
    }
    const spoken_period text = spoken(rate.period);
    return text.number == 1 ? fmt::format("{}/{}", rate.count, text.name)
                            : fmt::format("{}/{}", rate.count, period_text(rate.period));
}

} // namespace ebbgate::config
