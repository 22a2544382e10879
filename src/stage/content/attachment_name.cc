#include "stage/content/attachment_name.h"

#include "stage/content/part_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ebbgate::content {

namespace {

constexpr std::size_t extension_bytes_kept = 64; // Longer ones are on no list.
constexpr std::size_t readings_max = 64;

constexpr char32_t invalid = 0xffff'ffff;

struct character {
    char32_t code = invalid;
    std::size_t bytes = 1;
};

constexpr std::size_t sequence_bytes(unsigned char lead) noexcept {
    return lead < 0x80   ? 1
           : lead < 0xc2 ? 0
           : lead < 0xe0 ? 2
           : lead < 0xf0 ? 3
           : lead < 0xf5 ? 4
                         : 0;
}

// The well-formed character at the start of `text`, or one invalid byte.
character first_character(byte_view text) noexcept {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t bytes = sequence_bytes(lead);
    if (bytes <= 1 || bytes > text.size()) {
        return {bytes == 1 ? lead : invalid, 1};
    }
    constexpr std::array<unsigned, 5> lead_bits = {0, 0, 0x1f, 0x0f, 0x07};
    constexpr std::array<char32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x1'0000};
    char32_t code = lead & lead_bits[bytes];
    for (const char c : text.substr(1, bytes - 1)) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xc0U) != 0x80) {
            return {};
        }
        code = code << 6 | (byte & 0x3fU);
    }
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < smallest[bytes] || code > 0x10'ffff || surrogate ? character{}
                                                                   : character{code, bytes};
}

struct code_range {
    char32_t first;
    char32_t last;
};

bool is_in(char32_t code, std::span<const code_range> ranges) noexcept {
    return std::any_of(ranges.begin(), ranges.end(), [code](const code_range& one) {
        return code >= one.first && code <= one.last;
    });
}

// Nothing is seen of them: controls, soft hyphen, directions, zero widths, variation selectors.
constexpr code_range dropped[] = {
    {0x01, 0x1f},
    {0x7f, 0x84},
    {0x86, 0x9f},
    {0xad, 0xad},
    {0x034f, 0x034f},
    {0x061c, 0x061c},
    {0x180b, 0x180f},
    {0x200b, 0x200f},
    {0x202a, 0x202e},
    {0x2060, 0x206f},
    {0xfe00, 0xfe0f},
    {0xfeff, 0xfeff},
    {0xfff0, 0xfffb},
    {0xe0000, 0xe0fff},
};
constexpr code_range blanks[] = {
    {0x85, 0x85},
    {0xa0, 0xa0},
    {0x115f, 0x1160},
    {0x1680, 0x1680},
    {0x17b4, 0x17b5},
    {0x2000, 0x200a},
    {0x2028, 0x2029},
    {0x202f, 0x202f},
    {0x205f, 0x205f},
    {0x2800, 0x2800},
    {0x3000, 0x3000},
    {0x3164, 0x3164},
    {0xffa0, 0xffa0},
};
constexpr std::pair<char32_t, char> lookalikes[] = {
    {0x06d4, '.'},  {0x0701, '.'},  {0x0702, '.'},  {0x2024, '.'}, {0x3002, '.'},
    {0xfe52, '.'},  {0xff61, '.'},  {0x2044, '/'},  {0x2215, '/'}, {0x29f8, '/'},
    {0x29f5, '\\'}, {0x29f9, '\\'}, {0xfe68, '\\'}, {0x2236, ':'}, {0xa789, ':'},
    {0xfe13, ':'},  {0xfe55, ':'},  {0xfe6a, '%'},  {0x212a, 'k'}, {0x017f, 's'},
};

// ASCII for what is seen as ASCII, lower case; NUL stays, for it ends a name in some programs.
struct folded_name {
    std::string text;
    std::size_t characters = 0;
};

folded_name fold(byte_view name) {
    folded_name out;
    out.text.reserve(name.size());
    while (!name.empty()) {
        const character next = first_character(name);
        const byte_view bytes = name.substr(0, next.bytes);
        name.remove_prefix(next.bytes);
        ++out.characters;
        char32_t code = next.code;
        if (code >= 0xff01 && code <= 0xff5e) {
            code = code - 0xff01 + '!'; // Full-width ASCII, which some programs map to ASCII.
        }
        const auto* const like =
            std::find_if(std::begin(lookalikes), std::end(lookalikes), [code](const auto& one) {
                return one.first == code;
            });
        if (like != std::end(lookalikes)) {
            out.text += like->second;
        } else if (is_in(code, dropped)) {
            continue;
        } else if (is_in(code, blanks)) {
            out.text += ' ';
        } else if (code < 0x80) {
            const auto c = static_cast<char>(code);
            out.text += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        } else {
            out.text += bytes;
        }
    }
    return out;
}

int hex_value(char c) noexcept {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Of folded text. Returns whether anything was decoded.
bool percent_decode(std::string& text) {
    std::string out;
    out.reserve(text.size());
    bool decoded = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '%' && text.size() - at > 2) {
            const int high = hex_value(text[at + 1]);
            const int low = hex_value(text[at + 2]);
            if (high >= 0 && low >= 0) {
                out += static_cast<char>(high << 4 | low);
                at += 2;
                decoded = true;
                continue;
            }
        }
        out += text[at];
    }
    text = std::move(out);
    return decoded;
}

byte_view without_ignored_end(byte_view text) noexcept {
    while (!text.empty() && (text.back() == '.' || text.back() == ' ' || text.back() == '/' ||
                             text.back() == '\\' || text.back() == '\0')) {
        text.remove_suffix(1);
    }
    return text;
}

std::optional<byte_view> last_extension(byte_view text) noexcept {
    text = without_ignored_end(text);
    const std::size_t dot = text.rfind('.');
    if (dot == byte_view::npos) {
        return std::nullopt;
    }
    return text.substr(dot + 1);
}

// `text` is folded and has no path.
void add_component(byte_view text, extension_readings& out) {
    // "evil.exe:.pdf" and "evil.exe::$data" are streams of evil.exe; "12:30.pdf" is a name.
    constexpr byte_view data_stream = ":$data";
    if (text.ends_with(data_stream)) {
        text.remove_suffix(data_stream.size());
        while (text.ends_with(':')) {
            text.remove_suffix(1);
        }
    }
    for (std::size_t colon = text.find(':'); colon != byte_view::npos; colon = text.find(':')) {
        if (const auto found = last_extension(text.substr(0, colon))) {
            out.add(*found);
        }
        text.remove_prefix(colon + 1);
    }
    out.add(last_extension(text).value_or(byte_view()));
}

void add_view(byte_view text, extension_readings& out) {
    text = without_ignored_end(text);
    const std::size_t slash = text.find_last_of("/\\");
    add_component(slash == byte_view::npos ? text : text.substr(slash + 1), out);
}

void add_folded(const std::string& text, extension_readings& out) {
    const byte_view kept = without_ignored_end(text);
    const std::size_t nul = kept.find('\0');
    if (nul != byte_view::npos) {
        add_view(kept.substr(0, nul), out);
        std::string joined(kept);
        std::erase(joined, '\0');
        add_view(joined, out);
    }
    add_view(kept, out);
}

bool is_blank_name(byte_view name) {
    return without_ignored_end(fold(name).text).empty();
}

// Nothing that names the part: its type has to.
void judge_nameless(const policy::attachment_settings& settings,
                    const part_description& part,
                    name_judgement& into) {
    if (!is_file_without_name(part.type, part.attachment)) {
        return;
    }
    into.is_attachment = true;
    into.name = fmt::format("unnamed {}", part.type.substr(0, 80));
    const auto usual = usual_extensions(part.type);
    for (const std::string_view one : usual) {
        if (settings.allows(one)) {
            into.extensions.emplace_back(one);
            return;
        }
    }
    if (settings.allow) {
        into.refusal = {usual.empty() ? attachment_fault::no_name : attachment_fault::extension,
                        into.name,
                        usual.empty() ? "no name, and a type that says nothing"
                                      : fmt::format("no name; the type's \"{}\"", usual.front())};
    }
}

} // namespace

void extension_readings::add(byte_view extension) {
    extension = extension.substr(0, extension_bytes_kept);
    if (std::find(extensions.begin(), extensions.end(), extension) != extensions.end()) {
        return;
    }
    if (extensions.size() >= readings_max) {
        ambiguous = true;
        return;
    }
    extensions.emplace_back(extension);
}

extension_readings extensions_of(byte_view name) {
    extension_readings out;
    if (name.size() > name_bytes_max) {
        out.ambiguous = true;
        return out;
    }
    folded_name folded = fold(name);
    out.ambiguous = folded.characters > name_characters_max;
    add_folded(folded.text, out);
    for (int round = 0; percent_decode(folded.text); ++round) {
        if (round == percent_rounds_max) {
            out.ambiguous = true;
            break;
        }
        folded = fold(folded.text);
        add_folded(folded.text, out);
    }
    return out;
}

name_judgement judge_names(const policy::attachment_settings& settings,
                           const part_description& part) {
    name_judgement judged;
    const auto refuse = [&judged](attachment_fault fault, byte_view name, std::string detail) {
        if (!judged.refusal) {
            judged.refusal = {
                fault, std::string(name.substr(0, name_bytes_max)), std::move(detail)};
        }
    };
    if (const auto fault = ambiguous_type(part.type);
        !fault.empty() && settings.ambiguous == policy::strictness::refuse) {
        judged.is_attachment = true;
        judged.name = part.names.empty() ? fmt::format("unnamed {}", part.type.substr(0, 80))
                                         : part.names.front().substr(0, name_bytes_max);
        refuse(attachment_fault::ambiguous, judged.name, std::string(fault));
        return judged;
    }
    extension_readings all;
    for (const std::string& name : part.names.first(std::min(part.names.size(), names_max))) {
        if (is_blank_name(name.substr(0, name_bytes_max))) {
            continue;
        }
        if (judged.name.empty()) {
            judged.name = name.substr(0, name_bytes_max);
        }
        const extension_readings readings = extensions_of(name);
        for (const std::string& extension : readings.extensions) {
            all.add(extension);
            if (!settings.allows(extension) && !is_walked(part.type, extension)) {
                refuse(attachment_fault::extension,
                       name,
                       extension.empty() ? "no extension"
                                         : fmt::format("extension \"{}\"", extension));
            }
        }
        if (readings.ambiguous && settings.ambiguous == policy::strictness::refuse) {
            refuse(attachment_fault::ambiguous, name, "a name without a clear end");
        }
    }
    if (judged.name.empty()) {
        judge_nameless(settings, part, judged);
    } else {
        judged.is_attachment = true;
        judged.extensions = std::move(all.extensions);
    }
    if (part.names.size() > names_max && settings.ambiguous == policy::strictness::refuse) {
        judged.is_attachment = true;
        refuse(attachment_fault::ambiguous, judged.name, "too many names");
    }
    if (const std::string_view implied = implied_extension(part.type); !implied.empty()) {
        // Programs that go by the type run it, whatever it is called.
        judged.is_attachment = true;
        if (!settings.allows(implied)) {
            refuse(attachment_fault::extension,
                   judged.name,
                   fmt::format("its type is that of \"{}\"", implied));
        }
    }
    return judged;
}

} // namespace ebbgate::content
