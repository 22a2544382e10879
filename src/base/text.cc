#include "base/text.h"

#include <algorithm>

namespace ebbgate {

namespace {

bool is_continuation(unsigned char byte) {
    return (byte & 0xc0U) == 0x80U;
}

} // namespace

std::string lowered(byte_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), lower);
    return out;
}

std::size_t utf8_sequence_bytes(byte_view text, std::size_t position) noexcept {
    const auto at = [&](std::size_t offset) -> unsigned char {
        return position + offset < text.size() ? static_cast<unsigned char>(text[position + offset])
                                               : 0;
    };
    const unsigned char first = at(0);
    if (first < 0x80) {
        return position < text.size() ? 1 : 0;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return is_continuation(at(1)) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef) {
        // No overlong forms, no surrogates.
        const unsigned char low = first == 0xe0 ? 0xa0 : 0x80;
        const unsigned char high = first == 0xed ? 0x9f : 0xbf;
        return at(1) >= low && at(1) <= high && is_continuation(at(2)) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const unsigned char low = first == 0xf0 ? 0x90 : 0x80;
        const unsigned char high = first == 0xf4 ? 0x8f : 0xbf;
        const bool good =
            at(1) >= low && at(1) <= high && is_continuation(at(2)) && is_continuation(at(3));
        return good ? 4 : 0;
    }
    return 0;
}

} // namespace ebbgate
