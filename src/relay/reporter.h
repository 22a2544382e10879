// Tells senders what became of their mail: writes delivery status notifications and queues them.
//
// Input   Outcomes of recipients, one after another; then send() for a message.
// Output  For each action one report, stored durably and given to the queue as any message is.
// Owner   Outbound of one shard.
// Fails   A report that cannot be stored is tried again; until it is, its recipients stay in the
//         message's state, so that after a crash they end, and are reported, once more.
// Bounds  reports_max under way, the rest wait and keep their messages in memory. Beyond as many as
//         waiting_max it is_busy(): what ends waits, and so do deliveries while reports can be
//         stored at all; beyond waiting_most (the disk is full for long) in any case. A report has
//         recipients_max; what it returns is bounded by codec/dsn.
// Specs   RFC 3461, RFC 3464. Reports have a null return path, and nothing reports on them.

#pragma once

#include "codec/dsn/report.h"
#include "relay/context.h"
#include "relay/live_messages.h"
#include "runtime/task/flow.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::relay {

// One recipient's part in a report.
struct report_line {
    std::uint32_t recipient = 0; // In the envelope.
    dsn::recipient_event event;  // But for `notify`, which is the envelope's.
    smtp::reply reply;           // Code 0: the text is ours.
    std::string host;            // That said it; empty: nobody.
    bool expired = false;
    std::int64_t last_attempt_unix_s = 0;
    std::int64_t retry_until_unix_s = 0; // Of a delay.
};

class reporter {
public:
    static constexpr std::size_t reports_max = 16;
    static constexpr std::size_t waiting_max = 1000;
    static constexpr std::size_t waiting_most = 100'000;
    // So that a report is an inline message whatever its texts are (writer_options).
    static constexpr std::size_t recipients_max = 200;
    static constexpr std::uint64_t retry_ms = 10'000;

    reporter(relay::context& context, live_messages& messages)
        : context_(context), messages_(messages) {}

    reporter(const reporter&) = delete;
    reporter& operator=(const reporter&) = delete;

    // Before the first report. `add`: queues one; `settled`: the message's state has changed.
    void set_queue(std::function<void(std::unique_ptr<queued_message>)> add,
                   std::function<void(queued_message&)> settled) {
        add_ = std::move(add);
        settled_ = std::move(settled);
    }

    // Kept for send() when the sender is to be told of it.
    void note(queued_message& message, const report_line& line);
    void send(queued_message& message);

    [[nodiscard]] bool is_busy() const noexcept { return waiting_.size() > waiting_max; }

    [[nodiscard]] bool is_full() const noexcept { return waiting_.size() > waiting_most; }

    // Called once when it is not busy any more; at the end of the daemon, never.
    void when_it_has_room(std::function<void()> then) { want_room_.push_back(std::move(then)); }

private:
    struct job {
        std::uint64_t message_id = 0;
        dsn::action action = dsn::action::failed;
        std::vector<report_line> lines;
    };

    void start_next();
    task::flow<> run(std::shared_ptr<job> job);
    // The message's own bytes, unstuffed: all of them, or its header.
    task::flow<std::string> read(queued_message* message, bool whole);
    [[nodiscard]] dsn::report describe(const queued_message& message, const job& job) const;
    [[nodiscard]] std::unique_ptr<queued_message>
    make(const queued_message& about, const dsn::written_report& written, std::uint64_t id) const;

    relay::context& context_;
    live_messages& messages_;
    std::function<void(std::unique_ptr<queued_message>)> add_;
    std::function<void(queued_message&)> settled_;
    std::unordered_map<std::uint64_t, std::vector<std::pair<dsn::action, report_line>>> noted_;
    std::deque<std::shared_ptr<job>> waiting_;
    std::vector<std::function<void()>> want_room_;
    std::size_t running_ = 0;
};

} // namespace ebbgate::relay
