#include "crypto/hash.h"

#include "ebbgate/base/assert.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <algorithm>
#include <new>

namespace ebbgate::crypto {
namespace {

constexpr std::size_t update_bytes_max = gib; // wolfSSL counts in 32 bits.

wc_Sha256* sha256_in(std::byte* state) noexcept {
    return std::launder(reinterpret_cast<wc_Sha256*>(state));
}

wc_Sha* sha1_in(std::byte* state) noexcept {
    return std::launder(reinterpret_cast<wc_Sha*>(state));
}

} // namespace

hash::hash(hash_kind kind) : kind_(kind) {
    static_assert(sizeof(wc_Sha256) <= sizeof(state_) && alignof(wc_Sha256) <= 16);
    static_assert(sizeof(wc_Sha) <= sizeof(state_) && alignof(wc_Sha) <= 16);
    const int failed = kind_ == hash_kind::sha256 ? wc_InitSha256(::new (state_.data()) wc_Sha256)
                                                  : wc_InitSha(::new (state_.data()) wc_Sha);
    EBBGATE_ASSERT(failed == 0);
}

hash::hash(const hash& other) : hash(other.kind_) {
    // Copying frees what the copy held.
    auto* from = const_cast<std::byte*>(other.state_.data());
    const int failed = kind_ == hash_kind::sha256
                           ? wc_Sha256Copy(sha256_in(from), sha256_in(state_.data()))
                           : wc_ShaCopy(sha1_in(from), sha1_in(state_.data()));
    EBBGATE_ASSERT(failed == 0);
}

hash::~hash() {
    if (kind_ == hash_kind::sha256) {
        wc_Sha256Free(sha256_in(state_.data()));
    } else {
        wc_ShaFree(sha1_in(state_.data()));
    }
}

void hash::update(byte_view bytes) {
    while (!bytes.empty()) {
        const byte_view part = bytes.substr(0, update_bytes_max);
        const auto* data = reinterpret_cast<const byte*>(part.data());
        const auto size = static_cast<word32>(part.size());
        const int failed = kind_ == hash_kind::sha256
                               ? wc_Sha256Update(sha256_in(state_.data()), data, size)
                               : wc_ShaUpdate(sha1_in(state_.data()), data, size);
        EBBGATE_ASSERT(failed == 0);
        bytes.remove_prefix(part.size());
    }
}

digest hash::finish() {
    digest out;
    int failed = 0;
    if (kind_ == hash_kind::sha256) {
        out.size = WC_SHA256_DIGEST_SIZE;
        failed = wc_Sha256Final(sha256_in(state_.data()), out.bytes.data());
    } else {
        out.size = WC_SHA_DIGEST_SIZE;
        failed = wc_ShaFinal(sha1_in(state_.data()), out.bytes.data());
    }
    EBBGATE_ASSERT(failed == 0); // The library has begun a new one.
    return out;
}

digest hash_of(byte_view bytes, hash_kind kind) {
    hash hashed(kind);
    hashed.update(bytes);
    return hashed.finish();
}

} // namespace ebbgate::crypto
