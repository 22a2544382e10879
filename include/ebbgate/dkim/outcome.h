// What became of a signature, and why.
//
// Specs   RFC 8601 section 2.7.1 names the outcomes; RFC 6376 section 6.1 the reasons.

#pragma once

#include <cstdint>
#include <string_view>

namespace ebbgate::dkim {

enum class outcome : std::uint8_t {
    pass,
    fail,      // It was judged and is wrong, or has expired.
    neutral,   // Not judged: of a version, algorithm or form that is not DKIM's as we know it.
    permerror, // It, or its key, is malformed or not acceptable; no use in trying again.
    temperror, // The key could not be had now.
};

enum class reason : std::uint8_t {
    none,
    // Of the field.
    syntax,
    missing_tag,
    version,
    algorithm,
    weak_algorithm, // rsa-sha1: RFC 8301.
    canonicalization,
    query,
    from_not_signed,
    foreign_identity, // i= is not within d=.
    times,            // x= is not later than t=.
    expired,
    // Of the key record.
    key_unavailable,
    key_missing,
    key_syntax,
    key_version,
    key_revoked,
    key_type,
    key_hash,     // h= of the record.
    key_service,  // s= of the record.
    key_identity, // t=s, and i= is of a subdomain.
    key_too_weak,
    key_malformed,
    // Of the message.
    body_too_short, // l= is larger than the body.
    body_hash,
    signature,
};

// "pass"; "body_hash".
[[nodiscard]] std::string_view to_text(outcome value) noexcept;
[[nodiscard]] std::string_view to_text(reason value) noexcept;

} // namespace ebbgate::dkim
