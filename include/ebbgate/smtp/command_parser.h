// Reads one SMTP command line into a verb and its arguments.
//
// Input   A line without its CRLF.
// Output  Views of the line; the line must outlive the command.
// Fails   With a fault per kind of mistake; `reply_for` has the answer for the peer.
// Bounds  The line is bounded by the line reader. No allocation.
// Specs   RFC 5321 4.1, RFC 1870 (SIZE), 3030 (BDAT), 3207, 3461 (DSN), 4954 (AUTH), 6152, 6531.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/smtp/address.h"
#include "ebbgate/smtp/reply.h"

#include <cstdint>
#include <expected>
#include <optional>

namespace ebbgate::smtp {

// RFC 3461 4.4 and 4.2.
inline constexpr std::size_t envelope_id_bytes_max = 100;
inline constexpr std::size_t original_recipient_bytes_max = 500;
inline constexpr std::size_t hello_name_bytes_max = 255;

enum class verb : std::uint8_t {
    ehlo,
    helo,
    mail,
    rcpt,
    data,
    bdat,
    rset,
    noop,
    vrfy,
    help,
    quit,
    starttls,
    auth,
    unimplemented, // EXPN ETRN TURN ATRN SEND SOML SAML XCLIENT XFORWARD PROXY
    http,          // GET POST HEAD PUT ...: a browser, or somebody abusing one.
    unknown,
};
inline constexpr std::size_t verb_count = 16;

[[nodiscard]] byte_view to_text(verb verb) noexcept; // Lower case, for the log.

enum class body_kind : std::uint8_t { seven_bit, eight_bit_mime };
enum class dsn_return_kind : std::uint8_t { unset, full, headers };

struct mail_parameters {
    std::optional<std::uint64_t> message_bytes; // SIZE; more than 64 bits count as the largest.
    body_kind body = body_kind::seven_bit;
    dsn_return_kind ret = dsn_return_kind::unset;
    bool smtputf8 = false;
    byte_view envelope_id; // xtext as given.
    byte_view submitter;   // AUTH=: xtext as given, "<>" too.
};

// NOTIFY as bits; the values are those of message::notify_*.
inline constexpr std::uint8_t notify_never_bit = 1;
inline constexpr std::uint8_t notify_success_bit = 2;
inline constexpr std::uint8_t notify_failure_bit = 4;
inline constexpr std::uint8_t notify_delay_bit = 8;

struct recipient_parameters {
    std::uint8_t notify = 0;
    byte_view original; // ORCPT as given: "rfc822;xtext".
};

struct command {
    smtp::verb verb = verb::unknown;
    // EHLO and HELO: the name. AUTH: the mechanism. VRFY, NOOP, HELP: the rest of the line.
    byte_view argument;
    byte_view initial_response; // AUTH, when there is one.
    bool has_initial_response = false;
    smtp::path path; // MAIL and RCPT.
    mail_parameters mail;
    recipient_parameters recipient;
    std::uint64_t chunk_bytes = 0; // BDAT.
    bool last_chunk = false;
};

enum class command_fault : std::uint8_t {
    bad_character,
    bad_helo,
    bad_ehlo,
    bad_mail,
    bad_rcpt,
    bad_auth,
    bad_vrfy,
    bad_bdat,
    unexpected_argument,
    bad_sender,
    bad_recipient,
    source_route,
    address_too_long,
    needs_smtputf8,
    bad_parameter,
    repeated_parameter,
    unknown_parameter,
    binary_mime,
    require_tls,
};

[[nodiscard]] fixed_reply reply_for(command_fault fault) noexcept;

// What verb a line starts with; cheap. parse_command starts with it too.
[[nodiscard]] verb verb_of(byte_view line) noexcept;

// `smtputf8`: the transaction asked for it (matters for RCPT; MAIL brings its own).
[[nodiscard]] std::expected<command, command_fault> parse_command(byte_view line, bool smtputf8);

} // namespace ebbgate::smtp
