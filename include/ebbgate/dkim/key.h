// Private keys that sign, and the DNS record of their public half.
//
// Input   PEM: PKCS#1 or PKCS#8, RSA of 1024 to 4096 bits or Ed25519, without a passphrase.
// Output  Keys that have signed and verified once, so that a wrong file is found at load.
// Owner   Immutable: shared by all threads. No operation changes a key, see crypto/rsa.h. The
//         memory is wiped when the last holder lets go.
// Fails   load_key, parse_key: with what is wrong, and where.
// Bounds  key_file_bytes_max. Loading costs a signature (1 ms, 5 ms for 4096 bits): off shards.
// Specs   RFC 6376 section 3.6.1, RFC 8301, RFC 8463.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <cstdint>
#include <memory>
#include <string>

namespace ebbgate::crypto {
class rsa_private_key;
class ed25519_private_key;
} // namespace ebbgate::crypto

namespace ebbgate::dkim {

inline constexpr std::size_t key_file_bytes_max = 64 * kib;
inline constexpr std::size_t rsa_bits_min = 1024; // RFC 8301; 2048 is what one should have.
inline constexpr std::size_t rsa_bits_max = 4096;

enum class key_type : std::uint8_t { rsa, ed25519 };

class signing_key {
public:
    explicit signing_key(crypto::rsa_private_key key);
    explicit signing_key(crypto::ed25519_private_key key);
    signing_key(const signing_key&) = delete;
    signing_key& operator=(const signing_key&) = delete;
    ~signing_key();

    [[nodiscard]] key_type type() const noexcept {
        return rsa_ != nullptr ? key_type::rsa : key_type::ed25519;
    }

    // Of the modulus; 256 for Ed25519.
    [[nodiscard]] std::size_t bits() const noexcept;

    // p= of the record: base64 of the SubjectPublicKeyInfo, or of Ed25519's 32 bytes.
    [[nodiscard]] std::string public_key() const;

    // PKCS#8. The caller wipes it.
    [[nodiscard]] std::string to_pem() const;

    // For signature_batch; null for the other type.
    [[nodiscard]] const crypto::rsa_private_key* rsa() const noexcept { return rsa_.get(); }

    [[nodiscard]] const crypto::ed25519_private_key* ed25519() const noexcept {
        return ed25519_.get();
    }

private:
    std::unique_ptr<const crypto::rsa_private_key> rsa_;
    std::unique_ptr<const crypto::ed25519_private_key> ed25519_;
};

using key_pointer = std::shared_ptr<const signing_key>;

[[nodiscard]] result<key_pointer> parse_key(byte_view pem);
// A regular file; the detail of a failure names it.
[[nodiscard]] result<key_pointer> load_key(const std::string& path);

// `rsa_bits`: 1024, 2048, 3072 or 4096; nothing to Ed25519. Seconds for 4096.
[[nodiscard]] key_pointer generate_key(key_type type, std::size_t rsa_bits = 2048);

// A new file of mode 0600, durable with its name. Fails when there is one already.
[[nodiscard]] result<void> store_key(const signing_key& key, const std::string& path);

// "v=DKIM1; k=rsa; p=...", the text of the TXT record.
[[nodiscard]] std::string record_text(const signing_key& key);
// The same as a line of a zone file, in strings of at most 255 bytes.
[[nodiscard]] std::string zone_line(const signing_key& key, byte_view selector, byte_view domain);

// A name of letters, digits, hyphens and underscores in labels of at most 63: d=, s=, and what a
// zone line may have without quoting.
[[nodiscard]] bool is_key_name(byte_view text) noexcept;

} // namespace ebbgate::dkim
