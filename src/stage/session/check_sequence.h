// Stage 2 of 8. Which command may come when: pure rules, one function a verb.
//
// Output  The reply that refuses the command, or nothing.
// Specs   RFC 5321 4.1.4, RFC 3207 4, RFC 4954 4, RFC 3030 2.

#pragma once

#include "ebbgate/smtp/reply.h"

#include <optional>

namespace ebbgate::session {

struct sequence_state {
    bool greeted = false;  // EHLO or HELO.
    bool extended = false; // EHLO.
    bool tls_active = false;
    bool tls_available = false;
    bool tls_required = false;
    bool authentication_offered = false;
    bool authenticated = false;
    bool in_transaction = false;
    bool has_recipients = false;
    bool recipient_refused = false;
    bool bdat_begun = false; // A chunk of this message was taken.
    bool bdat_failed = false;
};

using refusal = std::optional<smtp::fixed_reply>;

[[nodiscard]] refusal check_nothing(const sequence_state& state);
[[nodiscard]] refusal check_mail(const sequence_state& state);
[[nodiscard]] refusal check_rcpt(const sequence_state& state);
[[nodiscard]] refusal check_data(const sequence_state& state);
[[nodiscard]] refusal check_bdat(const sequence_state& state);
[[nodiscard]] refusal check_auth(const sequence_state& state);
[[nodiscard]] refusal check_starttls(const sequence_state& state);

} // namespace ebbgate::session
