// SHA-256 (and SHA-1, for signatures from before RFC 8301) over bytes in chunks of any size.
//
// Owner   One thread at a time; no allocation.
// Fails   Never: wolfSSL's own failures are bugs here and are asserted.
// Specs   FIPS 180-4.

#pragma once

#include "ebbgate/base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace ebbgate::crypto {

enum class hash_kind : std::uint8_t { sha256, sha1 };

struct digest {
    std::array<std::uint8_t, 32> bytes{};
    std::uint8_t size = 0; // 32, or 20 of SHA-1.

    [[nodiscard]] byte_view view() const noexcept {
        return {reinterpret_cast<const char*>(bytes.data()), size};
    }

    bool operator==(const digest&) const = default;
};

class hash {
public:
    explicit hash(hash_kind kind = hash_kind::sha256);
    hash(const hash& other); // What it was given so far is given to both.
    hash& operator=(const hash&) = delete;
    ~hash();

    void update(byte_view bytes);

    // And begins again.
    [[nodiscard]] digest finish();

private:
    alignas(16) std::array<std::byte, 192> state_{}; // wolfSSL's, checked in hash.cc.
    hash_kind kind_;
};

[[nodiscard]] digest hash_of(byte_view bytes, hash_kind kind = hash_kind::sha256);

} // namespace ebbgate::crypto
