// What happened to messages, told to the event log and the text log at once.
//
// Input   The relay's own nouns.
// Output  Lines gathered in two buffers, handed to the log files in blocks.
// Owner   One a shard.
// Bounds  block_bytes_max is handed over at once, anything else within hold_ms: each block costs a
//         wake of the writing thread.

#pragma once

#include "ebbgate/message/envelope.h"
#include "ebbgate/smtp/reply.h"

#include "runtime/tls/requirement.h"
#include "stage/outcome/event.h"
#include "stage/outcome/log_file.h"
#include "stage/outcome/text_log.h"
#include "stage/session/session.h"
#include "store/blob/blob_store.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace ebbgate::relay {

// Where an attempt went, and how long its parts took.
struct attempt_place {
    std::string_view site; // Lane.
    std::string_view host;
    std::string_view address;
    std::uint16_t port = 0;
    std::string_view source;         // As the policy names it; empty: none,
    std::string_view source_address; // and the kernel chose this.
    std::uint32_t connection_uses = 1;
    std::string tls; // "may/encrypt"; see docs/tls.md.
    const tls::session_facts* tls_session = nullptr;
    std::int64_t queued_us = 0; // Since the message was received.
    std::int64_t connection_us = 0;
    std::int64_t transmission_us = 0;
};

struct attempt {
    outcome::event_type type = outcome::event_type::delivery;
    std::uint32_t recipient = 0; // Index in the envelope.
    const smtp::reply* reply = nullptr;
    std::string_view command;
    std::uint32_t number = 1;
    std::string_view bounce_class; // Of a failure; empty: none.
};

// Literals, as the session gives them.
struct how_received {
    std::string_view protocol;    // "ESMTPSA"
    std::string_view sasl_method; // "PLAIN"; only looked at where there is an account.
};

class journal {
public:
    static constexpr std::size_t block_bytes_max = 64 * kib;
    static constexpr std::uint64_t hold_ms = 20;

    journal(std::string_view hostname,
            std::uint32_t pid,
            outcome::log_file& events,
            outcome::log_file& text);

    void connected(std::int64_t unix_us, std::string_view address);
    void
    disconnected(std::int64_t unix_us, std::string_view address, const session::counters& counters);
    void connection_lost(std::int64_t unix_us,
                         std::string_view address,
                         std::string_view after,
                         bool timed_out);
    void login_failed(std::int64_t unix_us,
                      std::string_view address,
                      std::string_view sasl_method,
                      std::string_view login,
                      const smtp::reply& reply,
                      std::string_view why);
    void rejected(std::int64_t unix_us,
                  std::string_view address,
                  std::string_view stage,
                  const smtp::reply& reply,
                  const message::envelope& envelope,
                  std::string_view recipient,
                  std::string_view rule); // Of the policy; empty: none, the protocol's.
    void received(std::int64_t unix_us,
                  const message::envelope& envelope,
                  const how_received& how,
                  std::uint64_t bytes);
    // An attachment of it became a link.
    void linked(std::int64_t unix_us, const message::envelope& envelope, const blob::link& link);
    void attempted(std::int64_t unix_us,
                   const message::envelope& envelope,
                   std::uint64_t bytes,
                   const attempt& attempt,
                   const attempt_place& place);
    // A report on a message was queued as a message of its own.
    void reported(std::int64_t unix_us,
                  std::uint64_t about,
                  const message::envelope& report,
                  std::uint64_t bytes,
                  std::string_view action);
    void removed(std::int64_t unix_us, std::uint64_t id);
    void note(std::int64_t unix_us, std::string_view service, std::string_view text);

    // Once a turn.
    void flush_if_due(std::uint64_t now_ms);
    void flush();

    [[nodiscard]] bool has_lines() const noexcept {
        return !event_lines_.empty() || !text_lines_.empty();
    }

private:
    void after_line();

    outcome::event_writer events_;
    outcome::text_log text_;
    outcome::log_file& event_file_;
    outcome::log_file& text_file_;
    std::string event_lines_;
    std::string text_lines_;
    std::uint64_t flushed_ms_ = 0;
};

} // namespace ebbgate::relay
