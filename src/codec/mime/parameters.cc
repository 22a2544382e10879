#include "codec/mime/parameters.h"

#include "ebbgate/mime/charset.h"
#include "ebbgate/mime/content_fields.h"

#include "codec/smtp/text.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

namespace ebbgate::mime {
namespace {

// The rest of a malformed parameter may be the rest of the field, for each of its parameters: what
// is kept of it has a limit, else memory would grow with the square of the header.
constexpr std::size_t malformed_bytes_max = 1 * kib;

// "filename *", "\"name\"": no parameter by the grammar, but some programs take it for one that
// matters, and its value is not kept.
bool looks_like_one_that_matters(byte_view name) noexcept {
    return name.contains("name") || name.contains("boundary");
}

bool is_plain(byte_view name) noexcept {
    return std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || byte_view("-_.*").contains(c);
    });
}

class reader {
public:
    explicit reader(byte_view text) noexcept : text_(text) {}

    structured_value run();

private:
    [[nodiscard]] bool at_end() const noexcept { return at_ == text_.size(); }

    [[nodiscard]] bool looking_at(char c) const noexcept { return !at_end() && text_[at_] == c; }

    void skip_blanks_and_comments() noexcept;
    [[nodiscard]] byte_view take_until(byte_view ends) noexcept;
    [[nodiscard]] byte_view rest_of_parameter() const noexcept;
    [[nodiscard]] byte_view rest_with_quotes() const noexcept;
    [[nodiscard]] std::string kept_of(byte_view reading);
    void add_reading_with_quotes(byte_view rest, byte_view usual, parameter& into);
    void take_head();
    void take_parameter();
    void take_quoted(parameter& into);
    void take_unquoted(parameter& into);

    byte_view text_;
    std::size_t at_ = 0;
    structured_value out_;
};

structured_value reader::run() {
    take_head();
    while (true) {
        skip_blanks_and_comments();
        if (at_end()) {
            return std::move(out_);
        }
        if (looking_at(';')) {
            ++at_;
            continue;
        }
        if (out_.parameters.size() == parameters_max) {
            out_.unclear.add(ambiguity::too_many_parameters);
            return std::move(out_);
        }
        take_parameter();
    }
}

void reader::skip_blanks_and_comments() noexcept {
    std::size_t depth = 0;
    for (; !at_end(); ++at_) {
        const char c = text_[at_];
        if (c == '(') {
            ++depth;
        } else if (depth > 0 && c == ')') {
            --depth;
        } else if (depth > 0 && c == '\\' && at_ + 1 < text_.size()) {
            ++at_;
        } else if (depth == 0 && !is_space(c)) {
            return;
        }
    }
    if (depth > 0) {
        out_.unclear.add(ambiguity::malformed_field); // It hid all that follows.
    }
}

byte_view reader::take_until(byte_view ends) noexcept {
    const std::size_t begin = at_;
    at_ = std::min(text_.find_first_of(ends, at_), text_.size());
    return text_.substr(begin, at_ - begin);
}

byte_view reader::rest_of_parameter() const noexcept {
    const byte_view rest = text_.substr(at_);
    return rest.substr(0, rest.find(';'));
}

// A ';' between two '"' does not end it, wherever they stand. As much as may be kept, and one more.
byte_view reader::rest_with_quotes() const noexcept {
    const byte_view rest = text_.substr(at_, malformed_bytes_max + 1);
    bool quoted = false;
    std::size_t end = 0;
    for (; end < rest.size() && (quoted || rest[end] != ';'); ++end) {
        if (rest.substr(end).starts_with("\\\"")) {
            ++end;
        } else if (rest[end] == '"') {
            quoted = !quoted;
        }
    }
    return rest.substr(0, end);
}

std::string reader::kept_of(byte_view reading) {
    if (reading.size() > malformed_bytes_max) {
        out_.unclear.add(ambiguity::too_many_parameters); // What is cut off may be ".exe".
    }
    return std::string(reading.substr(0, malformed_bytes_max));
}

// Python's email package takes rest_with_quotes() for the value, where `usual` ends at the first
// ';': a".pdf;b".exe
void reader::add_reading_with_quotes(byte_view rest, byte_view usual, parameter& into) {
    if (rest.contains(';') || (rest.size() > malformed_bytes_max && usual.contains('"'))) {
        out_.unclear.add(ambiguity::malformed_parameter);
        into.others.push_back(kept_of(trimmed(rest)));
    }
}

void reader::take_head() {
    skip_blanks_and_comments();
    out_.head = lowered(take_until("; \t\r\n("));
    skip_blanks_and_comments();
    // "text / plain", with blanks or comments between, is by the grammar.
    while (!at_end() && (looking_at('/') || out_.head.ends_with('/'))) {
        const byte_view more = take_until("; \t\r\n(");
        if (more.empty()) {
            break;
        }
        out_.head += lowered(more);
        skip_blanks_and_comments();
    }
    if (!at_end() && !looking_at(';')) {
        out_.unclear.add(ambiguity::malformed_field);
    }
}

void reader::take_parameter() {
    parameter taken;
    taken.name = lowered(take_until("=; \t\r\n("));
    skip_blanks_and_comments();
    const bool matters = looks_like_one_that_matters(taken.name);
    const bool ends = at_end() || looking_at(';') || looking_at('=');
    if (matters && !(is_plain(taken.name) && ends)) {
        out_.unclear.add(ambiguity::malformed_field);
    }
    if (taken.name.empty() || !looking_at('=')) {
        out_.unclear.add(ambiguity::malformed_parameter);
        if (looking_at('=')) {
            ++at_; // Else we would stay here.
        }
        return;
    }
    ++at_;
    const byte_view whole = trimmed(rest_of_parameter());
    skip_blanks_and_comments();
    if (looking_at('"')) {
        take_quoted(taken);
    } else {
        take_unquoted(taken);
        // A reader without comments: the part of the comment's text that a ';' ended.
        if (whole != taken.value && !whole.empty()) {
            taken.others.push_back(kept_of(whole));
        }
    }
    out_.parameters.push_back(std::move(taken));
}

void reader::take_quoted(parameter& into) {
    const byte_view usual = rest_of_parameter();
    const byte_view with_quotes = rest_with_quotes();
    std::string kept; // With the backslashes that quote nothing: "C:\x".
    bool ended = false;
    for (++at_; !at_end() && !ended; ++at_) {
        const char c = text_[at_];
        if (c == '"') {
            ended = true;
        } else if (c == '\\' && at_ + 1 < text_.size()) {
            ++at_;
            const char quoted = text_[at_];
            if (quoted != '"' && quoted != '\\') {
                kept += c;
            }
            into.value += quoted;
            kept += quoted;
        } else {
            into.value += c;
            kept += c;
        }
    }
    if (kept != into.value) {
        into.others.push_back(std::move(kept));
    }
    if (!ended) {
        out_.unclear.add(ambiguity::malformed_parameter);
        into.others.emplace_back(into.value.substr(0, into.value.find(';')));
    }
    const byte_view behind = trimmed(rest_of_parameter());
    skip_blanks_and_comments();
    if (!at_end() && !looking_at(';')) {
        // name="a.pdf".exe, or a parameter without ';'.
        out_.unclear.add(ambiguity::malformed_parameter);
        std::string joined = into.value;
        joined += kept_of(behind);
        std::erase(joined, '"');
        into.others.push_back(std::move(joined));
        add_reading_with_quotes(with_quotes, usual, into);
        if (!text_.substr(at_, text_.find(';', at_) - at_).contains('=')) {
            at_ += rest_of_parameter().size();
        }
    }
}

void reader::take_unquoted(parameter& into) {
    const byte_view whole = trimmed(rest_of_parameter());
    const byte_view with_quotes = rest_with_quotes();
    const std::size_t begin = at_;
    into.value = take_until("; \t\r\n(");
    const bool comment_within = looking_at('(');
    skip_blanks_and_comments();
    if (at_end() || looking_at(';')) {
        if (comment_within) {
            out_.unclear.add(ambiguity::malformed_parameter); // "a(.exe)"
        }
        add_reading_with_quotes(with_quotes, whole, into);
        return;
    }
    // "my file.pdf" without quotes: most readers take all of it.
    out_.unclear.add(ambiguity::malformed_parameter);
    into.others.push_back(std::exchange(into.value, kept_of(whole)));
    add_reading_with_quotes(with_quotes, whole, into);
    const bool another = whole.substr(std::min(at_ - begin, whole.size())).contains('=');
    if (!another) {
        at_ = begin;
        at_ += rest_of_parameter().size();
    }
}

std::string percent_decoded(byte_view text, ambiguity_set& unclear) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
            const auto low = i + 2 < text.size() ? hex_digit(text[i + 2]) : std::nullopt;
            if (high && low) {
                out += static_cast<char>(*high << 4 | *low);
                i += 2;
                continue;
            }
            unclear.add(ambiguity::malformed_parameter);
        }
        out += text[i];
    }
    return out;
}

// "charset'language'": taken from the front of `text`.
byte_view take_charset(byte_view& text, ambiguity_set& unclear) {
    const std::size_t first = text.find('\'');
    const std::size_t second = first == byte_view::npos ? first : text.find('\'', first + 1);
    if (second == byte_view::npos) {
        unclear.add(ambiguity::malformed_parameter);
        return "utf-8";
    }
    const byte_view charset = text.substr(0, first);
    text.remove_prefix(second + 1);
    return charset.empty() ? "us-ascii" : charset;
}

std::string converted(byte_view charset, byte_view bytes, ambiguity_set& unclear) {
    decoded_text decoded = to_utf8(charset, bytes);
    if (!decoded.charset_known) {
        unclear.add(ambiguity::unknown_charset);
    }
    if (!decoded.valid) {
        unclear.add(ambiguity::invalid_text);
    }
    return std::move(decoded.text);
}

struct section {
    std::uint64_t number = 0;
    std::size_t order = 0; // Among the sections as they came.
    bool encoded = false;
    byte_view text;
};

// "*0*" behind the name; nothing when it is no section.
std::optional<section> section_of(byte_view suffix, byte_view value, ambiguity_set& unclear) {
    suffix.remove_prefix(1);
    section out;
    out.encoded = suffix.ends_with('*');
    out.text = value;
    if (out.encoded) {
        suffix.remove_suffix(1);
    }
    const auto number = smtp::parse_number(suffix);
    if (!number || (suffix.size() > 1 && suffix.front() == '0')) {
        unclear.add(ambiguity::broken_continuation);
    }
    if (!number) {
        return std::nullopt;
    }
    out.number = *number;
    return out;
}

std::string joined(std::vector<section> sections, ambiguity_set& unclear) {
    // Any order is allowed.
    std::ranges::sort(sections, [](const section& a, const section& b) {
        return std::pair(a.number, a.order) < std::pair(b.number, b.order);
    });
    std::string bytes;
    byte_view charset = "utf-8";
    for (std::size_t i = 0; i < sections.size(); ++i) {
        byte_view text = sections[i].text;
        if (sections[i].number != i) {
            unclear.add(ambiguity::broken_continuation);
        }
        if (i == 0 && sections[i].encoded) {
            charset = take_charset(text, unclear);
        }
        bytes += sections[i].encoded ? percent_decoded(text, unclear) : std::string(text);
    }
    return converted(charset, bytes, unclear);
}

} // namespace

structured_value read_structured(byte_view text) {
    return reader(text).run();
}

parameter_values values_of(const structured_value& field, byte_view name, ambiguity_set& unclear) {
    parameter_values out;
    std::vector<section> sections;
    std::size_t plain = 0;
    std::size_t extended = 0;
    for (const parameter& it : field.parameters) {
        if (!byte_view(it.name).starts_with(name)) {
            continue;
        }
        const byte_view suffix = byte_view(it.name).substr(name.size());
        if (suffix.empty()) {
            ++plain;
            out.plain.push_back(it.value);
            out.plain.insert(out.plain.end(), it.others.begin(), it.others.end());
        } else if (suffix == "*") {
            ++extended;
            byte_view text = it.value;
            const byte_view charset = take_charset(text, unclear);
            out.extended.push_back(converted(charset, percent_decoded(text, unclear), unclear));
        } else if (suffix.starts_with('*')) {
            if (auto found = section_of(suffix, it.value, unclear)) {
                found->order = sections.size();
                sections.push_back(*found);
            }
        }
    }
    if (!sections.empty()) {
        ++extended;
        out.extended.push_back(joined(std::move(sections), unclear));
    }
    if (plain > 1 || extended > 1) {
        unclear.add(ambiguity::doubled_parameter);
    }
    return out;
}

} // namespace ebbgate::mime
