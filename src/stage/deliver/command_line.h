// The MAIL and RCPT lines of an envelope, with the parameters that the peer offered.
//
// Owner   Pure functions; any thread.
// Specs   RFC 5321 section 4.1.1, RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8),
//         RFC 3461 (RET, ENVID, NOTIFY, ORCPT).

#pragma once

#include "ebbgate/message/envelope.h"
#include "ebbgate/smtp/reply_parser.h"

#include <cstdint>
#include <string>

namespace ebbgate::deliver {

// With CRLF. `message_bytes` is told where the peer announced a limit.
[[nodiscard]] std::string mail_line(const message::envelope& envelope,
                                    const smtp::ehlo_response& peer,
                                    std::uint64_t message_bytes);
[[nodiscard]] std::string recipient_line(const message::recipient& recipient,
                                         const smtp::ehlo_response& peer);

} // namespace ebbgate::deliver
