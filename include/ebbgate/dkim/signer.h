// Makes DKIM-Signature fields: one signer a key, in two steps so that RSA can be done for eight
// messages at once.
//
// Input   The header's fields as they will leave, in order, and the hash of the body.
// Output  The field, folded, with its CRLF; it goes to the top of the header. l= is never written.
// Owner   A signer is immutable: made with the policy, shared by all threads. A prepared
//         signature is its message's.
// Fails   make(): settings that receivers would refuse. sign(): that signature stays empty, and
//         field() with it; the others of the batch are not touched.
// Bounds  The field grows by one name for each field that is signed.
// Specs   RFC 6376 sections 3.5, 3.7, 5.4; RFC 8301; RFC 8463.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"
#include "ebbgate/dkim/canonicalizer.h"
#include "ebbgate/dkim/key.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::mail {
class header_scanner;
} // namespace ebbgate::mail

namespace ebbgate::dkim {

// Names compare in any case. "List-*" stands for every name that begins so.
struct signed_fields {
    std::vector<std::string> names; // Each instance that is there.
    // One more than are there: a field that is added on the way breaks the signature.
    std::vector<std::string> oversigned;
    // The same, only for messages that have the field: a mailing list may add its own.
    std::vector<std::string> oversigned_when_present;
};

// What tells a reader who wrote what to whom, and how the body is to be shown. Not what relays
// add or change: Received, Return-Path, Authentication-Results, Comments, Keywords.
[[nodiscard]] const signed_fields& default_signed_fields();

struct signing_settings {
    std::string domain; // d=, A-labels.
    std::string selector;
    std::string identity; // i=: "@d" or "local@d" or of a subdomain; empty: not written.
    canonicalization header_form = canonicalization::relaxed;
    canonicalization body_form = canonicalization::relaxed;
    std::uint32_t lifetime_s = 0; // x= is t= and this; 0: not written.
    key_pointer key;
};

// Waits for its signature. Keeps the key alive.
struct prepared_signature {
    key_pointer key;
    std::array<std::uint8_t, 32> digest{};
    std::string text;      // The field up to "b=".
    std::string signature; // Empty: not yet signed, or it failed.

    // The field; empty without a signature.
    [[nodiscard]] std::string field() const;
};

class signer {
public:
    [[nodiscard]] static result<signer> make(signing_settings settings,
                                             signed_fields fields = default_signed_fields());

    // `body_hash` is body_hasher::digest() in this signer's body_form().
    [[nodiscard]] prepared_signature prepare(std::span<const byte_view> fields,
                                             const std::array<std::uint8_t, 32>& body_hash,
                                             std::int64_t now_unix_s) const;

    [[nodiscard]] canonicalization body_form() const noexcept { return settings_.body_form; }

    [[nodiscard]] const signing_settings& settings() const noexcept { return settings_; }

private:
    signer(signing_settings settings, signed_fields fields);

    [[nodiscard]] std::vector<std::string> names_for(std::span<const byte_view> fields) const;

    signing_settings settings_;
    signed_fields fields_;
};

// Which way RSA is done; for tests and benchmarks anything but `automatic`.
enum class signing_engine : std::uint8_t {
    automatic,
    one_by_one,
    vectors, // Only where has_vectors().
};

// How many RSA signatures cost as little together as two alone, where the CPU has AVX-512 IFMA.
inline constexpr std::size_t batch_max = 8;

// Whether crypto_mb was built in and the CPU can run it: only then a batch is worth waiting for.
[[nodiscard]] bool has_vectors() noexcept;

// Signs all, RSA by eights, each verified before it is stored. Any thread.
void sign(std::span<prepared_signature* const> batch,
          signing_engine engine = signing_engine::automatic);

[[nodiscard]] std::vector<byte_view> raw_fields(const mail::header_scanner& header);

} // namespace ebbgate::dkim
