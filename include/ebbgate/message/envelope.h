// The envelope of a message: who sends it, to whom, and what the client asked for.
//
// Owner   A value. Built by the session, stored by the spool, read by delivery.
// Bounds  The session limits every field before it gets here; decode() checks the same limits
// again. Specs   RFC 5321 (MAIL, RCPT), RFC 3461 (RET, ENVID, NOTIFY, ORCPT), RFC 6152, RFC 6531.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::message {

enum class body_type : std::uint8_t { seven_bit, eight_bit_mime };
enum class dsn_return : std::uint8_t { unset, full, headers };

// RFC 3461 NOTIFY, as a set of bits; 0 means the parameter was not given.
inline constexpr std::uint8_t notify_never = 1;
inline constexpr std::uint8_t notify_success = 2;
inline constexpr std::uint8_t notify_failure = 4;
inline constexpr std::uint8_t notify_delay = 8;

struct recipient {
    std::string address;  // local@domain, as given.
    std::string original; // ORCPT exactly as received ("rfc822;xtext"), or empty.
    std::uint8_t notify = 0;
};

struct envelope {
    std::uint64_t id = 0; // Unique in this spool for ever; text form in message_id.h.
    std::int64_t received_unix_ms = 0;
    std::string sender; // Empty: the null sender <>.
    std::vector<recipient> recipients;
    body_type body = body_type::seven_bit;
    dsn_return ret = dsn_return::unset;
    bool smtputf8 = false;
    std::string envelope_id;       // ENVID exactly as received (xtext), or empty.
    std::string tenant;            // Tenant name, or empty.
    std::string account;           // Login that submitted it, or empty.
    std::string client_address;    // Peer IP in text form.
    std::string client_helo;       // Name given in EHLO or HELO.
    std::string header_message_id; // For the log only: Message-ID field when it was seen.
};

// Length-prefixed binary form, versioned. Stable: it is part of the spool format.
[[nodiscard]] std::string encode(const envelope& envelope);
[[nodiscard]] result<envelope> decode(byte_view bytes);

} // namespace ebbgate::message
