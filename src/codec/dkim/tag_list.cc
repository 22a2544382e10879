#include "codec/dkim/tag_list.h"

#include "base/text.h"
#include "crypto/base64.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace ebbgate::dkim {
namespace {

bool is_tag_name(byte_view name) noexcept {
    return !name.empty() && is_letter(name.front()) && std::ranges::all_of(name, [](char c) {
        return is_letter(c) || is_digit(c) || c == '_';
    });
}

// VALCHAR, UTF-8, and folding white space.
bool is_tag_value(byte_view value) noexcept {
    for (std::size_t i = 0; i < value.size(); ++i) {
        const auto c = static_cast<unsigned char>(value[i]);
        if (c == '\r') {
            if (i + 2 >= value.size() || value[i + 1] != '\n' || !is_blank(value[i + 2])) {
                return false;
            }
            i += 2;
        } else if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

int upper_hex_digit(char c) noexcept {
    return is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

} // namespace

std::optional<tag_list> tag_list::parse(byte_view text, std::size_t tags_max) {
    tag_list list;
    while (!trimmed(text).empty()) {
        const byte_view one = text.substr(0, text.find(';'));
        const std::size_t equals = one.find('=');
        if (equals == byte_view::npos || list.tags_.size() == tags_max) {
            return std::nullopt;
        }
        tag found;
        found.name = trimmed(one.substr(0, equals));
        found.place = one.substr(equals + 1);
        found.value = trimmed(found.place);
        if (!is_tag_name(found.name) || !is_tag_value(found.value) ||
            list.find(found.name) != nullptr) {
            return std::nullopt;
        }
        list.tags_.push_back(found);
        text.remove_prefix(std::min(one.size() + 1, text.size()));
    }
    return list.tags_.empty() ? std::nullopt : std::optional(std::move(list));
}

const tag* tag_list::find(byte_view name) const noexcept {
    const auto found = std::ranges::find(tags_, name, &tag::name);
    return found == tags_.end() ? nullptr : &*found;
}

std::optional<std::string> decode_base64(byte_view value) {
    std::string text;
    text.reserve(value.size() + 2);
    std::ranges::copy_if(value, std::back_inserter(text), [](char c) { return !is_space(c); });
    if (text.size() % 4 > 1 && !text.ends_with('=')) {
        text.append(4 - text.size() % 4, '=');
    }
    return crypto::from_base64(text);
}

std::vector<byte_view> split_at_colons(byte_view value) {
    std::vector<byte_view> parts;
    while (true) {
        const std::size_t colon = value.find(':');
        parts.push_back(trimmed(value.substr(0, colon)));
        if (colon == byte_view::npos) {
            return parts;
        }
        value.remove_prefix(colon + 1);
    }
}

std::optional<std::uint64_t> parse_number(byte_view value, std::size_t digits_max) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    return whole && value.size() <= digits_max ? std::optional(number) : std::nullopt;
}

std::optional<std::string> decode_quoted(byte_view value) {
    std::string out;
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (value[i] != '=') {
            out.append(is_space(value[i]) ? 0 : 1, value[i]);
            continue;
        }
        const int high = i + 2 < value.size() ? upper_hex_digit(value[i + 1]) : -1;
        const int low = i + 2 < value.size() ? upper_hex_digit(value[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

} // namespace ebbgate::dkim
