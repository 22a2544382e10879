#include "codec/mail/display_name.h"

#include "codec/smtp/text.h"

#include <algorithm>
#include <optional>

namespace ebbgate::mail {
namespace {

std::optional<unsigned> base64_digit(char c) noexcept {
    constexpr byte_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t value = digits.find(c);
    if (value == byte_view::npos) {
        return std::nullopt;
    }
    return static_cast<unsigned>(value);
}

void append_q(std::string& out, byte_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '=' && i + 2 < text.size()) {
            const auto high = hex_digit(text[i + 1]);
            const auto low = hex_digit(text[i + 2]);
            if (high && low) {
                out += static_cast<char>(*high << 4 | *low);
                i += 2;
                continue;
            }
        }
        out += text[i] == '_' ? ' ' : text[i];
    }
}

// Not the strict decoder that data deserves: readers skip what is no digit, so this one does.
void append_b(std::string& out, byte_view text) {
    unsigned bits = 0;
    unsigned bit_count = 0;
    for (const char c : text) {
        const auto digit = base64_digit(c);
        if (!digit) {
            continue;
        }
        bits = bits << 6 | *digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out += static_cast<char>(bits >> bit_count & 0xff);
        }
    }
}

// ISO-2022 writes a character with two bytes that look like ASCII: an '@' there is none.
void append_without_double_bytes(std::string& out, byte_view text) {
    while (true) {
        const std::size_t begin = text.find("\x1b$");
        out.append(text.substr(0, begin));
        if (begin == byte_view::npos) {
            return;
        }
        const std::size_t end = text.find("\x1b(", begin);
        if (end == byte_view::npos) {
            return;
        }
        text.remove_prefix(std::min(end + 3, text.size()));
    }
}

void append_decoded(std::string& out, const encoded_word& word) {
    const std::string bytes = bytes_of(word);
    if (smtp::starts_ignoring_case(word.charset, "iso-2022-")) {
        append_without_double_bytes(out, bytes);
        return;
    }
    // Here an '@' is not the byte '@'. No mailer uses them; a NUL says so to our caller. Decoders
    // know each by many names ("csUTF7", "x-unicode-2-0-utf-7", "utf7").
    std::string charset;
    for (const char c : word.charset) {
        if (c != '-' && c != '_') {
            charset += lower(c);
        }
    }
    for (const byte_view part : {"utf7",
                                 "utf16",
                                 "utf32",
                                 "ucs",
                                 "unicode",
                                 "ebcdic",
                                 "ibm037",
                                 "cp037",
                                 "ibm500",
                                 "cp500",
                                 "ibm1026",
                                 "cp1026"}) {
        if (charset.find(part) != std::string::npos) {
            out += '\0';
        }
    }
    out += bytes;
}

// What an IDN-aware reader takes for '@' and '.': U+FF20, U+FE6B; U+FF0E, U+3002, U+FF61, U+2024,
// U+FE52.
char narrow_form(byte_view text) noexcept {
    if (text.starts_with("\xef\xbc\xa0") || text.starts_with("\xef\xb9\xab")) {
        return '@';
    }
    if (text.starts_with("\xef\xbc\x8e") || text.starts_with("\xe3\x80\x82") ||
        text.starts_with("\xef\xbd\xa1") || text.starts_with("\xe2\x80\xa4") ||
        text.starts_with("\xef\xb9\x92")) {
        return '.';
    }
    return '\0';
}

// Embeddings, overrides and isolates (U+202A to U+202E, U+2066 to U+2069): an address may be
// written backwards between them.
bool turns_direction(byte_view text) noexcept {
    if (text.size() < 3 || text[0] != '\xe2') {
        return false;
    }
    const auto last = static_cast<unsigned char>(text[2]);
    return (text[1] == '\x80' && last >= 0xaa && last <= 0xae) ||
           (text[1] == '\x81' && last >= 0xa6 && last <= 0xa9);
}

// As a reader sees it: quoted pairs and wide forms resolved.
std::string resolved(byte_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        std::size_t used = 1;
        if (const char narrow = narrow_form(text); narrow != '\0') {
            out += narrow;
            used = 3;
        } else if (turns_direction(text)) {
            out += '\0';
            used = 3;
        } else if (text.front() != '\\') {
            out += text.front();
        }
        text.remove_prefix(used);
    }
    return out;
}

bool is_delimiter(char c) noexcept {
    return is_control(c) || byte_view(" \"'`()<>[]{},;:|?").find(c) != byte_view::npos;
}

// "x.y": what stands behind an '@' and can be a domain.
bool looks_like_domain(byte_view text) noexcept {
    const std::size_t dot = text.find('.');
    return dot != byte_view::npos && dot != 0 && dot + 1 < text.size();
}

bool shows_other_address(byte_view text, byte_view own) {
    std::string own_lower(own);
    std::transform(own_lower.begin(), own_lower.end(), own_lower.begin(), lower);
    std::size_t word_begin = 0;
    while (word_begin < text.size()) {
        if (is_delimiter(text[word_begin])) {
            ++word_begin;
            continue;
        }
        std::size_t word_end = word_begin;
        while (word_end < text.size() && !is_delimiter(text[word_end])) {
            ++word_end;
        }
        byte_view word = text.substr(word_begin, word_end - word_begin);
        word_begin = word_end;
        while (word.ends_with('.')) {
            word.remove_suffix(1);
        }
        const std::size_t at_sign = word.rfind('@');
        if (at_sign != byte_view::npos && word.find('@') != 0 &&
            looks_like_domain(word.substr(at_sign + 1)) && !equals_ignoring_case(word, own_lower)) {
            return true;
        }
    }
    return false;
}

bool misleads(byte_view shown, byte_view own) {
    // Controls end the name for some readers, and brackets are taken for the address by others.
    const bool breaks_out = std::any_of(shown.begin(), shown.end(), [](char c) {
        return (is_control(c) && c != '\t') || c == '<' || c == '>';
    });
    return breaks_out || shows_other_address(shown, own);
}

} // namespace

std::optional<encoded_word> take_encoded_word(byte_view text) noexcept {
    const std::size_t charset_end = text.find('?', 2);
    if (charset_end == byte_view::npos || charset_end + 2 >= text.size() ||
        text[charset_end + 2] != '?') {
        return std::nullopt;
    }
    encoded_word word;
    word.charset = text.substr(2, charset_end - 2);
    word.encoding = lower(text[charset_end + 1]);
    const std::size_t begin = charset_end + 3;
    const std::size_t end = text.find("?=", begin);
    if (end == byte_view::npos || (word.encoding != 'b' && word.encoding != 'q')) {
        return std::nullopt;
    }
    word.text = text.substr(begin, end - begin);
    word.bytes = end + 2;
    return word;
}

std::string bytes_of(const encoded_word& word) {
    std::string bytes;
    if (word.encoding == 'b') {
        append_b(bytes, word.text);
    } else {
        append_q(bytes, word.text);
    }
    return bytes;
}

std::string decode_encoded_words(byte_view text) {
    std::string out;
    bool after_word = false;
    // Words that never end must not each be searched to the end of the text.
    const std::size_t last_end = text.rfind("?=");
    const std::size_t candidates = last_end == byte_view::npos ? 0 : last_end + 2;
    const byte_view rest = text.substr(candidates);
    text = text.substr(0, candidates);
    while (!text.empty()) {
        const std::size_t begin = text.find("=?");
        const byte_view between = text.substr(0, begin);
        // RFC 2047 6.2: blanks between two encoded words are not shown.
        if (begin == byte_view::npos || !after_word ||
            !smtp::without_leading_blanks(between).empty()) {
            out.append(between);
        }
        if (begin == byte_view::npos) {
            break;
        }
        text.remove_prefix(begin);
        const auto word = take_encoded_word(text);
        after_word = word.has_value();
        if (word) {
            append_decoded(out, *word);
        } else {
            out.append("=?");
        }
        text.remove_prefix(word ? word->bytes : 2);
    }
    out.append(rest);
    return out;
}

bool hides_address(byte_view text, byte_view own) {
    const bool plain = std::all_of(text.begin(), text.end(), is_ascii) &&
                       text.find_first_of("@<>=") == byte_view::npos;
    if (plain) {
        return false;
    }
    // Not every reader decodes, above all where the encoded word is malformed.
    return misleads(resolved(text), own) || (text.find("=?") != byte_view::npos &&
                                             misleads(resolved(decode_encoded_words(text)), own));
}

} // namespace ebbgate::mail
