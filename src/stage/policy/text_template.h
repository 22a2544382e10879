// A text of the policy, of several lines, with variables in braces; taken apart once, at load.
//
// Input   The lines as the policy has them, and the names of the variables.
// Output  The text with its values, lines separated by '\n'.
// Owner   A value.
// Fails   At load, saying what was expected; a text can always be made afterwards.
// Bounds  template_lines_max lines of template_line_bytes_max bytes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::policy {

inline constexpr std::size_t template_lines_max = 16;
inline constexpr std::size_t template_line_bytes_max = 200;

enum class template_charset : std::uint8_t { ascii, utf8 };

class text_template {
public:
    struct fault {
        std::size_t line = 0; // Of the lines that were given.
        std::string expected;
    };

    text_template() = default;

    [[nodiscard]] static std::expected<text_template, fault>
    make(std::span<const std::string_view> lines,
         std::span<const std::string_view> variables,
         template_charset charset);

    // One value a variable, in the order of the names. Values are not escaped here.
    [[nodiscard]] std::string render(std::span<const std::string_view> values) const;

    [[nodiscard]] bool uses(std::size_t variable) const noexcept;

    bool operator==(const text_template&) const = default;

private:
    static constexpr std::uint16_t literal = 0xffff;

    struct piece {
        std::uint16_t variable = literal; // literal: `bytes` of the text, as they are.
        std::uint16_t start = 0;
        std::uint16_t bytes = 0;

        bool operator==(const piece&) const = default;
    };

    // Appends the pieces of one line; the text is what was expected, empty when all is well.
    std::string take_apart(std::string_view line, std::span<const std::string_view> variables);

    std::string text_;
    std::vector<piece> pieces_;
};

} // namespace ebbgate::policy
