// How ebbgatectl shows JSON to people.
//
// Output  Never a control character, so that no stored text can steer a terminal.

#pragma once

#include "codec/json/document.h"
#include "codec/json/writer.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::ctl {

// Control characters become '?'.
[[nodiscard]] std::string printable(std::string_view text);

// The same for a text with lines, such as a list of faults; without a line end at its end.
[[nodiscard]] std::string printable_lines(std::string_view text);

[[nodiscard]] std::string text_of(const json::value& value);
// "2026-01-31T12:00:00Z"; "-" for 0.
[[nodiscard]] std::string time_text(std::int64_t unix_s);

// Each value with its path, one a line; without "ok".
void print_tree(const json::value& value, const std::string& path);

// Columns as wide as their widest cell. The first row is the titles.
void print_table(const std::vector<std::vector<std::string>>& rows);

// The value again, as JSON.
void copy(const json::value& value, json::writer& out);

} // namespace ebbgate::ctl
