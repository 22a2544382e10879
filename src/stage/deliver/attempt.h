// An attempt to deliver a message over a connection: what is asked for, and what came of it.
//
// Owner   Values.
// Specs   RFC 3463 (status), RFC 3461 5.2.2 (who reports).

#pragma once

#include "ebbgate/message/envelope.h"
#include "ebbgate/smtp/reply.h"

#include <cstdint>
#include <vector>

namespace ebbgate::deliver {

enum class attempt_result : std::uint8_t {
    delivered,
    transient, // 4xx, or the connection failed: try again.
    permanent, // 5xx: bounce.
    ambiguous, // The connection broke after the final dot: it may have arrived.
};

// That the destination wants less of us now, as far as codes say it. What texts say ("too many
// connections") is left to the owner.
enum class push_back : std::uint8_t {
    none,
    unreachable,        // No connection: timed out, no route.
    connection_refused, // By the kernel of the other side.
    lost_early,         // Broken, silent or nonsense before it was through EHLO.
    greeting_4xx,       // Or such a reply to EHLO.
    greeting_5xx,       // RFC 5321 3.1: no mail here.
    mail_4xx,           // May be about the sender.
    rate_4xx,           // 4.7.x (greylisting too), 4.3.2, 4.4.5.
    shutdown_421,       // Not as the good-bye to an idle connection.
};

struct recipient_outcome {
    std::uint32_t index = 0; // In the envelope.
    attempt_result result = attempt_result::transient;
    smtp::reply reply; // Code 0: there was none, the text says why.
    const char* command = "";
    // The reply's, else X.0.0 by its class (RFC 3463).
    smtp::enhanced_status status;
    push_back push = push_back::none;
    // Nothing was sent, the peer lacks what the message needs: another host may have it.
    bool peer_lacks = false;
    // The peer has DSN: what the sender asked for is its task now. False and delivered: the report
    // of success, when one was asked for, is ours, "relayed" (RFC 3461 5.2.2).
    bool dsn_passed_on = false;
};

// What is to be sent. The owner keeps it until the job's outcomes were told.
struct job {
    std::uint64_t message_id = 0;
    const message::envelope* envelope = nullptr;
    std::vector<std::uint32_t> recipients;
    std::uint64_t message_bytes = 0;
};

} // namespace ebbgate::deliver
