#include "codec/mta_sts/policy.h"

#include <algorithm>
#include <charconv>

namespace ebbgate::mta_sts {

namespace {

constexpr byte_view record_start = "v=STSv1";
constexpr std::size_t name_bytes_max = 32;
constexpr std::size_t id_bytes_max = 32;
constexpr std::size_t host_bytes_max = 253;
constexpr std::size_t label_bytes_max = 63;
constexpr std::size_t max_age_digits_max = 10;

bool is_alnum(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t';
}

byte_view without_blanks(byte_view text) noexcept {
    while (!text.empty() && is_blank(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_blank(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

bool is_field_name(byte_view name) noexcept {
    return !name.empty() && name.size() <= name_bytes_max && is_alnum(name.front()) &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return is_alnum(c) || c == '_' || c == '-' || c == '.';
           });
}

// Visible characters with blanks between them, and UTF-8.
bool is_policy_value(byte_view value) noexcept {
    return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
        return c == ' ' || (static_cast<unsigned char>(c) > ' ' && c != '\x7f');
    });
}

bool is_record_value(byte_view value) noexcept {
    return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
        return c > ' ' && c <= '~' && c != ';' && c != '=';
    });
}

std::string lower(byte_view text) {
    std::string out(text);
    for (char& c : out) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return out;
}

// RFC 5321 4.1.2: Domain.
bool is_domain(byte_view name) noexcept {
    if (name.empty() || name.size() > host_bytes_max) {
        return false;
    }
    for (;;) {
        const std::size_t dot = name.find('.');
        const byte_view label = name.substr(0, dot);
        if (label.empty() || label.size() > label_bytes_max || !is_alnum(label.front()) ||
            !is_alnum(label.back()) || !std::all_of(label.begin(), label.end(), [](char c) {
                return is_alnum(c) || c == '-';
            })) {
            return false;
        }
        if (dot == byte_view::npos) {
            return true;
        }
        name.remove_prefix(dot + 1);
    }
}

std::optional<mode> parse_mode(byte_view value) noexcept {
    for (const mode known : {mode::none, mode::testing, mode::enforce}) {
        if (value == to_text(known)) {
            return known;
        }
    }
    return std::nullopt;
}

std::optional<std::int64_t> parse_max_age(byte_view value) noexcept {
    std::int64_t seconds = 0;
    if (value.size() > max_age_digits_max || value.starts_with('-')) {
        return std::nullopt;
    }
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, seconds);
    if (error != std::errc{} || stop != end) {
        return std::nullopt;
    }
    return std::min(seconds, max_age_s_max);
}

struct fields {
    std::optional<byte_view> version;
    std::optional<mta_sts::mode> mode;
    std::optional<std::int64_t> max_age_s;
    std::vector<std::string> mx;
};

std::optional<policy_fault> take_line(byte_view line, fields& into) {
    const std::size_t colon = line.find(':');
    const byte_view name = line.substr(0, colon);
    const byte_view value =
        colon == byte_view::npos ? byte_view{} : without_blanks(line.substr(colon + 1));
    if (!is_field_name(name) || !is_policy_value(value)) {
        return policy_fault::bad_line;
    }
    if (name == "version" && !into.version) {
        into.version = value;
        return value == "STSv1" ? std::nullopt : std::optional(policy_fault::bad_version);
    }
    if (name == "mode" && !into.mode) {
        into.mode = parse_mode(value);
        return into.mode ? std::nullopt : std::optional(policy_fault::bad_mode);
    }
    if (name == "max_age" && !into.max_age_s) {
        into.max_age_s = parse_max_age(value);
        return into.max_age_s ? std::nullopt : std::optional(policy_fault::bad_max_age);
    }
    if (name == "mx") {
        if (into.mx.size() == mx_patterns_max) {
            return policy_fault::too_many_mx;
        }
        if (!is_domain(value.substr(value.starts_with("*.") ? 2 : 0))) {
            return policy_fault::bad_mx;
        }
        into.mx.push_back(lower(value));
    }
    return std::nullopt;
}

} // namespace

bool policy::matches(byte_view mx_host) const {
    if (mx_host.ends_with('.')) {
        mx_host.remove_suffix(1);
    }
    const std::string host = lower(mx_host);
    return std::any_of(mx.begin(), mx.end(), [&host](const std::string& pattern) {
        if (!pattern.starts_with("*.")) {
            return pattern == host;
        }
        const std::size_t dot = host.find('.');
        return dot != std::string::npos && dot > 0 &&
               byte_view(host).substr(dot) == byte_view(pattern).substr(1);
    });
}

const char* to_text(policy_fault fault) noexcept {
    switch (fault) {
    case policy_fault::too_long:
        return "the policy is too long";
    case policy_fault::bad_line:
        return "a line is no field";
    case policy_fault::bad_version:
        return "the version is not STSv1";
    case policy_fault::bad_mode:
        return "the mode is unknown or missing";
    case policy_fault::bad_max_age:
        return "max_age is no number or missing";
    case policy_fault::bad_mx:
        return "an mx is no host name";
    case policy_fault::too_many_mx:
        return "too many mx";
    case policy_fault::no_mx:
        return "there is no mx";
    }
    return "";
}

const char* to_text(mode mode) noexcept {
    switch (mode) {
    case mode::none:
        return "none";
    case mode::testing:
        return "testing";
    case mode::enforce:
        return "enforce";
    }
    return "";
}

std::expected<policy, policy_fault> parse_policy(byte_view text) {
    if (text.size() > policy_bytes_max) {
        return std::unexpected(policy_fault::too_long);
    }
    fields found;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        byte_view line = text.substr(0, end);
        text.remove_prefix(end == byte_view::npos ? text.size() : end + 1);
        if (end != byte_view::npos && line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.empty()) {
            continue;
        }
        if (const auto fault = take_line(line, found)) {
            return std::unexpected(*fault);
        }
    }
    if (!found.version) {
        return std::unexpected(policy_fault::bad_version);
    }
    if (!found.mode) {
        return std::unexpected(policy_fault::bad_mode);
    }
    if (!found.max_age_s) {
        return std::unexpected(policy_fault::bad_max_age);
    }
    if (found.mx.empty() && *found.mode != mode::none) {
        return std::unexpected(policy_fault::no_mx);
    }
    return policy{*found.mode, std::move(found.mx), *found.max_age_s};
}

std::string to_text(const policy& policy) {
    std::string text = "version: STSv1\nmode: " + std::string(to_text(policy.mode)) + "\n";
    for (const std::string& pattern : policy.mx) {
        text += "mx: " + pattern + "\n";
    }
    return text + "max_age: " + std::to_string(policy.max_age_s) + "\n";
}

std::optional<std::string> parse_record(byte_view text) {
    if (!text.starts_with(record_start)) {
        return std::nullopt;
    }
    text.remove_prefix(record_start.size());
    std::optional<std::string> id;
    bool any = false;
    for (;;) {
        // Between fields: blanks, a semicolon, blanks. One may stand at the end.
        const std::size_t semicolon = text.find_first_not_of(" \t");
        if (semicolon == byte_view::npos) {
            return any && text.empty() ? id : std::nullopt;
        }
        if (text[semicolon] != ';') {
            return std::nullopt;
        }
        text.remove_prefix(semicolon + 1);
        text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
        if (text.empty()) {
            return any ? id : std::nullopt;
        }
        const byte_view field = text.substr(0, text.find_first_of("; \t"));
        text.remove_prefix(field.size());
        const std::size_t equals = field.find('=');
        const byte_view name = field.substr(0, equals);
        const byte_view value = equals == byte_view::npos ? byte_view{} : field.substr(equals + 1);
        if (!is_field_name(name) || !is_record_value(value)) {
            return std::nullopt;
        }
        any = true;
        if (name == "id" && !id) {
            if (value.size() > id_bytes_max || !std::all_of(value.begin(), value.end(), is_alnum)) {
                return std::nullopt;
            }
            id = std::string(value);
        }
    }
}

std::optional<std::string> find_id(std::span<const std::string> records) {
    const std::string* found = nullptr;
    for (const std::string& record : records) {
        // The delimiter may have blanks before it: what the record then is, parse_record() says.
        if (record.starts_with("v=STSv1;") || record.starts_with("v=STSv1 ") ||
            record.starts_with("v=STSv1\t")) {
            if (found != nullptr) {
                return std::nullopt;
            }
            found = &record;
        }
    }
    return found == nullptr ? std::nullopt : parse_record(*found);
}

} // namespace ebbgate::mta_sts
