#include "ebbgate/mime/content_fields.h"

#include "ebbgate/mime/charset.h"

#include "base/text.h"
#include "codec/mail/display_name.h"
#include "codec/mime/parameters.h"

#include <algorithm>
#include <utility>

namespace ebbgate::mime {
namespace {

bool is_blank_text(byte_view text) noexcept {
    return std::all_of(text.begin(), text.end(), is_space);
}

bool is_token(byte_view text) noexcept {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return c > ' ' && c < 0x7f && !byte_view("()<>@,;:\\\"/[]?=").contains(c);
    });
}

bool contains(const std::vector<std::string>& all, byte_view one) noexcept {
    return std::ranges::find(all, one) != all.end();
}

class content_reader {
public:
    explicit content_reader(bool digest) {
        if (digest) {
            out_.type = "message";
            out_.subtype = "rfc822";
        }
    }

    content_fields run(const part_header& header);

private:
    void take_type(byte_view value);
    void take_boundaries(const structured_value& field);
    void take_disposition(byte_view value);
    void take_encoding(byte_view value);
    void take_id(byte_view value);
    void add_names_of(const structured_value& field, std::vector<std::string>& to);
    void add_name(std::string name, std::vector<std::string>& to);
    void add_plain_name(byte_view bytes, std::vector<std::string>& to);
    [[nodiscard]] std::string text_of(byte_view charset, byte_view bytes);
    [[nodiscard]] std::string words_of(byte_view text, bool& text_beside);
    void join_names();

    content_fields out_;
    std::vector<std::string> type_names_;
    std::vector<std::string> disposition_names_;
    std::vector<std::string> other_names_; // Of fields that Mozilla's programs still ask.
    bool has_encoding_ = false;
    bool has_disposition_ = false;
    bool has_id_ = false;
};

content_fields content_reader::run(const part_header& header) {
    for (const mail::header_field& field : header.fields) {
        const byte_view name = header.name(field);
        if (name.size() < 10 || !(mail::is_name(name.substr(0, 8), "content-") ||
                                  mail::is_name(name, "x-sun-data-name"))) {
            continue; // The others are the most.
        }
        const auto once = [&](bool& seen) {
            if (std::exchange(seen, true)) {
                out_.unclear.add(ambiguity::doubled_field);
            }
        };
        const std::string value = mail::unfolded(header.value(field));
        if (mail::is_name(name, "content-type")) {
            once(out_.has_type);
            take_type(value);
        } else if (mail::is_name(name, "content-transfer-encoding")) {
            once(has_encoding_);
            take_encoding(value);
        } else if (mail::is_name(name, "content-disposition")) {
            once(has_disposition_);
            take_disposition(value);
        } else if (mail::is_name(name, "content-id")) {
            once(has_id_);
            take_id(value);
        } else if (mail::is_name(name, "content-name") || mail::is_name(name, "x-sun-data-name")) {
            add_plain_name(trimmed(value), other_names_);
        }
    }
    join_names();
    return std::move(out_);
}

void content_reader::take_type(byte_view value) {
    const structured_value field = read_structured(value);
    out_.unclear.add(field.unclear);
    const byte_view head = field.head;
    const std::size_t slash = std::min(head.find('/'), head.size());
    const byte_view type = head.substr(0, slash);
    const byte_view subtype = head.substr(std::min(slash + 1, head.size()));
    const bool first = out_.types.empty();
    if (out_.types.size() < names_max) {
        out_.types.emplace_back(head);
    }
    if (!is_token(type) || !is_token(subtype)) {
        out_.unclear.add(ambiguity::malformed_field);
        if (first) {
            out_.type = "text";
            out_.subtype = "plain";
        }
    } else if (first) {
        out_.type = type;
        out_.subtype = subtype;
    }
    take_boundaries(field);
    if (out_.charset.empty()) {
        const parameter_values found = values_of(field, "charset", out_.unclear);
        const std::vector<std::string>& values = found.plain.empty() ? found.extended : found.plain;
        out_.charset = values.empty() ? std::string() : values.front();
    }
    add_names_of(field, type_names_);
}

void content_reader::take_boundaries(const structured_value& field) {
    parameter_values found = values_of(field, "boundary", out_.unclear);
    found.plain.insert(found.plain.end(), found.extended.begin(), found.extended.end());
    for (std::string& boundary : found.plain) {
        if (boundary.empty() || boundary.size() > boundary_bytes_max ||
            boundary.find_first_of(byte_view("\r\n\0", 3)) != std::string::npos) {
            out_.unclear.add(ambiguity::odd_boundary);
            continue;
        }
        if (contains(out_.boundaries, boundary)) {
            continue;
        }
        // Some take blanks at its ends away, and so find other lines.
        if (!out_.boundaries.empty() || trimmed(boundary).size() != boundary.size()) {
            out_.unclear.add(ambiguity::conflicting_boundaries);
        }
        if (out_.boundaries.size() == names_max) {
            out_.unclear.add(ambiguity::too_many_parameters);
            return;
        }
        out_.boundaries.push_back(std::move(boundary));
    }
}

void content_reader::take_disposition(byte_view value) {
    const structured_value field = read_structured(value);
    out_.unclear.add(field.unclear);
    if (!is_token(field.head)) {
        out_.unclear.add(ambiguity::malformed_field);
    }
    if (out_.disposition.empty()) {
        out_.disposition = field.head;
    }
    add_names_of(field, disposition_names_);
}

void content_reader::take_encoding(byte_view value) {
    const structured_value field = read_structured(value);
    out_.unclear.add(field.unclear);
    if (!field.parameters.empty()) {
        out_.unclear.add(ambiguity::malformed_field);
    }
    if (!out_.encoding_name.empty()) {
        return;
    }
    out_.encoding_name = field.head;
    const byte_view name = out_.encoding_name;
    if (name == "base64") {
        out_.encoding = transfer_encoding::base64;
    } else if (name == "quoted-printable") {
        out_.encoding = transfer_encoding::quoted_printable;
    } else if (name == "uuencode" || name == "x-uuencode" || name == "x-uue" || name == "uue") {
        out_.encoding = transfer_encoding::uuencode;
    } else if (name != "7bit" && name != "8bit" && name != "binary") {
        out_.unclear.add(ambiguity::unknown_encoding);
    }
}

void content_reader::take_id(byte_view value) {
    if (out_.content_id.empty()) {
        out_.content_id = trimmed(value);
    }
}

// Each parameter in each field: programs look for both in both.
void content_reader::add_names_of(const structured_value& field, std::vector<std::string>& to) {
    for (const byte_view name : {"filename", "name"}) {
        const parameter_values found = values_of(field, name, out_.unclear);
        std::vector<std::string> plain;
        for (const std::string& value : found.plain) {
            add_plain_name(value, plain);
        }
        const auto is_new = [&](const std::string& value) { return !contains(plain, value); };
        if (!plain.empty() && std::ranges::any_of(found.extended, is_new)) {
            out_.unclear.add(ambiguity::plain_and_extended);
        }
        for (const std::string& value : found.extended) {
            add_name(value, to);
        }
        for (std::string& value : plain) {
            add_name(std::move(value), to);
        }
    }
}

void content_reader::add_name(std::string name, std::vector<std::string>& to) {
    if (contains(to, name)) {
        return;
    }
    if (to.size() == names_max) {
        out_.unclear.add(ambiguity::too_many_parameters);
        return;
    }
    to.push_back(std::move(name));
}

std::string content_reader::text_of(byte_view charset, byte_view bytes) {
    decoded_text decoded = to_utf8(charset, bytes);
    if (!decoded.charset_known) {
        out_.unclear.add(ambiguity::unknown_charset);
    }
    if (!decoded.valid) {
        out_.unclear.add(ambiguity::invalid_text);
    }
    return std::move(decoded.text);
}

void content_reader::add_plain_name(byte_view bytes, std::vector<std::string>& to) {
    if (bytes.find("=?") == byte_view::npos) {
        add_name(text_of("utf-8", bytes), to);
        return;
    }
    bool text_beside = false;
    add_name(words_of(bytes, text_beside), to);
    if (text_beside) {
        out_.unclear.add(ambiguity::broken_encoded_word);
        add_name(text_of("utf-8", bytes), to);
    }
}

// Decoded; blanks between two words are not shown, and a character may be cut by the border of two
// words with one charset.
std::string content_reader::words_of(byte_view text, bool& text_beside) {
    std::string out;
    std::string charset;
    std::string bytes;
    const auto end_words = [&] {
        if (!bytes.empty()) {
            out += text_of(charset, std::exchange(bytes, {}));
        }
        charset.clear();
    };
    // Words that never end must not each be searched to the end of the text.
    const std::size_t last_end = text.rfind("?=");
    const std::size_t words_end = last_end == byte_view::npos ? 0 : last_end + 2;
    byte_view rest = text.substr(0, words_end);
    while (!rest.empty()) {
        const std::size_t begin = rest.find("=?");
        const byte_view between = rest.substr(0, begin);
        if (!is_blank_text(between)) {
            text_beside = true;
            end_words();
            out += text_of("utf-8", between);
        }
        if (begin == byte_view::npos) {
            break;
        }
        rest.remove_prefix(begin);
        const auto word = mail::take_encoded_word(rest);
        if (!word) {
            text_beside = true;
            end_words();
            out += "=?";
            rest.remove_prefix(2);
            continue;
        }
        if (std::string of_word = lowered(word->charset); of_word != charset) {
            end_words();
            charset = std::move(of_word);
        }
        bytes += mail::bytes_of(*word);
        rest.remove_prefix(word->bytes);
    }
    end_words();
    if (const byte_view behind = text.substr(words_end); !is_blank_text(behind)) {
        text_beside = true;
        out += text_of("utf-8", behind);
    }
    return out;
}

void content_reader::join_names() {
    const bool differ =
        !disposition_names_.empty() && std::ranges::any_of(type_names_, [&](const auto& name) {
            return !contains(disposition_names_, name);
        });
    if (differ) {
        out_.unclear.add(ambiguity::names_differ);
    }
    for (std::string& name : disposition_names_) {
        add_name(std::move(name), out_.names);
    }
    for (std::string& name : type_names_) {
        add_name(std::move(name), out_.names);
    }
    for (std::string& name : other_names_) {
        add_name(std::move(name), out_.names);
    }
}

} // namespace

byte_view part_header::value(const mail::header_field& field) const noexcept {
    byte_view value = text.substr(field.value_at, field.at + field.bytes - field.value_at);
    if (value.ends_with('\n')) {
        value.remove_suffix(value.ends_with("\r\n") ? 2 : 1);
    }
    return value;
}

content_fields read_content(const part_header& header, bool digest) {
    return content_reader(digest).run(header);
}

} // namespace ebbgate::mime
