#include "service/api/http_api.h"

#include "codec/json/document.h"
#include "codec/json/writer.h"
#include "config/address.h"
#include "crypto/token.h"

#include <array>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <utility>

namespace ebbgate::api {

namespace {

using admin::refusal;
using admin::refusal_reason;
using http::request;
using http::response;

constexpr std::string_view senders_path = "/api/v1/senders";
constexpr std::string_view json_type = "application/json";
constexpr std::string_view metrics_type = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::chrono::minutes wrong_window{1};

response json_response(std::uint16_t status, std::string text) {
    response made;
    made.status = status;
    made.content_type = json_type;
    made.body = std::move(text);
    made.body += '\n';
    return made;
}

response refused(std::uint16_t status, refusal_reason reason, std::string_view error) {
    return json_response(status, refusal(reason, error));
}

response with(response made, std::string name, std::string value) {
    made.headers.push_back({std::move(name), std::move(value)});
    return made;
}

response method_not_allowed(std::string allowed) {
    return with(refused(405, refusal_reason::usage, "the method is not for this path"),
                "Allow",
                std::move(allowed));
}

response wrong_token() {
    return with(refused(401, refusal_reason::denied, "the token is not valid"),
                "WWW-Authenticate",
                "Bearer realm=\"ebbgate\", error=\"invalid_token\"");
}

bool is_open_path(std::string_view path) noexcept {
    return path == "/healthz" || path == "/metrics";
}

// A page from elsewhere whose name leads here (DNS rebinding) says that name.
bool names_this_machine(std::string_view host) noexcept {
    if (host.empty()) {
        return true; // HTTP/1.0, which no browser speaks.
    }
    std::string_view name;
    if (host.starts_with('[')) {
        name = host.substr(1, host.find(']') - 1);
    } else {
        name = host.substr(0, host.find(':'));
    }
    const auto address = config::parse_ip_address(name);
    return address ? address->is_loopback() : http::equal_without_case(name, "localhost");
}

// What stands behind "Bearer" (RFC 6750 section 2.1); nothing when it is not of that form.
std::optional<std::string_view> bearer(std::string_view authorization) noexcept {
    const std::size_t blank = authorization.find(' ');
    if (blank == std::string_view::npos ||
        !http::equal_without_case(authorization.substr(0, blank), "Bearer")) {
        return std::nullopt;
    }
    const std::size_t begin = authorization.find_first_not_of(' ', blank);
    return begin == std::string_view::npos ? std::string_view() : authorization.substr(begin);
}

// after=N&rows=N in any order, each at most once.
struct page {
    std::optional<std::int64_t> after;
    std::optional<std::int64_t> rows;
};

std::optional<page> page_of(std::string_view query) {
    page made;
    while (!query.empty()) {
        const std::size_t end = query.find('&');
        const std::string_view item = query.substr(0, end);
        query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
        const std::size_t equals = item.find('=');
        const std::string_view name = item.substr(0, equals);
        auto& into = name == "after" ? made.after : made.rows;
        if ((name != "after" && name != "rows") || equals == std::string_view::npos || into) {
            return std::nullopt;
        }
        const std::string_view text = item.substr(equals + 1);
        std::int64_t value = 0;
        const auto [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (text.empty() || fault != std::errc() || stop != text.data() + text.size() ||
            value < 0) {
            return std::nullopt;
        }
        into = value;
    }
    return made;
}

// {"pattern": TEXT} and nothing else; read and written anew, so that no other member gets through.
std::optional<std::string> pattern_of(std::string_view body) {
    json::parse_limits limits;
    limits.text_bytes_max = http_api::body_bytes;
    limits.depth_max = 4;
    limits.values_max = 16;
    const auto document = json::document::parse(body, limits);
    if (!document || !document->root().is_object() || document->root().children().size() != 1) {
        return std::nullopt;
    }
    const json::value* pattern = document->root().find("pattern");
    return pattern == nullptr || !pattern->is_string()
               ? std::nullopt
               : std::optional(std::string(pattern->text()));
}

std::string command_line(std::string_view command,
                         std::string_view token,
                         const std::function<void(json::writer&)>& write_arguments) {
    std::string line;
    json::writer out(line);
    out.begin_object().member("command", command).member("token", token);
    out.key("arguments").begin_object();
    write_arguments(out);
    out.end_object().end_object();
    return line;
}

std::uint16_t status_of(std::string_view reason) noexcept {
    constexpr std::array<std::pair<refusal_reason, std::uint16_t>, 4> known = {{
        {refusal_reason::usage, 400},
        {refusal_reason::denied, 403},
        {refusal_reason::refused, 409},
        {refusal_reason::not_found, 404},
    }};
    for (const auto& [one, status] : known) {
        if (reason == admin::name_of(one)) {
            return status;
        }
    }
    return 500;
}

// A reload's fault names files and other tenants: that is for operators.
std::string without_why(const json::value& answer) {
    std::string text;
    json::writer out(text);
    out.begin_object();
    for (const json::value& member : answer.children()) {
        if (member.is(json::kind::boolean)) {
            out.key_escaped(member.key()).boolean(member.boolean());
        }
    }
    out.member("why", "the policy file has a fault; it is in force when that is mended");
    out.end_object();
    return text;
}

} // namespace

http_api::http_api(const admin::dispatcher& commands,
                   admin::dispatcher::token_check whose_token,
                   std::function<std::string()> metrics)
    : commands_(commands), whose_token_(std::move(whose_token)),
      collect_metrics_(std::move(metrics)) {}

std::size_t http_api::body_bytes_max(const request& head) noexcept {
    return head.path == senders_path ? body_bytes : 0;
}

response http_api::answer(const request& asked, clock::time_point now) {
    if (is_open_path(asked.path)) {
        if (!names_this_machine(asked.find("host"))) {
            return http::plain(421, "Host names another machine");
        }
        if (asked.method != "GET" && !asked.is_head()) {
            return method_not_allowed("GET, HEAD");
        }
        return asked.path == "/metrics" ? metrics(now) : http::plain(200, "ok");
    }
    const auto token = bearer(asked.find("authorization"));
    if (!token) {
        return with(refused(401, refusal_reason::denied, "a token is needed"),
                    "WWW-Authenticate",
                    "Bearer realm=\"ebbgate\"");
    }
    response why_not;
    if (!is_admitted(*token, now, why_not)) {
        return why_not;
    }
    return asked.path == senders_path ? senders(asked, *token)
                                      : refused(404, refusal_reason::not_found, "no such path");
}

bool http_api::is_admitted(std::string_view token, clock::time_point now, response& into) {
    if (!crypto::is_token(token)) {
        into = wrong_token(); // No look-up: not worth counting.
        return false;
    }
    if (now - wrong_since_ >= wrong_window) {
        wrong_since_ = now;
        wrong_ = 0;
    }
    std::string digest = crypto::token_digest(token);
    // Guessing costs a look-up each; a tenant that works must not pay for who guesses.
    if (wrong_ >= wrong_tokens_max && !good_.contains(digest)) {
        into = with(refused(429, refusal_reason::denied, "too many wrong tokens; try again later"),
                    "Retry-After",
                    "60");
        return false;
    }
    if (whose_token_(token)) {
        if (good_.size() >= good_tokens_max) {
            good_.clear();
        }
        good_.insert(std::move(digest));
        return true;
    }
    good_.erase(digest);
    ++wrong_;
    into = wrong_token();
    return false;
}

response http_api::metrics(clock::time_point now) {
    if (metrics_.empty() || now - metrics_at_ >= metrics_age_max) {
        metrics_ = collect_metrics_();
        metrics_at_ = now;
    }
    response made;
    made.content_type = metrics_type;
    made.body = metrics_;
    return made;
}

response http_api::senders(const request& asked, std::string_view token) {
    const bool adds = asked.method == "POST";
    if (adds || asked.method == "DELETE") {
        const auto pattern = pattern_of(asked.body);
        if (!pattern || !asked.query.empty()) {
            return refused(
                400, refusal_reason::usage, "expected a body {\"pattern\": TEXT} and no query");
        }
        return run(command_line(
            adds ? "sender add" : "sender remove", token, [&pattern](json::writer& out) {
                out.member("pattern", *pattern);
            }));
    }
    if (asked.method != "GET" && !asked.is_head()) {
        return method_not_allowed("GET, HEAD, POST, DELETE");
    }
    const auto wanted = page_of(asked.query);
    if (!wanted || !asked.body.empty()) {
        return refused(
            400, refusal_reason::usage, "expected ?after=NUMBER&rows=NUMBER, or nothing");
    }
    return run(command_line("sender list", token, [&wanted](json::writer& out) {
        if (wanted->after) {
            out.member("after", *wanted->after);
        }
        if (wanted->rows) {
            out.member("rows", *wanted->rows);
        }
    }));
}

response http_api::run(const std::string& line) const {
    std::string text = commands_.answer(line, admin::peer{no_uid});
    const auto document = json::document::parse(text);
    const json::value* good = document ? document->root().find("ok") : nullptr;
    if (good == nullptr) {
        return refused(500, refusal_reason::failed, "the gateway could not");
    }
    if (good->boolean()) {
        const bool has_why = document->root().find("why") != nullptr;
        return json_response(200, has_why ? without_why(document->root()) : std::move(text));
    }
    const json::value* reason = document->root().find("reason");
    const std::uint16_t status = status_of(reason == nullptr ? "" : reason->text());
    return status == 500 ? refused(500, refusal_reason::failed, "the gateway could not")
                         : json_response(status, std::move(text));
}

} // namespace ebbgate::api
