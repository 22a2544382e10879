#include "ebbgate/mime/embedded_files.h"

#include "ebbgate/mime/charset.h"
#include "ebbgate/mime/content_fields.h"

#include "codec/smtp/text.h"

#include <algorithm>
#include <utility>

namespace ebbgate::mime {
namespace {

constexpr byte_view tnef_signature = "\x78\x9f\x3e\x22";

// "644 name" behind "begin": the name, or nothing.
byte_view name_behind_mode(byte_view text) noexcept {
    if (text.empty() || !is_blank(text.front())) {
        return {};
    }
    const auto skip_blanks = [&] { text = smtp::without_leading_blanks(text); };
    skip_blanks();
    const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
    const auto digits = static_cast<std::size_t>(
        std::find_if_not(text.begin(), text.end(), is_octal) - text.begin());
    if (digits < 3 || digits > 6 || digits == text.size() || !is_blank(text[digits])) {
        return {};
    }
    text.remove_prefix(digits);
    return smtp::without_trailing_blanks(smtp::without_leading_blanks(text));
}

} // namespace

void embedded_files::push(byte_view decoded) {
    if (first_bytes_.size() < tnef_signature.size()) {
        first_bytes_ += decoded.substr(0, tnef_signature.size() - first_bytes_.size());
        if (first_bytes_ == tnef_signature) {
            add(embedded_kind::tnef, {}, 0);
        }
    }
    while (!decoded.empty()) {
        const auto move_on = [&](std::size_t bytes) {
            at_ += bytes;
            decoded.remove_prefix(bytes);
        };
        if (!at_line_start_) {
            const std::size_t line_feed = decoded.find('\n');
            at_line_start_ = line_feed != byte_view::npos;
            move_on(at_line_start_ ? line_feed + 1 : decoded.size());
            continue;
        }
        if (held_.empty() && decoded.front() != 'b' && decoded.front() != '=') {
            at_line_start_ = false;
            continue;
        }
        const byte_view ahead = decoded.substr(0, line_bytes_max - held_.size());
        const std::size_t line_feed = ahead.find('\n');
        const byte_view piece = ahead.substr(0, line_feed);
        held_ += piece;
        move_on(piece.size());
        if (line_feed != byte_view::npos || held_.size() == line_bytes_max) {
            take_line(std::exchange(held_, {}), at_);
            at_line_start_ = false;
        }
    }
}

void embedded_files::finish() {
    take_line(std::exchange(held_, {}), at_);
    at_line_start_ = false;
}

// `at`: where it ends.
void embedded_files::take_line(byte_view line, std::uint64_t at) {
    at -= line.size();
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    constexpr byte_view uu = "begin";
    constexpr byte_view uu_base64 = "begin-base64";
    constexpr byte_view yenc = "=ybegin ";
    if (line.starts_with(uu_base64)) {
        if (const byte_view name = name_behind_mode(line.substr(uu_base64.size())); !name.empty()) {
            add(embedded_kind::uuencode_base64, name, at);
        }
    } else if (line.starts_with(uu)) {
        if (const byte_view name = name_behind_mode(line.substr(uu.size())); !name.empty()) {
            add(embedded_kind::uuencode, name, at);
        }
    } else if (line.starts_with(yenc)) {
        constexpr byte_view name_key = " name=";
        const std::size_t key = line.find(name_key); // The last one of the line, to its end.
        const bool named = key != byte_view::npos;
        add(embedded_kind::yenc, named ? line.substr(key + name_key.size()) : byte_view{}, at);
    }
}

void embedded_files::add(embedded_kind kind, byte_view name, std::uint64_t at) {
    ++count_;
    if (found_.size() < files_max) {
        found_.push_back({kind, to_utf8("utf-8", name).text, at});
    }
}

bool says_tnef(const content_fields& content) noexcept {
    if (content.is("application", "ms-tnef") || content.is("application", "vnd.ms-tnef")) {
        return true;
    }
    return std::ranges::any_of(content.names, [](byte_view name) {
        return equals_ignoring_case(name, "winmail.dat") || equals_ignoring_case(name, "win.dat");
    });
}

} // namespace ebbgate::mime
