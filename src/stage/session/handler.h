// Stage 2 of 8. What a session asks of the relay, which implements this interface.
//
// Owner   The connection. A handler outlives its session.
// Fails   Refusals are replies; the session sends them and goes on.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/message/envelope.h"
#include "ebbgate/smtp/command_parser.h"
#include "ebbgate/smtp/reply.h"

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

namespace ebbgate::session {

// What counts against the client's address, three times of which ban it.
enum class strike_cause : std::uint8_t { login, insecure_authentication, sender };

struct sender_refusal {
    smtp::reply reply;
    bool is_strike = false; // The sender is not the client's to use.
};

class handler {
public:
    virtual ~handler() = default;

    // Bytes for the client, in order. Called once per reply; write them together when feed()
    // returns.
    virtual void send(byte_view reply_bytes) = 0;
    // The 220 has been sent: what arrives from now on is the TLS handshake. Answered by
    // session::tls_started(). A failed handshake just closes the connection.
    virtual void start_tls() = 0;
    // MAIL or a message was refused, or the session ends for a fault of the client: for the log.
    // Comes before the reply is sent. Recipients are not told of here: check_recipient() knows.
    // `rule`: the limit of a session that was reached; empty: the handler knows, or the standard.
    virtual void refused(smtp::verb verb, const smtp::reply& reply, std::string_view rule) = 0;
    // Close once everything sent has gone out. No call follows.
    virtual void close() = 0;

    // Base64 of RFC 4648, strict; nullopt when it is none. The TLS library has the decoder.
    virtual std::optional<std::string> decode_base64(byte_view text) = 0;
    // Answered by session::authentication_finished(), now or later.
    virtual void authenticate(std::string login, std::string password) = 0;
    // Comes before the reply that says no, which waits for session::strike_settled(), now or later.
    virtual void strike(strike_cause cause) = 0;

    // Before the banner. A refusal is sent instead of it and ends the session.
    virtual std::optional<smtp::reply> check_client() = 0;
    // Whether this client may send without AUTH (relay_hosts). Asked at MAIL.
    virtual bool may_relay() = 0;
    virtual std::optional<sender_refusal> check_sender(const smtp::path& sender,
                                                       const smtp::mail_parameters& parameters) = 0;
    // `envelope` holds what was accepted so far. `address` is what will be stored.
    virtual std::optional<smtp::reply> check_recipient(const message::envelope& envelope,
                                                       byte_view address) = 0;

    // Before 354, or at the first BDAT. The session filled in sender, recipients, DSN parameters
    // and client_helo; the rest is the handler's.
    virtual std::expected<void, smtp::reply> begin_message(message::envelope&& envelope) = 0;
    // Message bytes in wire form (CRLF, dots stuffed, without the end mark). Hot.
    virtual void body(byte_view wire) = 0;
    // Answered by session::message_finished(), now or later.
    virtual void end_message() = 0;
    // After begin_message, instead of end_message: keep nothing of it.
    virtual void abort_message() = 0;

    // A transaction that check_sender() allowed is over before a message began.
    virtual void transaction_dropped() {}
};

} // namespace ebbgate::session
