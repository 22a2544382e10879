#include "ebbgate/spool/stored_meta.h"

#include "codec/spool/format.h"

#include <utility>

namespace ebbgate::spool {

std::string encode_meta(const message::envelope& envelope, byte_view prefix) {
    const std::string encoded = message::encode(envelope);
    std::string meta(sizeof(std::uint32_t), '\0');
    put<std::uint32_t>(meta.data(), static_cast<std::uint32_t>(encoded.size()));
    meta.append(encoded);
    meta.append(prefix);
    return meta;
}

result<stored_meta> decode_meta(byte_view meta) {
    if (meta.size() < sizeof(std::uint32_t)) {
        return fail(failure_kind::corrupt, "spool: meta is cut short");
    }
    const auto envelope_bytes = get<std::uint32_t>(meta.data());
    meta.remove_prefix(sizeof(std::uint32_t));
    if (envelope_bytes > meta.size()) {
        return fail(failure_kind::corrupt, "spool: meta is shorter than its envelope");
    }
    auto envelope = message::decode(meta.substr(0, envelope_bytes));
    if (!envelope) {
        return std::unexpected(envelope.error());
    }
    return stored_meta{std::move(*envelope), meta.substr(envelope_bytes)};
}

} // namespace ebbgate::spool
