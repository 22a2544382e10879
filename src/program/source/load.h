// The load that ebbgate-source makes: messages over many SMTP sessions, counted and timed.
//
// Input   load_options, from the command line.
// Output  load_result: what was acknowledged, refused, and how long each message took.
// Owner   One reactor; everything runs on its thread.
// Fails   A broken session gives its message back, waits and connects again until the end.
// Bounds  sessions and messages as asked; replies of at most reply_bytes_max.

#pragma once

#include "runtime/net/listener.h"
#include "runtime/net/stream.h"
#include "runtime/task/reactor.h"
#include "runtime/tls/tls.h"

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ebbgate::source {

enum class tls_use : std::uint8_t { off, starttls, implicit };

struct load_options {
    net::bind_address target;
    std::uint32_t sessions = 10;
    std::uint64_t messages = 1000;
    std::uint32_t per_connection = 20;
    std::uint32_t recipients = 1;
    std::uint32_t domains = 20;
    std::uint64_t size_min = 4096;
    std::uint64_t size_max = 4096;
    tls_use tls = tls_use::off;
    bool pipelining = true;
    std::string user;
    std::string password;
    std::string sender = "bounce@source.test";
    std::string recipient_domain = "sink.test";
    std::string run = "r";
    double rate_per_second = 0; // 0: as fast as it goes.
    double duration_seconds = 120;
    std::FILE* acknowledged_ids = nullptr; // Each acknowledged Message-ID, written at once.
    std::vector<std::string> bodies;       // Whole messages in wire form; empty: made by size.
};

struct load_result {
    std::uint64_t acknowledged = 0;
    std::uint64_t connections = 0;
    std::uint64_t network_errors = 0;
    std::uint64_t bytes = 0;
    double seconds = 0;
    std::map<int, std::uint64_t> refusals; // By reply code.
    std::string last_refusal;
    std::vector<float> latency_ms; // From MAIL to the final reply, one a message.
};

class session;

class load {
public:
    static constexpr std::size_t reply_bytes_max = 64 * kib;

    load(task::reactor& reactor, load_options options, std::shared_ptr<tls::context> tls);
    ~load();

    // Runs to the end: all acknowledged, or the duration over.
    load_result run(bool show_progress);

private:
    friend class session;

    // The next message's number, or nothing: none left, or not yet by the rate.
    bool take(std::uint64_t& sequence);

    void give_back(std::uint64_t sequence) { returned_.push_back(sequence); }

    void refused(int code, const std::string& line);
    [[nodiscard]] std::string head_of(std::uint64_t sequence) const;
    [[nodiscard]] byte_view body_of(std::uint64_t sequence) const;

    task::reactor& reactor_;
    net::flusher flusher_;
    load_options options_;
    std::shared_ptr<tls::context> tls_;
    load_result result_;
    std::vector<std::unique_ptr<session>> sessions_;
    std::vector<std::uint64_t> returned_;
    std::string filler_;
    std::string auth_line_;
    std::uint64_t next_ = 0;
    std::uint64_t started_ms_ = 0;
    bool over_ = false;
};

} // namespace ebbgate::source
