#include "program/ctl/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace ebbgate::ctl {

std::string printable(std::string_view text) {
    std::string shown(text);
    for (std::size_t at = 0; at < shown.size(); ++at) {
        const auto c = static_cast<unsigned char>(shown[at]);
        const auto next = at + 1 < shown.size() ? static_cast<unsigned char>(shown[at + 1]) : 0U;
        // U+0080 to U+009F are control characters too, two bytes each.
        const bool is_c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
        if (is_c1) {
            shown.erase(at + 1, 1);
        }
        if (is_c1 || c < 0x20 || c == 0x7f) {
            shown[at] = '?';
        }
    }
    return shown;
}

std::string printable_lines(std::string_view text) {
    std::string shown;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t end = std::min(text.find('\n', from), text.size());
        shown += (from == 0 ? "" : "\n") + printable(text.substr(from, end - from));
        from = end + 1;
    }
    return shown;
}

std::string text_of(const json::value& value) {
    switch (value.kind()) {
    case json::kind::string:
        return printable(value.text());
    case json::kind::boolean:
        return value.boolean() ? "yes" : "no";
    case json::kind::integer:
        return std::to_string(value.integer());
    case json::kind::real:
        return fmt::format("{}", value.real());
    case json::kind::null:
    case json::kind::array:
    case json::kind::object:
        break;
    }
    return "-";
}

std::string time_text(std::int64_t unix_s) {
    const auto seconds = static_cast<std::time_t>(unix_s);
    std::tm parts{};
    char text[32] = "";
    if (unix_s <= 0 || gmtime_r(&seconds, &parts) == nullptr ||
        std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        return "-";
    }
    return text;
}

void print_tree(const json::value& value, const std::string& path) {
    if (value.is_object() || value.is_array()) {
        for (const json::value& child : value.children()) {
            if (child.pointer() != "/ok") { // The exit code says it.
                print_tree(child, child.pointer());
            }
        }
        return;
    }
    std::string name = printable(path.substr(std::min<std::size_t>(1, path.size())));
    std::replace(name.begin(), name.end(), '/', '.');
    fmt::print("{:<28} {}\n", name, text_of(value));
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t at = 0; at < row.size(); ++at) {
            widths[at] = std::max(widths[at], row[at].size());
        }
    }
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t at = 0; at < row.size(); ++at) {
            line += fmt::format("{:<{}}  ", row[at], widths[at]);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        fmt::print("{}\n", line);
    }
}

void copy(const json::value& value, json::writer& out) {
    switch (value.kind()) {
    case json::kind::null:
        out.null();
        break;
    case json::kind::boolean:
        out.boolean(value.boolean());
        break;
    case json::kind::integer:
        out.number(value.integer());
        break;
    case json::kind::real:
        out.real(value.real());
        break;
    case json::kind::string:
        out.string(value.text());
        break;
    case json::kind::array:
        out.begin_array();
        for (const json::value& child : value.children()) {
            copy(child, out);
        }
        out.end_array();
        break;
    case json::kind::object:
        out.begin_object();
        for (const json::value& child : value.children()) {
            out.key_escaped(child.key());
            copy(child, out);
        }
        out.end_object();
        break;
    }
}

} // namespace ebbgate::ctl
