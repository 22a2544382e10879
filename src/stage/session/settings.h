// Stage 2 of 8. What the sessions of one listener share: names, offers and limits.
//
// Owner   The listener; one copy for all of its sessions, which outlive none of it.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <string>

namespace ebbgate::session {

struct limits {
    std::uint64_t message_bytes_max = 25 * mib;         // 552 5.3.4, announced as SIZE.
    std::uint32_t recipients_per_message_max = 1000;    // 452 4.5.3, announced as LIMITS RCPTMAX.
    std::uint32_t messages_per_session_max = 1'000'000; // 421 4.7.0, announced as MAILMAX.
    std::uint32_t errors_max = 20;                      // Since the last message. 421 4.7.0, close.
    std::uint32_t refused_recipients_max = 10'000;      // Since the last message. 421 4.7.0, close.
    std::uint32_t commands_max = 1'000'000;             // Of a session. 421 4.7.0, close.
    std::uint32_t commands_without_message_max = 1000;  // Other than RCPT. 421 4.7.0, close.
    std::uint32_t authentications_failed_max = 3;       // 421 4.7.0, close.
    std::uint32_t login_bytes_max = 255;                // 535 5.7.8.
    std::uint32_t password_bytes_max = 1024;            // 535 5.7.8.
    // Of messages that are refused already, since the last good one. Beyond it: close.
    std::uint64_t swallowed_bytes_max = 1 * gib;
};

struct settings {
    std::string hostname = "localhost"; // In the banner and in the EHLO reply.
    bool implicit_tls = false;          // The listener speaks TLS from the first byte.
    bool tls_available = false;         // STARTTLS is offered.
    bool tls_required = false;          // MAIL before TLS gets 530 5.7.0.
    bool authentication_offered = true; // AUTH is offered, once TLS is on.
    session::limits limits;
};

} // namespace ebbgate::session
