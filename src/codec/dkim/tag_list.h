// "name=value; name=value": what signatures and key records are made of.
//
// Output  Values without the blanks around them, folded inside as they came; views of the text.
// Fails   Nothing for a list that breaks the grammar, or names a tag twice.
// Specs   RFC 6376 section 3.2; RFC 8616 allows UTF-8 in values.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::dkim {

struct tag {
    byte_view name;
    byte_view value;
    byte_view place; // From behind "=" to the next ";" or the end.
};

class tag_list {
public:
    [[nodiscard]] static std::optional<tag_list> parse(byte_view text, std::size_t tags_max);

    [[nodiscard]] const tag* find(byte_view name) const noexcept;

    [[nodiscard]] const std::vector<tag>& tags() const noexcept { return tags_; }

private:
    std::vector<tag> tags_;
};

// Blanks and folds may stand anywhere in it, and the grammar lets its padding be left out.
[[nodiscard]] std::optional<std::string> decode_base64(byte_view value);

// "a : b : c", each without the blanks around it.
[[nodiscard]] std::vector<byte_view> split_at_colons(byte_view value);

// 1 to `digits_max` digits.
[[nodiscard]] std::optional<std::uint64_t> parse_number(byte_view value, std::size_t digits_max);

// "=41" becomes "A"; nothing for "=" without two hexadecimal digits.
[[nodiscard]] std::optional<std::string> decode_quoted(byte_view value);

} // namespace ebbgate::dkim
