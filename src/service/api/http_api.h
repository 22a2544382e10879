// What the admin listener answers: /healthz, /metrics, and a tenant's senders with its token.
//
// Input   Requests, parsed; the paths and answers are in docs/control.md.
// Output  Responses. Each change goes through the dispatcher, as it does from the socket.
// Owner   The management thread; body_bytes_max() is for any.
// Fails   Never: what is wrong with a request is its answer.
// Bounds  body_bytes_max; wrong_tokens_max a minute, beyond which only tokens that were good lately
//         are looked up; metrics are collected once a metrics_age_max at most.
//
// Nobody is an operator here: a command is never handed on without a token.
// Specs   RFC 6750 (bearer tokens), RFC 9110.

#pragma once

#include "ebbgate/base/bytes.h"

#include "service/admin/command.h"
#include "service/http/message.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace ebbgate::api {

class http_api {
public:
    using clock = std::chrono::steady_clock;

    static constexpr std::uint32_t wrong_tokens_max = 60; // A minute.
    static constexpr std::size_t good_tokens_max = 10'000;
    static constexpr std::chrono::milliseconds metrics_age_max{500};
    static constexpr std::size_t body_bytes = 64 * kib;
    // Whose token was checked, not who is connected: what the audit has as the uid.
    static constexpr std::uint32_t no_uid = 0xffff'ffff;

    // All outlive the api. `metrics` collects them anew.
    http_api(const admin::dispatcher& commands,
             admin::dispatcher::token_check whose_token,
             std::function<std::string()> metrics);

    [[nodiscard]] http::response answer(const http::request& asked, clock::time_point now);

    [[nodiscard]] static std::size_t body_bytes_max(const http::request& head) noexcept;

private:
    [[nodiscard]] http::response metrics(clock::time_point now);
    [[nodiscard]] http::response senders(const http::request& asked, std::string_view token);
    [[nodiscard]] http::response run(const std::string& line) const;
    // False, and why in `into`.
    [[nodiscard]] bool
    is_admitted(std::string_view token, clock::time_point now, http::response& into);

    const admin::dispatcher& commands_;
    admin::dispatcher::token_check whose_token_;
    std::function<std::string()> collect_metrics_;
    std::string metrics_;
    clock::time_point metrics_at_{};
    std::unordered_set<std::string> good_; // Digests.
    std::uint32_t wrong_ = 0;              // In the minute from wrong_since_ on.
    clock::time_point wrong_since_{};
};

} // namespace ebbgate::api
