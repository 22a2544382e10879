#include "relay/queued_message.h"

namespace ebbgate::relay {

namespace {

constexpr char state_version = 2;
constexpr char first_version = 1; // Without flags.
constexpr std::uint64_t noticed_flag = 1;

void put(std::string& out, std::uint64_t value, int bytes) {
    for (int index = 0; index < bytes; ++index) {
        out += static_cast<char>(value >> (8 * index));
    }
}

std::optional<std::uint64_t> take(byte_view& from, std::size_t bytes) {
    if (from.size() < bytes) {
        return std::nullopt;
    }
    std::uint64_t value = 0;
    for (std::size_t index = 0; index < bytes; ++index) {
        value |= std::uint64_t{static_cast<unsigned char>(from[index])} << (8 * index);
    }
    from.remove_prefix(bytes);
    return value;
}

} // namespace

std::string encode_state(const delivery_state& state) {
    std::string out(1, state_version);
    put(out, state.attempts, 4);
    put(out, static_cast<std::uint64_t>(state.next_unix_ms), 8);
    put(out, state.is_noticed ? noticed_flag : 0, 1);
    put(out, state.outstanding.count(), 4);
    state.outstanding.for_each([&](std::uint32_t index) { put(out, index, 4); });
    return out;
}

std::optional<delivery_state> decode_state(byte_view bytes) {
    const auto version = take(bytes, 1);
    const auto attempts = take(bytes, 4);
    const auto next = take(bytes, 8);
    const bool has_flags = version && *version == static_cast<std::uint64_t>(state_version);
    const auto flags = has_flags ? take(bytes, 1) : std::optional<std::uint64_t>(0);
    const auto count = take(bytes, 4);
    if (!version || (!has_flags && *version != static_cast<std::uint64_t>(first_version)) ||
        !flags || !count || bytes.size() != *count * 4) {
        return std::nullopt;
    }
    delivery_state state;
    state.attempts = static_cast<std::uint32_t>(*attempts);
    state.next_unix_ms = static_cast<std::int64_t>(*next);
    state.is_noticed = (*flags & noticed_flag) != 0;
    while (!bytes.empty()) {
        state.outstanding.add(static_cast<std::uint32_t>(*take(bytes, 4)));
    }
    return state;
}

} // namespace ebbgate::relay
