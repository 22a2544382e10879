#include "service/filelink/byte_range.h"

#include "base/text.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace ebbgate::filelink {

namespace {

// A number of any length; what is beyond 64 bits is as good as the largest.
std::optional<std::uint64_t> parse_position(std::string_view text) {
    if (text.empty() || !std::ranges::all_of(text, is_digit)) {
        return std::nullopt;
    }
    constexpr std::uint64_t largest = (std::numeric_limits<std::uint64_t>::max)();
    std::uint64_t value = 0;
    for (const char c : text) {
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (value > (largest - digit) / 10) {
            return largest;
        }
        value = value * 10 + digit;
    }
    return value;
}

} // namespace

byte_range parse_byte_range(std::string_view value, std::uint64_t file_bytes) {
    constexpr std::string_view unit = "bytes=";
    value = trimmed(value);
    if (file_bytes == 0 || !equals_ignoring_case(value.substr(0, unit.size()), unit)) {
        return {};
    }
    value.remove_prefix(unit.size());
    const std::size_t dash = value.find('-');
    if (dash == std::string_view::npos) {
        return {};
    }
    const auto last = parse_position(value.substr(dash + 1));
    if (dash == 0) {
        if (!last) {
            return {};
        }
        const std::uint64_t bytes = std::min(*last, file_bytes);
        return bytes == 0 ? byte_range{range_kind::unsatisfiable, 0, 0}
                          : byte_range{range_kind::part, file_bytes - bytes, bytes};
    }
    const auto first = parse_position(value.substr(0, dash));
    const bool is_open = dash + 1 == value.size();
    if (!first || (!last && !is_open) || (last && *last < *first)) {
        return {};
    }
    if (*first >= file_bytes) {
        return {range_kind::unsatisfiable, 0, 0};
    }
    const std::uint64_t end = is_open || *last >= file_bytes ? file_bytes : *last + 1;
    return {range_kind::part, *first, end - *first};
}

} // namespace ebbgate::filelink
