// RSA with PKCS#1 v1.5 padding: keys, one signature, verification.
//
// Input   Digests; keys as DER (PKCS#1 or PKCS#8; public keys as SubjectPublicKeyInfo or PKCS#1).
// Output  Signatures that have been verified, so that no fault of the machine gives the key away.
// Owner   Keys are immutable: any number of threads may use one at the same time. wolfSSL's RsaKey
//         keeps the state of an operation inside, so each operation decodes one of its own on the
//         stack (microseconds, beside hundreds for a signature) and wipes it.
// Fails   Nothing, for a key that cannot be decoded, or a signature that does not verify.
// Bounds  rsa_bits_min to rsa_bits_max.
// Specs   RFC 8017 sections 8.2 and A.1.

#pragma once

#include "crypto/hash.h"
#include "crypto/secret_bytes.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace ebbgate::crypto {

inline constexpr std::size_t rsa_bits_min = 512; // Of public keys; what is too weak is for callers.
inline constexpr std::size_t rsa_bits_max = 4096;

class rsa_public_key {
public:
    [[nodiscard]] static std::optional<rsa_public_key> decode(byte_view der);

    [[nodiscard]] std::size_t bits() const noexcept { return bits_; }

    [[nodiscard]] bool verify(const digest& digest, byte_view signature) const;

private:
    friend class rsa_private_key;

    std::string modulus_; // Big-endian.
    std::string exponent_;
    std::size_t bits_ = 0;
};

// The numbers as crypto_mb takes them: 64-bit limbs, least significant first.
struct rsa_limbs {
    static constexpr std::size_t limbs_max = rsa_bits_max / 2 / 64;
    using number = std::array<unsigned long long, limbs_max>;

    rsa_limbs() = default;
    rsa_limbs(const rsa_limbs&) = delete;
    rsa_limbs& operator=(const rsa_limbs&) = delete;
    ~rsa_limbs();

    number p{};
    number q{};
    number dp{};
    number dq{};
    number inverse_q{};
    std::array<unsigned long long, 2 * limbs_max> modulus{}; // No secret. Its exponent is 65537.
};

class rsa_private_key {
public:
    // Does not look whether the numbers belong together: is_consistent() does.
    [[nodiscard]] static std::optional<rsa_private_key> decode(byte_view der);
    [[nodiscard]] static rsa_private_key generate(std::size_t bits);

    [[nodiscard]] std::size_t bits() const noexcept { return public_.bits(); }

    [[nodiscard]] const rsa_public_key& public_key() const noexcept { return public_; }

    [[nodiscard]] std::string public_der() const; // SubjectPublicKeyInfo.

    [[nodiscard]] const secret_bytes& der() const noexcept { return der_; } // PKCS#1.

    // Signs once: a key whose numbers do not belong together makes no signature that verifies.
    [[nodiscard]] bool is_consistent() const;

    // Verified. Only for digests of SHA-256.
    [[nodiscard]] std::optional<std::string> sign(const digest& digest) const;

    // Null: the key has a shape that crypto_mb does not take.
    [[nodiscard]] const rsa_limbs* limbs() const noexcept { return limbs_.get(); }

private:
    secret_bytes der_;
    rsa_public_key public_;
    std::unique_ptr<rsa_limbs> limbs_;
};

// EMSA-PKCS1-v1_5 of a SHA-256 digest, as many bytes as the modulus has.
[[nodiscard]] std::string padded_digest(const digest& digest, std::size_t bytes);

} // namespace ebbgate::crypto
