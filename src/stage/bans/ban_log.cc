#include "stage/bans/ban_log.h"

#include <array>
#include <cstddef>

namespace ebbgate::bans {

namespace {

constexpr std::size_t logger_columns = 24;
constexpr std::size_t level_columns = 7;
constexpr std::string_view filter = "fail2ban.filter";
constexpr std::string_view actions = "fail2ban.actions";
constexpr std::string_view observer = "fail2ban.observer";

constexpr std::int64_t quiet_us = 3'000'000;
constexpr std::int64_t notice_us = 60'000'000;

void append_padded(std::string& out, std::string_view text, std::size_t columns) {
    out += text;
    if (text.size() < columns) {
        out.append(columns - text.size(), ' ');
    }
}

std::int64_t floor_divide(std::int64_t number, std::int64_t by) {
    return number / by - (number % by < 0 ? 1 : 0);
}

// Python's round(): a tie goes to the even neighbour.
std::int64_t round_to(std::int64_t seconds, std::int64_t unit) {
    const std::int64_t whole = seconds / unit;
    const std::int64_t twice = 2 * (seconds % unit);
    return whole + (twice > unit || (twice == unit && whole % 2 != 0) ? 1 : 0);
}

struct unit {
    std::int64_t of_smallest;
    char letter;
};

// From `least` on a duration is rounded to `smallest` and written in `units`.
struct scale {
    std::int64_t least;
    std::int64_t smallest;
    std::array<unit, 3> units; // The first one stands even when it is 0; letter 0: none.
};

constexpr std::array<scale, 5> scales = {{
    {31'536'000, 86'400, {{{365, 'y'}, {7, 'w'}, {1, 'd'}}}},
    {604'800, 3'600, {{{168, 'w'}, {24, 'd'}, {1, 'h'}}}},
    {86'400, 60, {{{1'440, 'd'}, {60, 'h'}, {1, 'm'}}}},
    {3'595, 10, {{{360, 'h'}, {6, 'm'}, {0, '\0'}}}},
    {60, 1, {{{60, 'm'}, {1, 's'}, {0, '\0'}}}},
}};

} // namespace

std::string duration_text(std::chrono::seconds duration) {
    const std::int64_t seconds = duration.count();
    for (const scale& scale : scales) {
        if (seconds < scale.least) {
            continue;
        }
        std::int64_t left = round_to(seconds, scale.smallest);
        std::string text;
        for (const unit& unit : scale.units) {
            if (unit.letter == '\0' || (!text.empty() && left < unit.of_smallest)) {
                continue;
            }
            text += text.empty() ? "" : " ";
            text += std::to_string(left / unit.of_smallest) + unit.letter;
            left %= unit.of_smallest;
        }
        return text;
    }
    return seconds > 0 ? std::to_string(seconds) + 's' : "0";
}

ban_log::ban_log(std::uint32_t pid) : pid_('[' + std::to_string(pid) + "]: ") {}

void ban_log::begin(std::string& out,
                    std::int64_t now_us,
                    std::string_view logger,
                    std::string_view level) {
    clock_.append_local(out, now_us);
    const auto ms = floor_divide(now_us, 1000) - 1000 * floor_divide(now_us, 1'000'000);
    const char fraction[] = {',',
                             static_cast<char>('0' + ms / 100),
                             static_cast<char>('0' + ms / 10 % 10),
                             static_cast<char>('0' + ms % 10),
                             ' '};
    out.append(fraction, sizeof fraction);
    append_padded(out, logger, logger_columns);
    out += pid_;
    append_padded(out, level, level_columns);
    out += " [";
    out += jail_name;
    out += "] ";
}

void ban_log::append_found(std::string& out,
                           std::int64_t now_us,
                           const config::ip_address& address,
                           std::int64_t struck_us) {
    begin(out, now_us, filter, "INFO");
    out += "Found " + config::to_text(address) + " - ";
    clock_.append_local(out, struck_us);
    out += '\n';
}

void ban_log::append_ignore(std::string& out,
                            std::int64_t now_us,
                            const config::ip_address& address) {
    begin(out, now_us, filter, "INFO");
    out += "Ignore " + config::to_text(address) + " by ip\n";
}

void ban_log::append_ban(std::string& out, std::int64_t now_us, const ban& ban) {
    begin(out, now_us, actions, "NOTICE");
    out += "Ban " + name_of(ban) + '\n';
}

void ban_log::append_restore(std::string& out,
                             std::int64_t now_us,
                             std::span<const ban* const> bans) {
    std::string head;
    begin(head, now_us, actions, "NOTICE");
    head += "Restore Ban ";
    for (const ban* one : bans) {
        out += head;
        out += name_of(*one);
        out += '\n';
    }
}

void ban_log::append_unban(std::string& out, std::int64_t now_us, const ban& ban) {
    begin(out, now_us, actions, "NOTICE");
    out += "Unban " + name_of(ban) + '\n';
}

void ban_log::append_increase(std::string& out, std::int64_t now_us, const ban& ban) {
    begin(out, now_us, observer, "NOTICE");
    out += "Increase Ban " + name_of(ban) + " (" + std::to_string(ban.count) + " # ";
    if (ban.until_us == never_ends) {
        out += "permanent -> infinite)\n";
        return;
    }
    out += duration_text(std::chrono::seconds((ban.until_us - ban.since_us) / 1'000'000)) + " -> ";
    clock_.append_local(out, ban.until_us);
    out += ")\n";
}

void ban_log::append_already_banned(std::string& out, std::int64_t now_us, const ban& ban) {
    const std::int64_t banned_for_us = now_us - ban.since_us;
    if (banned_for_us < quiet_us) {
        return;
    }
    begin(out, now_us, actions, banned_for_us < notice_us ? "NOTICE" : "WARNING");
    out += name_of(ban) + " already banned\n";
}

} // namespace ebbgate::bans
