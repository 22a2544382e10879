#include "program/ctl/moment.h"

#include "config/units.h"

#include <ctime>

namespace ebbgate::ctl {

void expiry::add_options(CLI::App& to) {
    CLI::Option* until = to.add_option("--until", until_, "2026-01-31T12:00:00Z, or 2026-01-31");
    CLI::Option* lasting = to.add_option("--for", for_, "a duration such as 12h or 7d");
    until->excludes(lasting);
}

std::expected<std::int64_t, std::string> expiry::unix_s() const {
    if (!until_.empty()) {
        return parse_moment(until_);
    }
    if (for_.empty()) {
        return 0;
    }
    const auto lasting = config::parse_duration(for_);
    if (!lasting || lasting->count() == 0) {
        return std::unexpected("--for " + for_ + ": expected a duration such as 12h or 7d");
    }
    return std::time(nullptr) + lasting->count();
}

std::expected<std::int64_t, std::string> parse_moment(const std::string& text) {
    constexpr const char* forms[] = {
        "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    for (const char* form : forms) {
        std::tm parts{};
        parts.tm_isdst = -1; // Let the zone's rules say.
        const char* end = strptime(text.c_str(), form, &parts);
        if (end == nullptr || *end != '\0') {
            continue;
        }
        const bool utc = text.ends_with('Z');
        const std::time_t made = utc ? timegm(&parts) : std::mktime(&parts);
        if (made > 0) {
            return made;
        }
    }
    return std::unexpected(text + ": expected a time such as 2026-01-31T12:00:00Z or 2026-01-31");
}

} // namespace ebbgate::ctl
