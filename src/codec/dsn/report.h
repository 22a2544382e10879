// Writes the report on a message that goes back to its sender: what became of it, first in words.
//
// Input   What is known of the message and of each recipient that is reported; which those are is
//         decided before (due.h). Texts of peers may be hostile.
// Output  A whole message in CRLF lines, not dot-stuffed: multipart/report with a text for people,
//         the delivery status, and the message or its header. To be sent from <> to the sender.
// Owner   Free functions; views live for the call.
// Fails   Never: what cannot be shown is left out or shown as '?'.
// Bounds  limits below; memory linear in the input.
// Specs   RFC 3461, RFC 3462/6522, RFC 3464, RFC 3834, RFC 6533; RFC 5321 sections 4.5.5 and 6.3.

#pragma once

#include "ebbgate/message/envelope.h"
#include "ebbgate/smtp/reply.h"

#include "codec/dsn/due.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::dsn {

inline constexpr std::size_t returned_bytes_max = 50'000; // Postfix's bounce_size_limit.
inline constexpr std::size_t header_bytes_max = 64 * kib; // Of the header that is returned.
inline constexpr std::size_t reply_bytes_max = 1'000;     // Of a peer's text.
inline constexpr std::size_t address_bytes_max = 320;
inline constexpr std::size_t recipients_in_words_max = 50; // The rest is in the status only.

struct reported_recipient {
    std::string address;
    std::string original; // ORCPT exactly as received, or empty.
    dsn::action action = dsn::action::failed;
    bool expired = false;         // Failed, because it was tried for too long.
    smtp::enhanced_status status; // Absent: the reply's, or what the action calls for.
    smtp::reply reply;            // Code 0: no peer said it; the text is ours.
    std::string remote_name;      // Host name of who said it; anything else is left out.
    std::int64_t last_attempt_unix_s = 0;
    std::int64_t retry_until_unix_s = 0; // Delayed only.
};

struct report {
    // Who reports.
    std::string id;           // Letters and digits, unique: for Message-ID and the boundary.
    std::string hostname;     // Reporting-MTA, and behind the @ of the Message-ID.
    std::string from_address; // Empty: MAILER-DAEMON@hostname.
    std::string from_name = "Mail Delivery System";
    std::string contact; // Whom to ask for help. Empty: postmaster@hostname.
    std::int64_t now_unix_s = 0;

    // About which message.
    std::string sender;      // Never empty.
    std::string envelope_id; // ENVID exactly as received, or empty.
    std::int64_t arrival_unix_s = 0;
    message::dsn_return ret = message::dsn_return::unset;
    bool smtputf8 = false;
    byte_view header; // Unstuffed, CRLF lines, without the empty one.
    // All of it, unstuffed, header included; empty: only the header is returned.
    byte_view whole;

    // Best all with one action: some parsers take a report that has two for one of the lesser.
    std::vector<reported_recipient> recipients;
};

struct written_report {
    std::string text;
    bool eight_bit = false; // The next hop must take 8BITMIME,
    bool smtputf8 = false;  // and SMTPUTF8: an address in the header is not ASCII.
};

// Whether `whole` is of use: RET=FULL holds only for failures, and for what is small enough.
[[nodiscard]] bool returns_whole(message::dsn_return ret,
                                 bool any_failed,
                                 std::uint64_t message_bytes,
                                 std::uint64_t bytes_max = returned_bytes_max) noexcept;

[[nodiscard]] written_report write_report(const report& about);

} // namespace ebbgate::dsn
