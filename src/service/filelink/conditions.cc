#include "service/filelink/conditions.h"

#include "base/text.h"
#include "service/filelink/http_date.h"

#include <optional>

namespace ebbgate::filelink {

namespace {

// All values of a list header as one (RFC 9110 section 5.3); nothing: it is absent.
std::optional<std::string> list_of(const http::request& asked, std::string_view name) {
    std::optional<std::string> all;
    for (const http::header& one : asked.headers) {
        if (same_ignoring_case(one.name, name)) {
            all = all ? *all + "," + one.value : one.value;
        }
    }
    return all;
}

// Of a header that stands once.
std::optional<std::int64_t> date_of(const http::request& asked, std::string_view name) {
    std::optional<std::string_view> only;
    for (const http::header& one : asked.headers) {
        if (!same_ignoring_case(one.name, name)) {
            continue;
        }
        if (only) {
            return std::nullopt;
        }
        only = one.value;
    }
    return only ? parse_http_date(*only) : std::nullopt;
}

constexpr bool is_tag_character(char c) noexcept {
    return c != '"' && c != ' ' && !is_control(c);
}

struct tag {
    std::string_view quoted;
    bool is_weak = false;
};

// Takes the tag that `list` begins with off it.
std::optional<tag> take_tag(std::string_view& list) noexcept {
    tag found;
    if (list.starts_with("W/")) {
        found.is_weak = true;
        list.remove_prefix(2);
    }
    if (!list.starts_with('"')) {
        return std::nullopt;
    }
    std::size_t end = 1;
    while (end < list.size() && is_tag_character(list[end])) {
        ++end;
    }
    if (end == list.size() || list[end] != '"') {
        return std::nullopt;
    }
    found.quoted = list.substr(0, end + 1);
    list.remove_prefix(end + 1);
    return found;
}

} // namespace

bool matches_any(std::string_view list, std::string_view entity_tag, comparison how) noexcept {
    list = trimmed(list);
    if (list == "*") {
        return true;
    }
    bool found = false;
    for (;;) {
        while (!list.empty() && (is_blank(list.front()) || list.front() == ',')) {
            list.remove_prefix(1);
        }
        if (list.empty()) {
            return found;
        }
        const auto one = take_tag(list);
        const std::string_view rest = trimmed(list);
        if (!one || (!rest.empty() && rest.front() != ',')) {
            return false;
        }
        found = found || (one->quoted == entity_tag && (how == comparison::weak || !one->is_weak));
    }
}

verdict judge(const http::request& asked, const validators& file) {
    if (const auto list = list_of(asked, "If-Match")) {
        if (!matches_any(*list, file.entity_tag, comparison::strong)) {
            return verdict::failed;
        }
    } else if (const auto date = date_of(asked, "If-Unmodified-Since");
               date && file.modified_unix_s > *date) {
        return verdict::failed;
    }
    if (const auto list = list_of(asked, "If-None-Match")) {
        return matches_any(*list, file.entity_tag, comparison::weak) ? verdict::not_modified
                                                                     : verdict::go_on;
    }
    const auto date = date_of(asked, "If-Modified-Since");
    return date && file.modified_unix_s <= *date ? verdict::not_modified : verdict::go_on;
}

bool holds_range(const http::request& asked, const validators& file) {
    const auto given = list_of(asked, "If-Range");
    if (!given) {
        return true;
    }
    const std::string_view text = trimmed(*given);
    if (text.starts_with('"') || text.starts_with("W/")) {
        return text == file.entity_tag; // Strong: "W/" is never equal.
    }
    const auto date = date_of(asked, "If-Range");
    return date && *date == file.modified_unix_s;
}

} // namespace ebbgate::filelink
