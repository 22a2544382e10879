// One DKIM-Signature field, read.
//
// Input   The whole field as it came, folded.
// Output  Its tags, decoded. Tags that are not known are ignored; nothing else is.
// Fails   With the outcome and reason of a signature that is not usable.
// Bounds  tags_max; the field is as long as the header's limit lets it be.
// Specs   RFC 6376 section 3.5, RFC 8463, RFC 8616 (UTF-8 in d=, s= and i=: as written; whoever
//         looks up the key makes A-labels of it).

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/dkim/canonicalizer.h"
#include "ebbgate/dkim/key.h"
#include "ebbgate/dkim/outcome.h"

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::dkim {

inline constexpr std::size_t tags_max = 64;

struct rejection {
    dkim::outcome outcome = outcome::permerror;
    dkim::reason reason = reason::syntax;
};

struct signature {
    key_type type = key_type::rsa;
    bool sha1 = false;
    canonicalization header_form = canonicalization::simple;
    canonicalization body_form = canonicalization::simple;
    std::string domain;
    std::string selector;
    std::string identity; // "@d" when there is no i=; the local part decoded.
    std::vector<std::string> names;
    std::string body_hash;
    std::string value;
    std::optional<std::uint64_t> body_bytes; // l=
    std::optional<std::uint64_t> made_unix_s;
    std::optional<std::uint64_t> expires_unix_s;
    // The place of b='s value in the field, blanks around it included: signed as if empty.
    std::size_t value_at = 0;
    std::size_t value_bytes = 0;
};

enum class leniency : std::uint8_t {
    none,
    obsolete, // For old mail: rsa-sha1, and the versions of drafts (v=0.5, or none).
};

[[nodiscard]] std::expected<signature, rejection> parse_signature(byte_view field,
                                                                  leniency allow = leniency::none);

} // namespace ebbgate::dkim
