#include "ebbgate/message/message_id.h"

#include <algorithm>

namespace ebbgate::message {

namespace {

constexpr std::size_t text_characters = 13; // 65 bits of room for 64.
constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr unsigned bits_per_character = 5;
constexpr unsigned shard_bits = 8;

} // namespace

std::uint64_t id_source::next(std::int64_t unix_us) noexcept {
    const auto clock = static_cast<std::uint64_t>(std::max<std::int64_t>(unix_us, 0));
    const std::uint64_t after_last = (last_ >> shard_bits) + 1;
    last_ = std::max(clock, after_last) << shard_bits | shard_;
    return last_;
}

std::string to_text(std::uint64_t id) {
    std::string text(text_characters, '0');
    for (std::size_t index = text_characters; index-- > 0;) {
        text[index] = alphabet[id & 31];
        id >>= bits_per_character;
    }
    return text;
}

std::optional<std::uint64_t> from_text(std::string_view text) {
    if (text.size() != text_characters) {
        return std::nullopt;
    }
    std::uint64_t id = 0;
    for (const char character : text) {
        const std::size_t value = alphabet.find(character);
        if (value == std::string_view::npos || id >> (64 - bits_per_character) != 0) {
            return std::nullopt; // Not of the alphabet, or more than 64 bits.
        }
        id = id << bits_per_character | value;
    }
    return id;
}

} // namespace ebbgate::message
