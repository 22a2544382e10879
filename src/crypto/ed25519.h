// Ed25519: keys, signatures, verification.
//
// Input   Messages (for DKIM the message is a SHA-256 digest); public keys raw, private keys as
//         the 32-byte seed.
// Owner   Keys are immutable; any number of threads may use one. Each operation works on a copy.
// Fails   Nothing, for bytes that are no key, or when the machine signs wrongly.
// Specs   RFC 8032.

#pragma once

#include "ebbgate/base/bytes.h"

#include "crypto/secret_bytes.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace ebbgate::crypto {

inline constexpr std::size_t ed25519_key_bytes = 32;
inline constexpr std::size_t ed25519_signature_bytes = 64;

[[nodiscard]] bool ed25519_verify(byte_view public_key, byte_view message, byte_view signature);

// Whether the bytes are a point of the curve.
[[nodiscard]] bool is_ed25519_public_key(byte_view bytes);

class ed25519_private_key {
public:
    [[nodiscard]] static std::optional<ed25519_private_key> from_seed(byte_view seed);
    // PKCS#8. A public key inside must be the seed's.
    [[nodiscard]] static std::optional<ed25519_private_key> decode(byte_view der);
    [[nodiscard]] static ed25519_private_key generate();

    [[nodiscard]] const std::string& public_key() const noexcept { return public_; }

    [[nodiscard]] const secret_bytes& seed() const noexcept { return seed_; }

    // Verified: a signature over a faulty hash would give the key away.
    [[nodiscard]] std::optional<std::string> sign(byte_view message) const;

private:
    secret_bytes seed_;
    std::string public_;
};

} // namespace ebbgate::crypto
