// The public key that a domain publishes in DNS.
//
// Input   The text of a TXT record, its strings put together.
// Fails   With why the key is of no use. g= (RFC 4871) and n= are ignored.
// Specs   RFC 6376 section 3.6.1, RFC 8463, RFC 8301.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/dkim/key.h"
#include "ebbgate/dkim/outcome.h"

#include <expected>
#include <string>

namespace ebbgate::dkim {

struct key_record {
    key_type type = key_type::rsa;
    std::string key; // DER, or Ed25519's 32 bytes. Decoded only from base64.
    bool allows_sha1 = true;
    bool allows_sha256 = true;
    bool testing = false;       // t=y
    bool no_subdomains = false; // t=s
};

[[nodiscard]] std::expected<key_record, reason> parse_key_record(byte_view text);

} // namespace ebbgate::dkim
