// One connection to a destination: speaks SMTP as a client, one message after another.
//
// Stage   7 of 8. Before it: schedule. After it: outcome.
// Input   Jobs from its owner: envelope, recipients, message bytes in wire form.
// Output  For each job exactly one outcome a recipient, then the next job is asked for.
// Owner   The shard. Frees itself after on_closed(), which comes once.
// Fails   Every failure is an outcome: a reply, a lost connection, a time-out, a protocol fault.
// Bounds  One job at a time; message bytes are asked for as the output drains. For BDAT at most
//         bdat_bytes_max of them are gathered.
// Specs   RFC 5321 section 4.5.3.2 (time-outs), RFC 2920 (pipelining), RFC 3207 (STARTTLS),
//         RFC 3030 (CHUNKING), RFC 9422 (LIMITS).
//
// BDAT. To a peer with CHUNKING and PIPELINING a message of at most bdat_bytes_max goes in the same
// flight as its envelope: one round trip, where DATA takes two. A larger one goes by DATA: a round
// trip is little beside it, and its bytes are not sent for recipients that may all be refused.
// BINARYMIME is not offered to our clients, so nothing ever needs BDAT. The price is doubt: a
// connection that breaks before the peer has answered may have taken the message.

#pragma once

#include "ebbgate/base/chunks.h"
#include "ebbgate/message/envelope.h"
#include "ebbgate/smtp/data_decoder.h"
#include "ebbgate/smtp/reply.h"
#include "ebbgate/smtp/reply_parser.h"

#include "runtime/net/listener.h"
#include "runtime/net/stream.h"
#include "runtime/tls/tls.h"
#include "stage/deliver/attempt.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::deliver {

enum class tls_use : std::uint8_t { off, opportunistic, required };

struct destination {
    net::bind_address address;
    std::string source; // The address to connect from; empty: the kernel chooses.
    std::string host;   // As configured: for SNI and the log.
    tls_use tls = tls_use::opportunistic;
    // Of the certificate. One that is enforced goes with tls_use::required.
    tls::requirement requirement = {};
    std::shared_ptr<const tls::trust_store> authorities = {};
    std::string server_name = {}; // For SNI, when it is not the host.
};

// How far TLS came. A connection made again in the clear keeps what the first one came to.
enum class tls_state : std::uint8_t { untried, not_offered, refused, failed, established };

// `coming`: the owner has one and fetches it, and wake() or shut_down() follows. After `none` the
// connection parks until wake(), or until its idle time is over.
enum class next_job_result : std::uint8_t { here, coming, none };

class client;

class client_owner {
public:
    // Connected, greeted, and through EHLO: the destination works.
    virtual void on_ready(client& client) = 0;
    virtual next_job_result next_job(client& client, job& next) = 0;
    // The message bytes, in wire form and without the end mark: write_body() them, in any number of
    // calls, then call body_written(). Asked again (on_room) when the output has drained.
    virtual void send_body(client& client) = 0;
    virtual void on_room(client& client) = 0;
    // Told once a job. It may not destroy the client.
    virtual void on_outcome(client& client, std::vector<recipient_outcome> outcomes) = 0;
    // The end. `before_ready`: it never worked; the text says why.
    virtual void on_closed(client& client, bool before_ready, const std::string& why) = 0;

protected:
    ~client_owner() = default;
};

struct client_settings {
    std::string ehlo_name;
    std::uint32_t messages_max = 1000;
    bool chunking = true; // Small messages by BDAT, where it is offered.
    // RFC 6152 would have an 8-bit body converted or bounced where 8BITMIME is not offered. Nothing
    // converts here (it would break signatures), and servers that do not offer it pass eight bits
    // on all the same: sent as it is, unless this says bounce.
    bool bounce_eight_bit = false;
    std::uint64_t connect_timeout_ms = 30'000;
    std::uint64_t greeting_timeout_ms = 300'000; // RFC 5321 4.5.3.2.1
    std::uint64_t command_timeout_ms = 300'000;  // 4.5.3.2.2, 4.5.3.2.3
    std::uint64_t data_timeout_ms = 120'000;     // 4.5.3.2.4
    std::uint64_t body_timeout_ms = 180'000;     // 4.5.3.2.5, for each block
    std::uint64_t final_timeout_ms = 600'000;    // 4.5.3.2.6
    std::uint64_t idle_timeout_ms = 30'000;

    bool operator==(const client_settings&) const = default;
};

class client final : public net::stream_observer {
public:
    static constexpr std::size_t recipients_max_unsaid = 100;
    static constexpr std::size_t bdat_bytes_max = 64 * kib;
    // Slower than that it would hold a connection and its message for days.
    static constexpr std::uint64_t body_rate_least = 500; // Bytes a second.

    client(task::reactor& reactor,
           net::flusher& flusher,
           const client_settings& settings,
           std::shared_ptr<tls::context> tls,
           deliver::destination destination,
           client_owner& owner);
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    void start();
    // There is work again for a parked client. False: it is closing and takes no more.
    [[nodiscard]] bool wake();

    [[nodiscard]] bool is_idle() const noexcept { return step_ == step::idle; } // wake() works.

    // After the running job, QUIT and close.
    void shut_down();
    // Now, whatever runs: it ends as a lost connection does.
    void cut();

    // False: wait for on_room().
    [[nodiscard]] bool can_write() const noexcept {
        return stream_ != nullptr && stream_->can_write();
    }

    // From send_body() or on_room().
    void write_body(byte_view wire);
    void write_body(const chunks& wire);
    // The same: all has been written.
    void body_written();
    // The message cannot be read: the connection is given up before the end mark.
    void body_failed(const char* why);

    [[nodiscard]] const job& current() const noexcept { return job_; }

    [[nodiscard]] const deliver::destination& where() const noexcept { return destination_; }

    // That it connected from; empty before.
    [[nodiscard]] const std::string& local_address() const noexcept { return local_address_; }

    // In one transaction: what the destination says (RFC 9422), else what RFC 5321 4.5.3.1.8 has it
    // take at least.
    [[nodiscard]] std::size_t recipients_max() const noexcept {
        return peer_.recipients_max > 0 ? peer_.recipients_max : recipients_max_unsaid;
    }

    // The name in its reply to EHLO; empty: none yet.
    [[nodiscard]] const std::string& peer_name() const noexcept { return peer_.name; }

    // The latest that this connection has met with; for on_closed() too.
    [[nodiscard]] push_back pushed_back() const noexcept { return push_back_; }

    // It offers CHUNKING and does not know BDAT.
    [[nodiscard]] bool refuses_chunks() const noexcept { return refuses_chunks_; }

    [[nodiscard]] std::uint32_t uses() const noexcept { return uses_; }

    [[nodiscard]] const std::string& tls_cipher() const noexcept { return tls_facts_.cipher; }

    [[nodiscard]] deliver::tls_state tls_state() const noexcept { return tls_state_; }

    // With tls_state::failed: why.
    [[nodiscard]] const tls::session_facts& tls_facts() const noexcept { return tls_facts_; }

    [[nodiscard]] std::uint64_t connection_us() const noexcept { return connection_us_; }

    void* context = nullptr; // The owner's.

    std::size_t on_input(byte_view bytes) noexcept override;
    void on_closed(net::close_reason reason) noexcept override;
    void on_output_sent() noexcept override;

private:
    enum class step : std::uint8_t {
        connect,
        greeting,
        ehlo,
        helo,
        starttls,
        handshake,
        idle,
        gather, // Of the body, for BDAT; nothing of the message has been sent.
        mail,
        rcpt,
        data,
        body,
        final_reply,
        reset,
        quit,
        closed,
    };

    struct deadline_timer : task::timer {
        client* owner = nullptr;
    };

    ~client();

    void on_connected(int fd) noexcept;
    void on_reply(const smtp::reply& reply);
    void on_greeting(const smtp::reply& reply);
    void note_refused_greeting(const smtp::reply& reply) noexcept;
    void on_ehlo(const smtp::reply& reply);
    void on_mail_reply(const smtp::reply& reply);
    void on_recipient_reply(const smtp::reply& reply);
    void on_data_reply(const smtp::reply& reply);
    void judge_bdat(const smtp::reply& reply) noexcept;
    void on_final_reply(const smtp::reply& reply);
    void start_tls();
    [[nodiscard]] std::string tls_failure() const;
    void ready();
    void take_job();
    [[nodiscard]] std::uint32_t messages_max() const noexcept;
    [[nodiscard]] bool peer_lacks_something();
    void begin_transaction();
    void send_envelope();
    void gather(byte_view wire);
    void end_body();
    [[nodiscard]] std::string line_for(std::size_t position) const;
    // `replies`: how many the text asks for.
    void say(byte_view text, step next, std::uint64_t timeout_ms, std::size_t replies = 1);
    void arm(std::uint64_t timeout_ms);

    [[nodiscard]] std::uint64_t least_body_bytes() const noexcept {
        return std::max<std::uint64_t>(1, settings_.body_timeout_ms * body_rate_least / 1000);
    }

    // 421, or no reply that a command can have: given up.
    [[nodiscard]] bool ends_the_connection(const smtp::reply& reply);
    void set_outcome(std::size_t position, const smtp::reply& reply, const char* command);
    // Of all recipients that have none; its result where the code does not say it.
    void fail_rest(const smtp::reply& reply, const char* command);
    void fail_rest(const smtp::reply& reply, const char* command, attempt_result result);
    [[nodiscard]] bool any_accepted() const noexcept;
    void end_job_as_lost(const std::string& why);
    void reset_after_job();
    void tell_outcomes();
    void quit();
    void abandon(const std::string& why);
    void give_up(const std::string& why);
    void finish(bool before_ready, const std::string& why);

    task::reactor& reactor_;
    net::flusher& flusher_;
    const client_settings& settings_;
    std::shared_ptr<tls::context> tls_;
    deliver::destination destination_;
    std::string local_address_;
    client_owner& owner_;
    net::stream* stream_ = nullptr;
    deadline_timer deadline_;
    smtp::reply_parser parser_;
    smtp::ehlo_response peer_;
    job job_;
    std::vector<recipient_outcome> outcomes_;
    std::vector<bool> accepted_;
    smtp::dot_unstuffer unstuffer_;
    std::string gathered_; // The body as BDAT wants it.
    tls::session_facts tls_facts_;
    std::uint64_t begun_us_ = 0;
    std::uint64_t connection_us_ = 0;
    std::size_t answered_ = 0; // Recipients that have a reply.
    std::size_t owed_replies_ = 0;
    std::size_t output_at_arm_ = 0; // Bytes still to be sent; fewer later on: it moves.
    std::uint32_t uses_ = 0;
    step step_ = step::connect;
    push_back push_back_ = push_back::none;
    bool refuses_chunks_ = false;
    deliver::tls_state tls_state_ = deliver::tls_state::untried;
    bool secure_ = false;
    bool was_ready_ = false;
    bool has_job_ = false;
    bool mail_accepted_ = false;
    bool pipelined_ = false;
    bool by_bdat_ = false;
    bool end_mark_due_ = false;     // The body has been written, not yet sent.
    bool gather_failed_ = false;    // What the owner wrote is not in wire form.
    bool may_have_arrived_ = false; // Its last byte was written, and no reply refuses it.
    bool stopping_ = false;
    bool out_of_step_ = false; // It replied to what nobody asked: the connection is of no use.
    bool plain_again_ = false; // A broken handshake: connect once more without TLS.
};

} // namespace ebbgate::deliver
