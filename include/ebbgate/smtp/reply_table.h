// Every fixed reply of the server, in one table. 421 and 521 end the session.
//
// Specs   RFC 5321 4.2.3, RFC 3463, RFC 4954, RFC 3207, RFC 3030, RFC 1870, RFC 6531, RFC 8689.

#pragma once

#include "ebbgate/smtp/reply.h"

namespace ebbgate::smtp::reply_table {

// Went well.
inline constexpr fixed_reply bye = "221 2.0.0 Bye\r\n";
inline constexpr fixed_reply starttls_ready = "220 2.0.0 Ready to start TLS\r\n";
inline constexpr fixed_reply ok = "250 2.0.0 Ok\r\n";
inline constexpr fixed_reply sender_ok = "250 2.1.0 Ok\r\n";
inline constexpr fixed_reply recipient_ok = "250 2.1.5 Ok\r\n";
inline constexpr fixed_reply start_mail_input = "354 End data with <CR><LF>.<CR><LF>\r\n";
inline constexpr fixed_reply authenticated = "235 2.7.0 Authentication successful\r\n";
inline constexpr fixed_reply help =
    "214 2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n";
inline constexpr fixed_reply cannot_verify =
    "252 2.0.0 Cannot VRFY user, try RCPT to attempt delivery\r\n";

// AUTH dialogue.
inline constexpr fixed_reply sasl_continue = "334 \r\n";
inline constexpr fixed_reply sasl_username = "334 VXNlcm5hbWU6\r\n";
inline constexpr fixed_reply sasl_password = "334 UGFzc3dvcmQ6\r\n";
inline constexpr fixed_reply authentication_aborted = "501 5.7.0 Authentication aborted\r\n";
inline constexpr fixed_reply bad_base64 = "501 5.5.2 Cannot decode base64 response\r\n";
inline constexpr fixed_reply bad_sasl_response = "501 5.5.2 Malformed authentication response\r\n";
inline constexpr fixed_reply unknown_mechanism =
    "504 5.5.4 Unrecognized authentication mechanism\r\n";
inline constexpr fixed_reply authentication_failed = "535 5.7.8 Error: authentication failed\r\n";
inline constexpr fixed_reply authentication_unavailable =
    "454 4.7.0 Temporary authentication failure\r\n";
inline constexpr fixed_reply authentication_needs_tls =
    "538 5.7.11 Encryption required for requested authentication mechanism\r\n";
inline constexpr fixed_reply authentication_not_offered =
    "503 5.5.1 Error: authentication not enabled\r\n";
inline constexpr fixed_reply already_authenticated = "503 5.5.1 Error: already authenticated\r\n";
inline constexpr fixed_reply authentication_during_mail =
    "503 5.5.1 Error: AUTH not allowed during a mail transaction\r\n";
inline constexpr fixed_reply authentication_needs_ehlo = "503 5.5.1 Error: send EHLO first\r\n";
inline constexpr fixed_reply sasl_line_too_long =
    "500 5.5.6 Authentication exchange line is too long\r\n";

// Needed first.
inline constexpr fixed_reply tls_required = "530 5.7.0 Must issue a STARTTLS command first\r\n";
inline constexpr fixed_reply authentication_required = "530 5.7.0 Authentication required\r\n";
inline constexpr fixed_reply greeting_required = "503 5.5.1 Error: send HELO/EHLO first\r\n";
inline constexpr fixed_reply mail_required = "503 5.5.1 Error: need MAIL command\r\n";
inline constexpr fixed_reply recipient_required = "503 5.5.1 Error: need RCPT command\r\n";
inline constexpr fixed_reply no_valid_recipients = "554 5.5.1 Error: no valid recipients\r\n";
inline constexpr fixed_reply nested_mail = "503 5.5.1 Error: nested MAIL command\r\n";
inline constexpr fixed_reply recipient_after_bdat = "503 5.5.1 Error: RCPT after BDAT\r\n";
inline constexpr fixed_reply data_after_bdat = "503 5.5.1 Error: DATA after BDAT\r\n";
inline constexpr fixed_reply bdat_out_of_sequence =
    "503 5.5.1 Error: BDAT out of sequence, chunk discarded\r\n";

// STARTTLS.
inline constexpr fixed_reply tls_already_active = "503 5.5.1 Error: TLS already active\r\n";
inline constexpr fixed_reply tls_not_offered = "502 5.5.1 Error: TLS not available\r\n";
inline constexpr fixed_reply tls_during_mail =
    "503 5.5.1 Error: STARTTLS not allowed during a mail transaction\r\n";
inline constexpr fixed_reply plaintext_after_starttls =
    "554 5.5.1 Error: data sent after STARTTLS in the clear\r\n";

// Syntax.
inline constexpr fixed_reply line_too_long = "500 5.5.2 Error: line too long\r\n";
inline constexpr fixed_reply bare_line_ending = "500 5.5.2 Error: bare <CR> or <LF> in command\r\n";
inline constexpr fixed_reply bad_character = "500 5.5.2 Error: bad character in command\r\n";
inline constexpr fixed_reply unknown_command = "500 5.5.2 Error: command not recognized\r\n";
inline constexpr fixed_reply not_implemented = "502 5.5.1 Error: command not implemented\r\n";
inline constexpr fixed_reply bad_helo = "501 5.5.4 Syntax: HELO hostname\r\n";
inline constexpr fixed_reply bad_ehlo = "501 5.5.4 Syntax: EHLO hostname\r\n";
inline constexpr fixed_reply bad_mail = "501 5.5.4 Syntax: MAIL FROM:<address>\r\n";
inline constexpr fixed_reply bad_rcpt = "501 5.5.4 Syntax: RCPT TO:<address>\r\n";
inline constexpr fixed_reply bad_auth = "501 5.5.4 Syntax: AUTH mechanism\r\n";
inline constexpr fixed_reply bad_vrfy = "501 5.5.4 Syntax: VRFY address\r\n";
inline constexpr fixed_reply no_argument_allowed = "501 5.5.4 Error: no argument allowed\r\n";
inline constexpr fixed_reply bad_sender = "501 5.1.7 Bad sender address syntax\r\n";
inline constexpr fixed_reply bad_recipient = "501 5.1.3 Bad recipient address syntax\r\n";
inline constexpr fixed_reply source_route = "501 5.1.3 Source routes are not accepted\r\n";
inline constexpr fixed_reply utf8_not_announced =
    "553 5.6.7 Non-ASCII address without SMTPUTF8\r\n";
inline constexpr fixed_reply address_too_long = "501 5.1.3 Address too long\r\n";
inline constexpr fixed_reply bad_parameter = "501 5.5.4 Error: bad parameter value\r\n";
inline constexpr fixed_reply repeated_parameter = "501 5.5.4 Error: parameter given twice\r\n";
inline constexpr fixed_reply unknown_parameter = "555 5.5.4 Unsupported parameter\r\n";
// Not announced, because it cannot be promised for every destination (RFC 8689 2).
inline constexpr fixed_reply require_tls = "555 5.5.4 REQUIRETLS is not supported\r\n";
inline constexpr fixed_reply binary_mime = "555 5.6.1 BODY=BINARYMIME is not supported\r\n";
// After this one the session ends: where the chunk stops is unknown, and its bytes must not be
// read as commands.
inline constexpr fixed_reply bad_bdat = "521 5.5.4 Syntax: BDAT count [LAST], closing\r\n";
inline constexpr fixed_reply bare_cr_in_message =
    "521 5.5.2 Bare <CR> received, message refused, closing\r\n";
inline constexpr fixed_reply bare_lf_in_message =
    "521 5.5.2 Bare <LF> received, message refused, closing\r\n";
inline constexpr fixed_reply not_http = "521 5.5.1 This is a mail server, closing\r\n";

// Limits.
inline constexpr fixed_reply message_too_big = "552 5.3.4 Message size exceeds fixed limit\r\n";
inline constexpr fixed_reply chunk_too_big = "552 5.3.4 Chunk exceeds message size limit\r\n";
inline constexpr fixed_reply too_many_recipients = "452 4.5.3 Too many recipients\r\n";
inline constexpr fixed_reply too_many_errors = "421 4.7.0 Error: too many errors, closing\r\n";
inline constexpr fixed_reply session_too_long = "421 4.7.0 Error: too many commands, closing\r\n";
inline constexpr fixed_reply too_many_commands =
    "421 4.7.0 Error: too many commands without a message, closing\r\n";
inline constexpr fixed_reply too_many_authentications =
    "421 4.7.0 Error: too many failed authentications, closing\r\n";
inline constexpr fixed_reply too_many_refused_recipients =
    "421 4.7.0 Error: too many refused recipients, closing\r\n";
inline constexpr fixed_reply too_many_messages =
    "421 4.7.0 Error: too many messages in one session, closing\r\n";
inline constexpr fixed_reply idle_too_long = "421 4.4.2 Error: timeout exceeded, closing\r\n";
inline constexpr fixed_reply session_lasts_too_long =
    "421 4.4.2 Error: session lasts too long, closing\r\n";
inline constexpr fixed_reply closing_down = "421 4.3.2 Service shutting down, closing\r\n";
inline constexpr fixed_reply too_busy = "421 4.3.2 Too busy, try again later\r\n";
inline constexpr fixed_reply too_many_connections = "421 4.7.0 Too many connections\r\n";
inline constexpr fixed_reply banned = "554 5.7.1 Access denied\r\n";

// From the stages behind the session.
inline constexpr fixed_reply internal_error = "451 4.3.0 Internal error, try again later\r\n";
inline constexpr fixed_reply storage_failed = "451 4.3.0 Queue file write error\r\n";
inline constexpr fixed_reply storage_full = "452 4.3.1 Insufficient system storage\r\n";
inline constexpr fixed_reply null_sender_refused =
    "553 5.7.1 <>: Sender address rejected: not authorized to send\r\n";
inline constexpr fixed_reply author_missing = "553 5.7.1 Message has no From field\r\n";
inline constexpr fixed_reply malformed_header = "550 5.6.0 Malformed message header\r\n";
// More than one From, or one that hides an address.
inline constexpr fixed_reply unclear_author =
    "553 5.7.1 From field rejected: it must name its authors once and clearly\r\n";
inline constexpr fixed_reply unsigned_message =
    "550 5.7.20 Message rejected: there is no DKIM key for its From domain\r\n";
inline constexpr fixed_reply signing_failed = "451 4.7.5 Error: message could not be signed\r\n";
inline constexpr fixed_reply relay_denied = "554 5.7.1 Relay access denied\r\n";

} // namespace ebbgate::smtp::reply_table
