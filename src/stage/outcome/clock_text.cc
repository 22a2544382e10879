#include "stage/outcome/clock_text.h"

#include <ctime>
#include <string_view>

namespace ebbgate::outcome {

namespace {

constexpr std::int64_t us_per_second = 1'000'000;

// Names of our own: strftime's depend on the locale, and log readers do not.
constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";

// Rounds down for times before 1970 too.
std::int64_t second_of(std::int64_t unix_us) {
    return unix_us >= 0 ? unix_us / us_per_second
                        : -((-unix_us + us_per_second - 1) / us_per_second);
}

void append_digits(std::string& out, std::int64_t number, int digits) {
    char text[20];
    for (int i = digits; i > 0; --i) {
        text[i - 1] = static_cast<char>('0' + number % 10);
        number /= 10;
    }
    out.append(text, static_cast<std::size_t>(digits));
}

// "2026-11-24", the separator, "05:52:43".
void append_date_and_time(std::string& out, const std::tm& parts, char separator) {
    append_digits(out, parts.tm_year + 1900, 4);
    out += '-';
    append_digits(out, parts.tm_mon + 1, 2);
    out += '-';
    append_digits(out, parts.tm_mday, 2);
    out += separator;
    append_digits(out, parts.tm_hour, 2);
    out += ':';
    append_digits(out, parts.tm_min, 2);
    out += ':';
    append_digits(out, parts.tm_sec, 2);
}

} // namespace

void clock_text::append_rfc3339(std::string& out, std::int64_t unix_us) {
    const std::int64_t second = second_of(unix_us);
    if (second != utc_second_) {
        std::tm parts{};
        const std::time_t time = second;
        gmtime_r(&time, &parts);
        utc_text_.clear();
        append_date_and_time(utc_text_, parts, 'T');
        utc_text_ += '.';
        utc_second_ = second;
    }
    out += utc_text_;
    append_digits(out, unix_us - second * us_per_second, 6);
    out += 'Z';
}

void clock_text::append_syslog(std::string& out, std::int64_t unix_us) {
    const std::int64_t second = second_of(unix_us);
    if (second != local_second_) {
        std::tm parts{};
        const std::time_t time = second;
        localtime_r(&time, &parts);
        local_text_ = months.substr(static_cast<std::size_t>(parts.tm_mon) * 3, 3);
        local_text_ += parts.tm_mday < 10 ? "  " : " ";
        append_digits(local_text_, parts.tm_mday, parts.tm_mday < 10 ? 1 : 2);
        local_text_ += ' ';
        append_digits(local_text_, parts.tm_hour, 2);
        local_text_ += ':';
        append_digits(local_text_, parts.tm_min, 2);
        local_text_ += ':';
        append_digits(local_text_, parts.tm_sec, 2);
        local_second_ = second;
    }
    out += local_text_;
}

void clock_text::append_local(std::string& out, std::int64_t unix_us) {
    const std::int64_t second = second_of(unix_us);
    if (second != dated_second_) {
        std::tm parts{};
        const std::time_t time = second;
        localtime_r(&time, &parts);
        dated_text_.clear();
        append_date_and_time(dated_text_, parts, ' ');
        dated_second_ = second;
    }
    out += dated_text_;
}

} // namespace ebbgate::outcome
