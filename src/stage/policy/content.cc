#include "stage/policy/content.h"

#include "base/text.h"
#include "codec/json/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace ebbgate::policy {

namespace {

constexpr std::size_t company_bytes_max = 256;
// Characters of a long name that are shown: its beginning, and its end, where the extension is.
constexpr std::size_t name_head = 56;
constexpr std::size_t name_tail = 24;
constexpr std::string_view name_gap = "...";

constexpr std::chrono::seconds month{30 * 86'400};

// Of a well-formed sequence.
char32_t code_point(std::string_view sequence) {
    const auto lead = static_cast<unsigned char>(sequence[0]);
    char32_t value = sequence.size() == 2   ? lead & 0x1fU
                     : sequence.size() == 3 ? lead & 0x0fU
                                            : lead & 0x07U;
    for (const char c : sequence.substr(1)) {
        value = value << 6 | (static_cast<unsigned char>(c) & 0x3fU);
    }
    return value;
}

// What has no shape of its own, or changes that of others: a name shall be read as it is.
bool is_shapeless(char32_t c) {
    constexpr std::pair<char32_t, char32_t> ranges[] = {{0x80, 0x9f},
                                                        {0xad, 0xad},
                                                        {0x034f, 0x034f},
                                                        {0x061c, 0x061c},
                                                        {0x115f, 0x1160},
                                                        {0x17b4, 0x17b5},
                                                        {0x180b, 0x180f},
                                                        {0x200b, 0x200f},
                                                        {0x2028, 0x202e},
                                                        {0x2060, 0x206f},
                                                        {0x3164, 0x3164},
                                                        {0xfe00, 0xfe0f},
                                                        {0xfeff, 0xfeff},
                                                        {0xffa0, 0xffa0},
                                                        {0xfff0, 0xfffb},
                                                        {0xe000, 0xf8ff},
                                                        {0xe0000, 0xe0fff}};
    return std::any_of(std::begin(ranges), std::end(ranges), [c](const auto& range) {
        return c >= range.first && c <= range.second;
    });
}

// One entry a character.
std::vector<std::string_view> shown_characters(std::string_view text, bool utf8) {
    std::vector<std::string_view> out;
    for (std::size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte < 0x80) {
            const bool plain = byte >= 0x20 && byte != 0x7f;
            out.push_back(!plain ? "?" : text[at] == '"' ? "'" : text.substr(at, 1));
            ++at;
            continue;
        }
        const std::size_t bytes = utf8_sequence_bytes(text, at);
        const std::string_view sequence = text.substr(at, std::max<std::size_t>(bytes, 1));
        out.push_back(utf8 && bytes > 1 && !is_shapeless(code_point(sequence)) ? sequence : "?");
        at += sequence.size();
    }
    return out;
}

std::string shown(std::string_view text, bool utf8) {
    const auto characters = shown_characters(text, utf8);
    return fmt::format("{}", fmt::join(characters, ""));
}

std::string shown_name(std::string_view text, bool utf8) {
    // A name of megabytes is not looked at as a whole.
    constexpr std::size_t end_bytes = 4 * (name_head + name_tail);
    std::string cut;
    if (text.size() > 2 * end_bytes) {
        cut = text.substr(0, end_bytes);
        cut += text.substr(text.size() - end_bytes);
        text = cut;
    }
    const auto characters = shown_characters(text, utf8);
    if (characters.size() <= name_head + name_tail) {
        return fmt::format("{}", fmt::join(characters, ""));
    }
    const auto head = std::span(characters).first(name_head);
    const auto tail = std::span(characters).last(name_tail);
    return fmt::format("{}{}{}", fmt::join(head, ""), name_gap, fmt::join(tail, ""));
}

} // namespace

attachment_settings::attachment_settings()
    : reply(*text_template::make(
          attachment_reply_default, attachment_reply_variables, template_charset::ascii)) {}

bool attachment_settings::allows(std::string_view extension) const noexcept {
    return !allow || std::binary_search(allow->begin(), allow->end(), extension);
}

smtp::reply attachment_refusal(const attachment_settings& settings,
                               std::string_view name,
                               std::string_view company,
                               bool utf8) {
    const std::string name_text = shown_name(name, utf8);
    const std::string company_text = shown(company.substr(0, company_bytes_max), utf8);
    const std::string_view values[] = {name_text, company_text};
    return {550, {5, 7, 1}, settings.reply.render(values)};
}

filelink_settings::filelink_settings()
    : keep(12 * month), keep_months(12), keep_text("twelve months"),
      text(
          *text_template::make(filelink_text_default, filelink_variables, template_charset::utf8)) {
}

std::int64_t filelink_settings::expiry_unix_s(std::int64_t now_unix_s) const {
    if (keep_months == 0) {
        return now_unix_s + keep.count();
    }
    namespace chrono = std::chrono;
    const chrono::sys_seconds now{chrono::seconds(now_unix_s)};
    const auto today = chrono::floor<chrono::days>(now);
    chrono::year_month_day day(today);
    day += chrono::months(static_cast<int>(keep_months));
    if (!day.ok()) {
        day = day.year() / day.month() / chrono::last; // The 31st of a shorter month.
    }
    return (chrono::sys_days(day) + (now - today)).time_since_epoch().count();
}

std::string filelink_text(const filelink_settings& settings,
                          std::string_view name,
                          std::uint64_t bytes,
                          std::string_view url,
                          std::string_view company) {
    constexpr double hundredths_of_a_megabyte = 10'000;
    const double hundredths =
        std::max(1.0, std::round(static_cast<double>(bytes) / hundredths_of_a_megabyte));
    const std::string size = fmt::format("{:.2f} MB", hundredths / 100);
    const std::string name_text = shown_name(name, true);
    const std::string company_text = shown(company.substr(0, company_bytes_max), true);
    const std::string_view values[] = {name_text, size, url, settings.keep_text, company_text};
    return settings.text.render(values);
}

std::uint32_t months_in(std::string_view text) noexcept {
    std::uint32_t count = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    std::string_view unit(stop, static_cast<std::size_t>(text.data() + text.size() - stop));
    unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
    return error == std::errc() && unit.starts_with("mo") ? count : 0;
}

std::string host_of_url(std::string_view url) {
    constexpr std::string_view mark = "://";
    const std::size_t scheme = url.find(mark);
    if (scheme == std::string_view::npos) {
        return {};
    }
    url.remove_prefix(scheme + mark.size());
    return lowered(url.substr(0, url.find_first_of(":/")));
}

std::string duration_in_words(std::string_view text) {
    constexpr std::string_view numbers[] = {"no",
                                            "one",
                                            "two",
                                            "three",
                                            "four",
                                            "five",
                                            "six",
                                            "seven",
                                            "eight",
                                            "nine",
                                            "ten",
                                            "eleven",
                                            "twelve"};
    std::uint64_t count = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    std::string_view unit(stop, static_cast<std::size_t>(text.data() + text.size() - stop));
    unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
    // A month is never written as a single letter.
    const std::string_view name = unit.starts_with("mo")  ? "month"
                                  : unit.starts_with('m') ? "minute"
                                  : unit.starts_with('h') ? "hour"
                                  : unit.starts_with('d') ? "day"
                                                          : "second";
    const std::string_view plural = count == 1 ? "" : "s";
    return count < std::size(numbers) ? fmt::format("{} {}{}", numbers[count], name, plural)
                                      : fmt::format("{} {}{}", count, name, plural);
}

std::span<const dkim_key> keys_for(std::span<const dkim_key> keys,
                                   std::string_view domain) noexcept {
    const auto less = [](const dkim_key& key, std::string_view name) { return key.domain < name; };
    for (;;) {
        const auto first = std::lower_bound(keys.begin(), keys.end(), domain, less);
        auto last = first;
        while (last != keys.end() && last->domain == domain) {
            ++last;
        }
        if (first != last) {
            return keys.subspan(static_cast<std::size_t>(first - keys.begin()),
                                static_cast<std::size_t>(last - first));
        }
        const std::size_t dot = domain.find('.');
        if (dot == std::string_view::npos) {
            return {};
        }
        domain.remove_prefix(dot + 1);
    }
}

} // namespace ebbgate::policy
