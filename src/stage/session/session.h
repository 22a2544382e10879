// Stage 2 of 8. One inbound SMTP session: bytes in, replies and one envelope with its body out.
//
// Input   What the client sent, decrypted, in chunks of any size.
// Output  Calls of the handler.
// Owner   The connection, on its shard. Holds no socket, no clock and no coroutine.
// Fails   Never: whatever the client sends gets a reply or a close.
// Bounds  session::limits, smtp::command_line_bytes_max. Between transactions a session is this
//         object, the EHLO name and nothing else.
// Specs   RFC 5321, 6409; extensions in RFC 1870, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 9422.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/smtp/command_parser.h"
#include "ebbgate/smtp/data_decoder.h"
#include "ebbgate/smtp/line_reader.h"
#include "ebbgate/smtp/reply.h"

#include "stage/session/check_sequence.h"
#include "stage/session/handler.h"
#include "stage/session/settings.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace ebbgate::session {

enum class authentication_result : std::uint8_t {
    accepted,
    rejected,
    unavailable,
    too_many_connections, // Of the tenant whose login it is; the session ends.
};

// Which timer the caller should have running.
enum class deadline_kind : std::uint8_t {
    command,       // Between commands (RFC 5321 4.5.3.2.7: 5 minutes at least).
    sasl,          // A 334 was sent. Time-outs here are a cause for a ban.
    data,          // Within a message.
    tls_handshake, // start_tls() was called.
    none,          // We owe the answer.
    closed,
};

// For the line logged at disconnect ("ehlo=2 starttls=1 auth=0/1 commands=3/4").
struct counters {
    std::array<std::uint32_t, smtp::verb_count> total{};
    std::array<std::uint32_t, smtp::verb_count> accepted{}; // Answered 2xx or 3xx.
    std::uint32_t commands = 0;
    std::uint32_t errors = 0;
    std::uint32_t messages_accepted = 0;
};

class session {
public:
    // Both must outlive the session.
    session(const settings& settings, handler& handler) noexcept;
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Sends the banner, or the refusal of check_client().
    void start();

    // Takes bytes, and says how many. All of them, unless it is waiting for an answer (then feed
    // the rest again after it) or has closed (then nothing is wanted any more). `more_behind`: the
    // caller has more, received together with these, and will feed it next.
    std::size_t feed(byte_view bytes, bool more_behind = false);

    // Answers of the handler. They may come from within the call they answer.
    void authentication_finished(authentication_result result);
    void message_finished(const smtp::reply& reply);
    // The same, and the refusal is a strike.
    void message_refused(const smtp::reply& reply, strike_cause cause);
    // Sends the reply that waited for it; a banned client's session ends behind it.
    void strike_settled(bool banned);
    // The handshake is done: the session starts again, without a banner. Nothing received in the
    // clear is remembered.
    void tls_started();

    // The account's own limit, after AUTH; announced by the next EHLO.
    void set_message_bytes_max(std::uint64_t bytes) noexcept { message_bytes_max_ = bytes; }

    // The deadline passed, or the daemon stops: sends 421 and closes. An unfinished message is
    // dropped. A session that waits for message_finished() is closed after that answer, because
    // a client that does not get it sends the message twice.
    void timed_out();
    void lasted_too_long();
    void shut_down();
    // Any other end that we decide.
    void close_with(const smtp::reply& reply);
    // The client's address is banned: no more replies, but for one that is owed for a message.
    void cut();
    // The connection is gone. Drops an unfinished message; calls neither send() nor close().
    void connection_lost();

    [[nodiscard]] bool waiting() const noexcept {
        return phase_ >= phase::tls_handshake && phase_ <= phase::strike_answer;
    }

    [[nodiscard]] bool closed() const noexcept { return phase_ == phase::closed; }

    [[nodiscard]] deadline_kind deadline() const noexcept;

    // Between AUTH and its final reply. A connection lost here is a strike, so ask before
    // telling the session with connection_lost() or timed_out().
    [[nodiscard]] bool authenticating() const noexcept {
        return phase_ == phase::sasl || phase_ == phase::sasl_answer;
    }

    [[nodiscard]] bool authenticated() const noexcept { return authenticated_; }

    [[nodiscard]] bool tls_active() const noexcept { return tls_active_; }

    [[nodiscard]] bool in_transaction() const noexcept { return transaction_ != nullptr; }

    // Of the message that ended last, in the octets of RFC 1870: without the stuffed dots.
    [[nodiscard]] std::uint64_t message_bytes() const noexcept { return ended_message_bytes_; }

    // The same of LIMITS RCPTMAX; the handler enforces it.
    void set_recipients_max(std::uint32_t count) noexcept { recipients_max_ = count; }

    // The name of this host for a client whose tenant has its own; empty: the listener's.
    void set_hostname(std::string name) { hostname_ = std::move(name); }

    [[nodiscard]] const std::string& hostname() const noexcept {
        return hostname_.empty() ? settings_.hostname : hostname_;
    }

    [[nodiscard]] byte_view helo_name() const noexcept { return helo_name_; }

    // "ESMTPSA" and so on, for Received (RFC 3848, RFC 6531 4.3); a literal.
    [[nodiscard]] byte_view protocol(bool smtputf8) const noexcept;

    // Of the AUTH that succeeded, else of the last one: "PLAIN", "LOGIN" or "unknown"; a literal.
    [[nodiscard]] byte_view sasl_method() const noexcept { return sasl_method_; }

    [[nodiscard]] const counters& statistics() const noexcept { return counters_; }

private:
    struct transaction;
    struct sasl_exchange;

    enum class phase : std::uint8_t {
        command,
        sasl,  // A 334 was sent.
        data,  // Between 354 and the end mark.
        chunk, // Within a BDAT chunk.
        // Waiting for the handler; waiting() relies on the order.
        tls_handshake,
        sasl_answer,
        message_answer,
        strike_answer,
        closed,
    };

    // session.cc
    std::size_t feed_line(byte_view bytes);
    void on_line_fault(const smtp::line_step& step);
    void on_command(byte_view line);
    void send(const smtp::fixed_reply& reply);
    // At once, or behind the answer that is owed.
    void end_soon(const smtp::fixed_reply& reply);
    void send(const smtp::reply& reply);
    void note_success(int code);
    void note_refusal(const smtp::reply& reply);
    void enforce_limits();
    void strike(strike_cause cause, const smtp::reply& reply);
    void end_for(const smtp::reply& fault, std::string_view rule);
    void close_now();
    void forget_transaction();

    // command_table.cc
    void dispatch(const smtp::command& command);
    [[nodiscard]] sequence_state sequence() const noexcept;

    // commands.cc
    void on_ehlo(const smtp::command& command);
    void on_helo(const smtp::command& command);
    void on_rset(const smtp::command& command);
    void on_noop(const smtp::command& command);
    void on_vrfy(const smtp::command& command);
    void on_help(const smtp::command& command);
    void on_quit(const smtp::command& command);
    void on_starttls(const smtp::command& command);
    void on_unimplemented(const smtp::command& command);
    void on_http(const smtp::command& command);
    void on_unknown(const smtp::command& command);

    // transaction.cc
    void on_mail(const smtp::command& command);
    void on_rcpt(const smtp::command& command);
    void on_data(const smtp::command& command);
    void on_bdat(const smtp::command& command);
    bool begin_body();
    void discard_chunk(std::uint64_t chunk_bytes);

    // body.cc
    std::size_t feed_data(byte_view bytes);
    std::size_t feed_chunk(byte_view bytes);
    void refuse_line_ending(smtp::data_fault fault);
    void end_chunk();
    void end_body();

    // authenticate.cc
    void on_auth(const smtp::command& command);
    void on_sasl_line(byte_view line);
    void on_sasl_response(std::string response);
    void verify(std::string login, std::string password);
    void end_sasl(const smtp::fixed_reply& reply);
    void fail_sasl();
    void refuse_login(std::string_view why);

    const settings& settings_;
    handler& handler_;
    smtp::line_reader reader_;
    std::string helo_name_;
    std::string hostname_;
    std::unique_ptr<transaction> transaction_;
    std::unique_ptr<sasl_exchange> sasl_;
    std::unique_ptr<smtp::reply> struck_; // Waits for strike_settled().
    byte_view sasl_method_;
    std::uint64_t message_bytes_max_;
    std::uint32_t recipients_max_ = 0; // 0: the listener's.
    std::uint64_t ended_message_bytes_ = 0;
    std::uint64_t chunk_left_bytes_ = 0;
    std::uint64_t swallowed_bytes_ = 0;
    counters counters_;
    std::uint32_t messages_begun_ = 0;
    // Since the last message that was accepted.
    std::uint32_t errors_ = 0;
    std::uint32_t refused_recipients_ = 0;
    std::uint32_t commands_without_message_ = 0;
    std::uint32_t authentications_failed_ = 0;
    phase phase_ = phase::command;
    smtp::verb current_verb_ = smtp::verb::unknown;
    bool tls_active_;
    bool extended_ = false; // EHLO rather than HELO.
    bool authenticated_ = false;
    bool more_behind_ = false;    // Behind the chunk at hand.
    bool bytes_follow_ = false;   // Behind the command line at hand, received with it.
    bool bdat_failed_ = false;    // Chunks pipelined behind a failed one are thrown away.
    bool recipient_told_ = false; // The handler refused it, and knows.
    bool close_after_answer_ = false;
};

} // namespace ebbgate::session
