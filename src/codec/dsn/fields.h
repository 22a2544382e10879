// What a report says of a recipient, decided once for the words and for the status.
//
// Owner   Values; made by write_report().
// Specs   RFC 3463, RFC 3464 section 2.3.

#pragma once

#include "codec/dsn/report.h"

#include <string>
#include <vector>

namespace ebbgate::dsn {

struct shown_recipient {
    const reported_recipient* about = nullptr;
    std::string address;       // Clean.
    std::string original_type; // "rfc822", or empty.
    std::string original;      // Decoded and clean.
    smtp::enhanced_status status;
    std::string said;        // The reply, or our own words; one clean line.
    bool by_peer = false;    // A peer said it.
    std::string remote_name; // Or empty.
};

[[nodiscard]] shown_recipient shown(const reported_recipient& about);

// What the message says of itself.
struct shown_message {
    std::string id;      // "<...>", or empty.
    std::string subject; // In UTF-8, or empty.
    std::string date;    // As it stands there, or empty.
};

[[nodiscard]] shown_message shown(byte_view header);

// The text for people; lines end in '\n'.
[[nodiscard]] std::string in_words(const report& about,
                                   const shown_message& message,
                                   const std::vector<shown_recipient>& recipients);

// The body of message/delivery-status, or of message/global-delivery-status.
[[nodiscard]] std::string
in_fields(const report& about, const std::vector<shown_recipient>& recipients, bool global);

} // namespace ebbgate::dsn
