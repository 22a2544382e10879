#include "base/text.h"
#include "store/blob/blob_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sys/random.h>

#include <algorithm>

namespace ebbgate::blob {

std::string link::file_name() const {
    return extension.empty() ? token : token + "." + extension;
}

std::string make_token() {
    std::array<std::uint8_t, token_bytes> random{};
    // Up to 256 bytes are never cut short (getrandom(2)).
    if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
        return {};
    }
    return fmt::format("{:02x}", fmt::join(random, ""));
}

bool is_token(std::string_view text) noexcept {
    return text.size() == token_digits &&
           std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

std::string extension_of(std::string_view name) {
    const std::size_t dot = name.rfind('.');
    // A name that begins with its only dot has no extension (".profile").
    if (dot == std::string_view::npos || dot == 0) {
        return {};
    }
    const std::string_view last = name.substr(dot + 1);
    const bool shown = last.size() <= extension_bytes_max && std::ranges::all_of(last, [](char c) {
                           return is_digit(c) || is_letter(c);
                       });
    return shown ? lowered(last) : std::string();
}

std::string clipped_name(std::string_view name) {
    if (name.size() <= name_bytes_max) {
        return std::string(name);
    }
    std::string end;
    if (const std::string extension = extension_of(name); !extension.empty()) {
        end = '.';
        end += extension;
    }
    std::size_t kept = name_bytes_max - end.size();
    constexpr auto continues = [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0U) == 0x80;
    };
    while (kept > 0 && continues(name[kept])) {
        --kept;
    }
    return std::string(name.substr(0, kept)) + end;
}

} // namespace ebbgate::blob
