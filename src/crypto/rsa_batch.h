// Up to eight RSA signatures in one call: by crypto_mb where the CPU has AVX-512 IFMA, else by
// wolfSSL one after another.
//
// Input   Keys and SHA-256 digests; the keys may differ, in size too.
// Output  For each its signature, verified; or nothing: the machine or that key is at fault.
// Owner   Any thread; no state is shared. Keys outlive the call.
// Bounds  rsa_batch_max a call. Eight take 0.75 ms for 2048 bits, 3 ms for 3072 and 6 for 4096,
//         by vectors; one by one 0.5, 1.7 and 4 ms each.

#pragma once

#include "crypto/rsa.h"

#include <cstdint>
#include <span>
#include <string>

namespace ebbgate::crypto {

inline constexpr std::size_t rsa_batch_max = 8;

enum class rsa_engine : std::uint8_t {
    automatic,
    one_by_one, // wolfSSL.
    vectors,    // crypto_mb; only where has_rsa_vectors().
};

struct rsa_request {
    const rsa_private_key* key = nullptr;
    crypto::digest digest;
    std::string signature; // Empty: it failed.
};

// Whether crypto_mb was built in and this CPU can run it.
[[nodiscard]] bool has_rsa_vectors() noexcept;

void rsa_sign(std::span<rsa_request> requests, rsa_engine engine = rsa_engine::automatic);

} // namespace ebbgate::crypto
