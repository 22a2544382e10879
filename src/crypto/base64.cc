#include "crypto/base64.h"

#include "ebbgate/base/assert.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>

namespace ebbgate::crypto {

std::string to_base64(byte_view bytes) {
    EBBGATE_ASSERT(bytes.size() <= gib);
    // The library wants one byte more than it says, for a zero.
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
    auto size = static_cast<word32>(text.size());
    if (bytes.empty()) {
        return {};
    }
    const int failed = Base64_Encode_NoNl(reinterpret_cast<const byte*>(bytes.data()),
                                          static_cast<word32>(bytes.size()),
                                          reinterpret_cast<byte*>(text.data()),
                                          &size);
    EBBGATE_ASSERT(failed == 0);
    text.resize((bytes.size() + 2) / 3 * 4);
    return text;
}

std::optional<std::string> from_base64(byte_view text) {
    if (text.empty()) {
        return std::string();
    }
    if (text.size() % 4 != 0 || text.size() > gib) {
        return std::nullopt;
    }
    std::string bytes(text.size() / 4 * 3 + 1, '\0');
    auto size = static_cast<word32>(bytes.size());
    if (Base64_Decode(reinterpret_cast<const byte*>(text.data()),
                      static_cast<word32>(text.size()),
                      reinterpret_cast<byte*>(bytes.data()),
                      &size) != 0) {
        return std::nullopt;
    }
    bytes.resize(size);
    // The decoder is lenient about blanks and spare bits: one text for one value.
    if (to_base64(bytes) != text) {
        return std::nullopt;
    }
    return bytes;
}

} // namespace ebbgate::crypto
