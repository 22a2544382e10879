#include "stage/policy/text_template.h"

#include "ebbgate/base/assert.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::policy {

static_assert(template_lines_max * (template_line_bytes_max + 1) < 0xffff);

std::expected<text_template, text_template::fault>
text_template::make(std::span<const std::string_view> lines,
                    std::span<const std::string_view> variables,
                    template_charset charset) {
    const bool ascii = charset == template_charset::ascii;
    text_template made;
    for (std::size_t index = 0; index < lines.size(); ++index) {
        const std::string_view line = lines[index];
        const bool has_control = std::any_of(line.begin(), line.end(), [ascii](char c) {
            const auto byte = static_cast<unsigned char>(c);
            return byte < 0x20 || byte == 0x7f || (ascii && byte > 0x7f);
        });
        if (line.empty() || line.size() > template_line_bytes_max || has_control) {
            return std::unexpected(fault{index,
                                         fmt::format("expected one line of 1 to {} printable "
                                                     "{} characters",
                                                     template_line_bytes_max,
                                                     ascii ? "ASCII" : "UTF-8")});
        }
        if (index > 0) {
            made.pieces_.push_back({literal, static_cast<std::uint16_t>(made.text_.size()), 1});
            made.text_ += '\n';
        }
        if (std::string expected = made.take_apart(line, variables); !expected.empty()) {
            return std::unexpected(fault{index, std::move(expected)});
        }
    }
    return made;
}

std::string text_template::take_apart(std::string_view line,
                                      std::span<const std::string_view> variables) {
    const std::size_t base = text_.size();
    text_ += line;
    for (std::size_t at = 0; at < line.size();) {
        if (line[at] == '{') {
            const std::size_t end = line.find('}', at);
            const std::string_view name =
                end == std::string_view::npos ? "" : line.substr(at + 1, end - at - 1);
            const auto found = std::find(variables.begin(), variables.end(), name);
            if (found == variables.end()) {
                return fmt::format("expected {{{}}} after the text \"{}\"",
                                   fmt::join(variables, "} {"),
                                   line.substr(0, std::min<std::size_t>(at, 60)));
            }
            pieces_.push_back({static_cast<std::uint16_t>(found - variables.begin()), 0, 0});
            at = end + 1;
            continue;
        }
        const std::size_t end = std::min(line.find_first_of("{}", at), line.size());
        if (end < line.size() && line[end] == '}') {
            return fmt::format("a \"}}\" without its \"{{\"; expected a variable such as {{{}}}",
                               variables.front());
        }
        pieces_.push_back(
            {literal, static_cast<std::uint16_t>(base + at), static_cast<std::uint16_t>(end - at)});
        at = end;
    }
    return {};
}

std::string text_template::render(std::span<const std::string_view> values) const {
    std::string out;
    for (const piece& one : pieces_) {
        if (one.variable == literal) {
            out.append(text_, one.start, one.bytes);
        } else {
            EBBGATE_ASSERT(one.variable < values.size());
            out += values[one.variable];
        }
    }
    return out;
}

bool text_template::uses(std::size_t variable) const noexcept {
    return std::any_of(pieces_.begin(), pieces_.end(), [variable](const piece& one) {
        return one.variable == variable;
    });
}

} // namespace ebbgate::policy
