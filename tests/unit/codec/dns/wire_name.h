// A domain name as it stands in DNS messages.

#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace ebbgate::dns {

// "mx.example" to "\2mx\7example\0". Compresses nothing, checks nothing.
inline std::string wire_name(std::string_view text) {
    std::string wire;
    while (!text.empty()) {
        const std::size_t length = std::min(text.find('.'), text.size());
        wire += static_cast<char>(length);
        wire += text.substr(0, length);
        text.remove_prefix(std::min(length + 1, text.size()));
    }
    return wire + '\0';
}

} // namespace ebbgate::dns
