// The far end of a test: accepts mail, counts each message by id, and misbehaves on request.
//
// Input   SMTP on a listener; sink_options say when to refuse, defer, delay or drop.
// Output  sink_totals: what came, how often, what is missing; optionally a Maildir.
// Owner   One reactor; everything runs on its thread.
// Bounds  command_bytes_max a line; bodies are counted as they stream and kept only for a Maildir.

#pragma once

#include "config/address.h"
#include "runtime/net/listener.h"
#include "runtime/net/stream.h"
#include "runtime/task/reactor.h"
#include "runtime/tls/tls.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace ebbgate::sink {

enum class misdeed : std::uint8_t { defer, refuse, drop, delay };

// "rcpt:defer", "data:refuse@user", "dot:drop": at which command, what, and for whom.
struct rule {
    std::string command; // connect, ehlo, mail, rcpt, data, dot
    misdeed what = misdeed::defer;
    std::string pattern; // Substring of the recipient (rcpt) or anything; empty: always.
    std::uint32_t one_in = 1;
    std::uint64_t seen = 0;
};

struct sink_options {
    std::vector<net::bind_address> listen;
    bool only_loopback = false;        // What comes in by another address is closed.
    std::vector<std::string> offers;   // EHLO keywords, STARTTLS aside. BDAT is always understood.
    std::shared_ptr<tls::context> tls; // Null: no STARTTLS.
    std::uint32_t messages_per_connection = 0; // Then 421; 0: any.
    std::uint32_t connections_at_once = 0;     // Of one source; further ones get 421; 0: any.
    std::uint64_t expected = 0;                // Messages numbered 0 to expected - 1; 0: unknown.
    std::uint64_t delay_ms = 0;                // For rules with `delay`.
    std::string maildir;                       // Empty: nothing is written.
    std::vector<rule> rules;
};

struct sink_totals {
    std::uint64_t messages = 0;
    std::uint64_t recipients = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t unnumbered = 0;
    std::uint64_t bytes = 0;
    std::uint64_t connections = 0;
    std::uint64_t misdeeds = 0;
    std::uint64_t handshakes = 0;
    std::uint64_t by_bdat = 0;
    std::uint64_t turned_away = 0;       // Connections, by connections_at_once.
    std::uint64_t open_most = 0;         // Connections at once.
    std::unordered_set<std::string> ids; // Message-IDs seen.
    // Connections, by where they came from, what they came to, and the name they gave.
    std::map<config::ip_address, std::uint64_t> sources;
    std::map<config::ip_address, std::uint64_t> open_most_by_source;
    std::map<config::endpoint, std::uint64_t> destinations;
    std::map<std::string, std::uint64_t> names;
};

class session;

class sink final : public net::listener_observer {
public:
    static constexpr std::size_t command_bytes_max = 16 * kib;
    static constexpr std::size_t head_bytes_max = 64 * kib;
    static constexpr std::size_t names_max = 100'000;

    sink(task::reactor& reactor, sink_options options);
    ~sink();

    [[nodiscard]] result<std::vector<std::uint16_t>> start(); // The ports.
    void on_accepted(int fd) noexcept override;

    [[nodiscard]] const sink_totals& totals() const noexcept { return totals_; }

    [[nodiscard]] std::uint64_t missing() const noexcept;

    [[nodiscard]] bool complete() const noexcept {
        return options_.expected > 0 && totals_.ids.size() >= options_.expected;
    }

private:
    friend class session;

    // The rule that strikes now, or null.
    rule* strike(const char* command, std::string_view subject);
    void note_name(std::string_view name);
    void note_end(const config::ip_address& source);
    void count(const std::string& head, std::uint64_t bytes);
    void store(const std::string& message);

    task::reactor& reactor_;
    net::flusher flusher_;
    sink_options options_;
    sink_totals totals_;
    std::map<config::ip_address, std::uint64_t> open_; // Connections, by source.
    std::uint64_t open_count_ = 0;
    std::vector<std::unique_ptr<net::listener>> listeners_;
    std::unordered_map<session*, std::unique_ptr<session>> sessions_;
    std::uint64_t stored_ = 0;
};

} // namespace ebbgate::sink
