#include "service/filelink/disposition.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace ebbgate::filelink {

namespace {

constexpr std::string_view unknown_type = "application/octet-stream";
constexpr std::string_view no_name = "download";
constexpr std::size_t extension_bytes_max = 20;
constexpr std::size_t type_bytes_max = 127; // RFC 6838 section 4.2, each half.

std::uint32_t code_point(std::string_view sequence) noexcept {
    const auto at = [sequence](std::size_t index) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(sequence[index]));
    };
    switch (sequence.size()) {
    case 1:
        return at(0);
    case 2:
        return (at(0) & 0x1fU) << 6U | (at(1) & 0x3fU);
    case 3:
        return (at(0) & 0x0fU) << 12U | (at(1) & 0x3fU) << 6U | (at(2) & 0x3fU);
    default:
        return (at(0) & 0x07U) << 18U | (at(1) & 0x3fU) << 12U | (at(2) & 0x3fU) << 6U |
               (at(3) & 0x3fU);
    }
}

// Controls, line ends, and what turns the direction of the text or has no width.
constexpr bool is_hidden(std::uint32_t point) noexcept {
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0xad || point == 0x61c ||
           (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2060 && point <= 0x206f) || point == 0xfeff || point >= 0xe0000;
}

// At most `bytes_max`, with the extension and without half a character.
std::string shortened(const std::string& name, std::size_t bytes_max) {
    if (name.size() <= bytes_max) {
        return name;
    }
    const std::size_t dot = name.rfind('.');
    const std::string extension =
        dot == std::string::npos || name.size() - dot > extension_bytes_max ? std::string()
                                                                            : name.substr(dot);
    std::size_t end = bytes_max - extension.size();
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0U) == 0x80U) {
        --end;
    }
    return name.substr(0, end) + extension;
}

// RFC 8187 section 3.2.1, attr-char.
constexpr bool is_attribute_character(char c) noexcept {
    return is_letter(c) || is_digit(c) || std::string_view("!#$&+-.^_`|~").contains(c);
}

// RFC 9110 section 5.6.2, for what types are made of (RFC 6838 section 4.2).
constexpr bool is_type_character(char c) noexcept {
    return is_letter(c) || is_digit(c) || std::string_view("!#$&-^_.+").contains(c);
}

constexpr std::array<std::string_view, 6> plain_texts = {
    "plain", "csv", "calendar", "markdown", "tab-separated-values", "vcard"};
constexpr std::array<std::string_view, 4> run_parts = {"html", "script", "flash", "wasm"};

// By a browser, as a document, a style or a program. A name with "xml" in it is no XML
// (openxmlformats), and PostScript no script.
bool is_run(std::string_view sub) noexcept {
    return sub.starts_with("xml") || sub.ends_with("+xml") || sub == "xsl" ||
           (sub != "postscript" && std::ranges::any_of(run_parts, [sub](std::string_view part) {
                return sub.contains(part);
            }));
}

} // namespace

std::string clean_name(std::string_view name) {
    std::string clean;
    for (std::size_t at = 0; at < name.size();) {
        const std::size_t bytes = utf8_sequence_bytes(name, at);
        if (bytes == 0) {
            clean += '_';
            ++at;
            continue;
        }
        const std::string_view character = name.substr(at, bytes);
        at += bytes;
        if (character == "/" || character == "\\") {
            clean.clear();
        } else if (!is_hidden(code_point(character))) {
            clean += character;
        }
    }
    // Blanks and dots at the ends are lost or have a meaning on one system or another.
    const auto first = clean.find_first_not_of(" .");
    if (first == std::string::npos) {
        return std::string(no_name);
    }
    clean = clean.substr(first, clean.find_last_not_of(" .") - first + 1);
    return shortened(clean, name_bytes_max);
}

std::string attachment_disposition(std::string_view name) {
    const std::string clean = clean_name(name);
    std::string simple;
    for (std::size_t at = 0; at < clean.size();) {
        const std::size_t bytes = std::max<std::size_t>(utf8_sequence_bytes(clean, at), 1);
        const char c = clean[at];
        // A percent sign too: some browsers would decode what stands behind it.
        simple += bytes > 1 || !is_ascii(c) || c == '"' || c == '%' ? '_' : c;
        at += bytes;
    }
    std::string value = "attachment; filename=\"" + simple + '"';
    if (simple == clean) {
        return value;
    }
    value += "; filename*=UTF-8''";
    for (const char c : clean) {
        if (is_attribute_character(c)) {
            value += c;
            continue;
        }
        constexpr std::string_view digits = "0123456789ABCDEF";
        const auto byte = static_cast<unsigned char>(c);
        value += '%';
        value += digits[byte / 16U];
        value += digits[byte % 16U];
    }
    return value;
}

std::string harmless_type(std::string_view type) {
    const std::string text = lowered(type);
    const std::size_t slash = text.find('/');
    const std::string_view top = std::string_view(text).substr(0, slash);
    const std::string_view sub =
        slash == std::string::npos ? std::string_view() : std::string_view(text).substr(slash + 1);
    if (sub.empty() || top.size() > type_bytes_max || sub.size() > type_bytes_max ||
        !std::ranges::all_of(sub, is_type_character)) {
        return std::string(unknown_type);
    }
    // message/rfc822 and multipart/related are MHTML to some.
    const bool is_known =
        top == "application" || top == "audio" || top == "font" || top == "image" ||
        top == "model" || top == "video" ||
        (top == "text" && std::ranges::find(plain_texts, sub) != plain_texts.end());
    return is_run(sub) || !is_known ? std::string(unknown_type) : text;
}

} // namespace ebbgate::filelink
