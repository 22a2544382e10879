#include "ebbgate/mime/transfer_decoder.h"

#include "base/text.h"
#include "codec/mime/base64.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

namespace ebbgate::mime {
namespace {

constexpr std::size_t escape_blanks_max = 1 * kib; // Between "=" and its line end.
constexpr std::size_t uuencode_line_max = 256;     // Far over what a line may have.

} // namespace

void transfer_decoder::decode(byte_view encoded, std::string& out) {
    switch (encoding_) {
    case transfer_encoding::identity:
        out.append(encoded);
        break;
    case transfer_encoding::base64:
        decode_base64(encoded, out);
        break;
    case transfer_encoding::quoted_printable:
        decode_quoted(encoded, out);
        break;
    case transfer_encoding::uuencode:
        decode_uuencode(encoded, out);
        break;
    }
}

void transfer_decoder::finish(std::string& out) {
    if (digits_ > 0) { // No padding; readers take what is there.
        irregular_.truncated = true;
        std::array<char, 2> bytes{};
        char* to = bytes.data();
        padded_ = false;
        take_base64('=', to);
        out.append(bytes.data(), static_cast<std::size_t>(to - bytes.data()));
    }
    if (encoding_ == transfer_encoding::quoted_printable && !held_.empty()) {
        // "=" alone, or with blanks, is a soft line break at the very end.
        if (held_.size() > 1 && hex_digit(held_[1])) {
            irregular_.truncated = true;
            out.append(held_);
        }
    } else if (encoding_ == transfer_encoding::uuencode) {
        take_uuencode_line(out);
        irregular_.truncated = irregular_.truncated || uu_ == uu_state::within;
    }
    held_.clear();
}

void transfer_decoder::decode_base64(byte_view encoded, std::string& out) {
    const std::size_t before = out.size();
    // Three bytes for four digits, and a group that has begun.
    const std::size_t room = encoded.size() / 4 * 3 + 3 + 3 + base64_slack_bytes;
    out.resize_and_overwrite(before + room, [&](char* data, std::size_t) {
        char* to = data + before;
        for (std::size_t at = 0; at < encoded.size(); ++at) {
            if (digits_ == 0) {
                const std::size_t taken = decode_digits(encoded.substr(at), to);
                irregular_.padding_within = irregular_.padding_within || (padded_ && taken > 0);
                at += taken;
                to += taken / 4 * 3;
                if (at == encoded.size()) {
                    break;
                }
            }
            take_base64(encoded[at], to);
        }
        return static_cast<std::size_t>(to - data);
    });
}

void transfer_decoder::take_base64(char c, char*& to) noexcept {
    const std::uint8_t value = base64_values[static_cast<unsigned char>(c)];
    if (value != no_digit) {
        irregular_.padding_within = irregular_.padding_within || padded_;
        bits_ = bits_ << 6 | value;
        if (++digits_ == 4) {
            *to++ = static_cast<char>(bits_ >> 16 & 0xff);
            *to++ = static_cast<char>(bits_ >> 8 & 0xff);
            *to++ = static_cast<char>(bits_ & 0xff);
            digits_ = 0;
        }
    } else if (c == '=') {
        if (digits_ >= 2) { // Two digits have one byte, three have two.
            bits_ <<= 6 * (4U - digits_);
            *to++ = static_cast<char>(bits_ >> 16 & 0xff);
            if (digits_ == 3) {
                *to++ = static_cast<char>(bits_ >> 8 & 0xff);
            }
        } else if (!padded_ || digits_ == 1) {
            irregular_.foreign_byte = true;
        }
        padded_ = padded_ || digits_ >= 2;
        digits_ = 0;
    } else if (c != '\r' && c != '\n' && !is_blank(c)) {
        irregular_.foreign_byte = true;
    }
}

// Blanks at the end of a line stay: RFC 2045 has them deleted because relays once added them.
void transfer_decoder::decode_quoted(byte_view encoded, std::string& out) {
    std::string joined;
    if (!held_.empty()) {
        joined = std::exchange(held_, {});
        joined += encoded;
        encoded = joined;
    }
    while (!encoded.empty()) {
        const std::size_t escape = encoded.find('=');
        out.append(encoded.substr(0, escape));
        if (escape == byte_view::npos) {
            return;
        }
        encoded.remove_prefix(escape);
        const std::size_t taken = take_escape(encoded, out);
        if (taken == 0) {
            held_ = encoded;
            return;
        }
        encoded.remove_prefix(taken);
    }
}

// What begins with "="; 0: it is not there whole.
std::size_t transfer_decoder::take_escape(byte_view encoded, std::string& out) {
    const auto is_literal = [&] {
        irregular_.foreign_byte = true;
        out += '=';
        return std::size_t{1};
    };
    if (encoded.size() == 1) {
        return 0;
    }
    if (const auto high = hex_digit(encoded[1])) {
        if (encoded.size() == 2) {
            return 0;
        }
        const auto low = hex_digit(encoded[2]);
        if (!low) {
            return is_literal();
        }
        out += static_cast<char>(*high << 4 | *low);
        return 3;
    }
    std::size_t at = 1;
    while (at < encoded.size() && at - 1 <= escape_blanks_max && is_blank(encoded[at])) {
        ++at;
    }
    if (at - 1 > escape_blanks_max) {
        return is_literal();
    }
    if (at < encoded.size() && encoded[at] == '\r') {
        ++at;
    }
    if (at == encoded.size()) {
        return 0;
    }
    return encoded[at] == '\n' ? at + 1 : is_literal();
}

void transfer_decoder::decode_uuencode(byte_view encoded, std::string& out) {
    while (!encoded.empty()) {
        const std::size_t line_feed = encoded.find('\n');
        const byte_view piece = encoded.substr(0, line_feed);
        if (piece.size() > uuencode_line_max - held_.size()) {
            skips_line_ = true;
        } else if (!skips_line_) {
            held_ += piece;
        }
        if (line_feed == byte_view::npos) {
            return;
        }
        take_uuencode_line(out);
        encoded.remove_prefix(line_feed + 1);
    }
}

void transfer_decoder::take_uuencode_line(std::string& out) {
    std::string line = std::exchange(held_, {});
    if (std::exchange(skips_line_, false)) {
        irregular_.foreign_byte = irregular_.foreign_byte || uu_ == uu_state::within;
        return;
    }
    if (line.ends_with('\r')) {
        line.pop_back();
    }
    if (uu_ != uu_state::within) {
        if (line.starts_with("begin ")) {
            uu_ = uu_state::within;
        }
        return;
    }
    if (line == "end") {
        uu_ = uu_state::after;
        return;
    }
    if (line.empty()) {
        return;
    }
    const auto value = [&](std::size_t at) { // Relays cut blanks, which are zeros, at the end.
        const unsigned c = at < line.size() ? static_cast<unsigned char>(line[at]) : ' ';
        irregular_.foreign_byte = irregular_.foreign_byte || c < ' ' || c > '`';
        return (c - ' ') & 0x3f;
    };
    const std::size_t bytes = value(0);
    for (std::size_t i = 0; i < bytes; ++i) {
        const std::size_t at = 1 + i / 3 * 4 + i % 3;
        const unsigned pair = value(at) << 6 | value(at + 1);
        out += static_cast<char>(pair >> (4 - 2 * (i % 3)) & 0xff);
    }
}

} // namespace ebbgate::mime
