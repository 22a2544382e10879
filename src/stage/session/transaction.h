// Stage 2 of 8. What a session remembers from MAIL to the end of the message.

#pragma once

#include "ebbgate/message/envelope.h"
#include "ebbgate/smtp/data_decoder.h"
#include "ebbgate/smtp/reply.h"

#include "stage/session/session.h"

#include <cstdint>
#include <optional>

namespace ebbgate::session {

struct session::transaction {
    message::envelope envelope;      // Moved to the handler when the body begins.
    smtp::data_decoder decoder;      // DATA.
    smtp::bdat_stuffer stuffer;      // BDAT.
    std::uint64_t message_bytes = 0; // As RFC 1870 counts them.
    std::uint64_t chunk_bytes = 0;   // Of the BDAT chunk at hand.
    std::uint32_t recipient_count = 0;
    bool smtputf8 = false;
    bool recipient_refused = false;
    bool begun = false;   // The handler has begun the message, and must hear of its end.
    bool chunked = false; // By BDAT.
    bool last_chunk = false;
    // Set: the message is refused, the rest of it is only read to find its end.
    std::optional<smtp::fixed_reply> refusal;
};

} // namespace ebbgate::session
