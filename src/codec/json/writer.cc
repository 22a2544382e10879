#include "codec/json/writer.h"

#include "ebbgate/base/assert.h"

#include "base/text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace ebbgate::json {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

// Bytes that may stand in a JSON string as they are.
constexpr std::array<bool, 256> make_plain() {
    std::array<bool, 256> plain{};
    for (std::size_t byte = 0x20; byte < 0x7f; ++byte) {
        plain[byte] = true;
    }
    plain['"'] = false;
    plain['\\'] = false;
    return plain;
}

constexpr std::array<bool, 256> plain = make_plain();

void append_unicode_escape(std::string& out, unsigned code) {
    const char escape[] = {'\\',
                           'u',
                           hex_digits[(code >> 12) & 15],
                           hex_digits[(code >> 8) & 15],
                           hex_digits[(code >> 4) & 15],
                           hex_digits[code & 15]};
    out.append(escape, sizeof escape);
}

void append_special(std::string& out, unsigned char byte) {
    switch (byte) {
    case '"':
        out += "\\\"";
        return;
    case '\\':
        out += "\\\\";
        return;
    case '\n':
        out += "\\n";
        return;
    case '\r':
        out += "\\r";
        return;
    case '\t':
        out += "\\t";
        return;
    default:
        append_unicode_escape(out, byte);
    }
}

} // namespace

void append_escaped(std::string& out, byte_view text) {
    std::size_t done = 0;
    std::size_t at = 0;
    while (at < text.size()) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if (plain[byte]) {
            ++at;
            continue;
        }
        const std::size_t bytes = byte < 0x80 ? 1 : utf8_sequence_bytes(text, at);
        // C1 controls (U+0080 to U+009F) drive some terminals; they are escaped like C0.
        const bool c1_control =
            bytes == 2 && byte == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0;
        if (bytes > 1 && !c1_control) {
            at += bytes;
            continue;
        }
        out.append(text, done, at - done);
        if (c1_control) {
            append_unicode_escape(out, static_cast<unsigned char>(text[at + 1]));
        } else if (bytes == 0) {
            out += "\xef\xbf\xbd"; // U+FFFD
        } else {
            append_special(out, byte);
        }
        at += bytes == 0 ? 1 : bytes;
        done = at;
    }
    out.append(text, done, at - done);
}

void writer::separate() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    const std::uint64_t bit = std::uint64_t{1} << depth_;
    if ((has_items_ & bit) != 0) {
        out_ += ',';
    }
    has_items_ |= bit;
}

writer& writer::begin_object() {
    separate();
    EBBGATE_ASSERT(depth_ < nesting_max);
    ++depth_;
    has_items_ &= ~(std::uint64_t{1} << depth_);
    out_ += '{';
    return *this;
}

writer& writer::end_object() {
    EBBGATE_ASSERT(depth_ > 0);
    --depth_;
    out_ += '}';
    return *this;
}

writer& writer::begin_array() {
    separate();
    EBBGATE_ASSERT(depth_ < nesting_max);
    ++depth_;
    has_items_ &= ~(std::uint64_t{1} << depth_);
    out_ += '[';
    return *this;
}

writer& writer::end_array() {
    EBBGATE_ASSERT(depth_ > 0);
    --depth_;
    out_ += ']';
    return *this;
}

writer& writer::key(std::string_view literal) {
    separate();
    out_ += '"';
    out_ += literal;
    out_ += "\":";
    after_key_ = true;
    return *this;
}

writer& writer::key_escaped(byte_view text) {
    separate();
    out_ += '"';
    append_escaped(out_, text);
    out_ += "\":";
    after_key_ = true;
    return *this;
}

writer& writer::string(byte_view text) {
    separate();
    out_ += '"';
    append_escaped(out_, text);
    out_ += '"';
    return *this;
}

writer& writer::boolean(bool value) {
    separate();
    out_ += value ? "true" : "false";
    return *this;
}

writer& writer::null() {
    separate();
    out_ += "null";
    return *this;
}

writer& writer::real(double value) {
    if (!std::isfinite(value)) {
        return null();
    }
    separate();
    char digits[32];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    EBBGATE_ASSERT(error == std::errc{});
    out_.append(digits, static_cast<std::size_t>(end - digits));
    return *this;
}

writer& writer::begin_quoted() {
    separate();
    out_ += '"';
    return *this;
}

writer& writer::end_quoted() {
    out_ += '"';
    return *this;
}

writer& writer::raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
}

writer& writer::signed_number(std::int64_t value) {
    separate();
    char digits[24];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    EBBGATE_ASSERT(error == std::errc{});
    out_.append(digits, static_cast<std::size_t>(end - digits));
    return *this;
}

writer& writer::unsigned_number(std::uint64_t value) {
    separate();
    char digits[24];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    EBBGATE_ASSERT(error == std::errc{});
    out_.append(digits, static_cast<std::size_t>(end - digits));
    return *this;
}

} // namespace ebbgate::json
