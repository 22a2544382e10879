// What a listener for files answers: attachments that became links, and ACME's challenges.
//
// Input   Requests, parsed. Paths are compared as they were sent: nothing is decoded or resolved.
// Output  Responses; a file goes out as it lies in the store.
// Owner   The listener's thread; look-ups block for one small file.
// Fails   Never: what is wrong with a request is its answer.
// Bounds  request_rates.
// Specs   RFC 9110 sections 9.3.1, 9.3.2, 13, 14; docs/filelink-serving.md.
//
// Who does not have the whole URL learns nothing: an unknown token, a wrong host, folder or
// extension, and a link of another tenant get one and the same 404 after one and the same look-up.
// Who has it is told by 410 that the file is gone.

#pragma once

#include "runtime/task/reactor.h"
#include "service/filelink/link_url.h"
#include "service/filelink/request_limits.h"
#include "service/http/message.h"
#include "service/http/server.h"
#include "store/blob/blob_store.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace ebbgate::filelink {

// A GET that was answered in full, for the event log.
struct download {
    std::string tenant;
    std::string token;
    std::string client;
    std::uint64_t bytes = 0; // Of the file or the part that was asked for.
    bool is_part = false;
};

// Since the start; written by one thread, read by any.
struct counters {
    std::atomic<std::uint64_t> requests = 0;
    std::atomic<std::uint64_t> downloads = 0;  // GETs that were answered in full.
    std::atomic<std::uint64_t> sent_bytes = 0; // Of files.
    std::atomic<std::uint64_t> not_found = 0;
    std::atomic<std::uint64_t> limited = 0; // 429
    std::atomic<std::uint64_t> challenges = 0;
    std::array<std::atomic<std::uint64_t>, 6> by_class{}; // [2]: 2xx
};

struct site_settings {
    bool is_https = false;
    std::string tenant;       // Whose links; empty: everybody's.
    std::string acme_webroot; // Empty: no challenges.
    request_rates rates;
};

class site final : public http::handler {
public:
    static constexpr std::int64_t cached_seconds_max = 3600;

    struct instant {
        std::int64_t unix_s = 0;
        std::uint64_t ms = 0; // On a clock that never goes back.
    };

    // All outlive the site. `on_download` and `is_refused` may be empty; the latter tells of
    // clients that are banned.
    struct parts {
        task::reactor& reactor;
        blob::blob_store& store;
        filelink::counters& counters;
        std::function<void(const download&)> on_download;
        std::function<bool(const std::string& client)> is_refused;
    };

    site(site_settings settings, parts parts);

    [[nodiscard]] http::response answer(const http::request& asked, instant now);

    // http::handler
    [[nodiscard]] std::size_t body_bytes_max(const http::request& head) const noexcept override;
    void on_request(http::request&& asked, http::responder reply) noexcept override;
    bool on_connected(const std::string& client) noexcept override;
    void on_disconnected(const std::string& client) noexcept override;

private:
    [[nodiscard]] http::response judge_request(const http::request& asked, instant now);
    [[nodiscard]] http::response challenge(const http::request& asked, instant now);
    [[nodiscard]] http::response file(const http::request& asked, instant now);
    [[nodiscard]] http::response not_found(const http::request& asked, instant now);
    [[nodiscard]] http::response
    send_file(const http::request& asked, const blob::link& link, instant now);
    void count(const http::response& given);
    void tell_when_sent(const http::request& asked, const blob::link& link, http::response& given);

    site_settings settings_;
    parts parts_;
    request_limits limits_;
};

} // namespace ebbgate::filelink
