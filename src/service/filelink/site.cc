#include "service/filelink/site.h"

#include "service/filelink/byte_range.h"
#include "service/filelink/challenge.h"
#include "service/filelink/conditions.h"
#include "service/filelink/disposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unistd.h>
#include <utility>

namespace ebbgate::filelink {

namespace {

// A year, and no claim on names beside this one (RFC 6797).
constexpr std::string_view secure_only = "max-age=31536000";

http::response too_many(std::uint32_t wait_seconds) {
    http::response made = http::plain(429, "too many requests");
    made.headers.push_back({"Retry-After", std::to_string(wait_seconds)});
    return made;
}

// Of the content: it never changes, and its link stands for it alone.
validators validators_of(const blob::link& link) {
    constexpr std::size_t tag_bytes = 16;
    std::string tag = "\"";
    for (std::size_t at = 0; at < tag_bytes; ++at) {
        tag += fmt::format("{:02x}", link.hash[at]);
    }
    return {tag + '"', link.created_unix_s};
}

bool stands_twice(const http::request& asked, std::string_view name) {
    return std::ranges::count_if(asked.headers, [name](const http::header& one) {
               return http::equal_without_case(one.name, name);
           }) > 1;
}

byte_range
range_of(const http::request& asked, const validators& current, std::uint64_t file_bytes) {
    if (asked.method != "GET" || stands_twice(asked, "Range") || !holds_range(asked, current)) {
        return {};
    }
    return parse_byte_range(asked.find("Range"), file_bytes);
}

// What says the same of the file in every answer about it.
void add_caching(http::response& to,
                 const blob::link& link,
                 const validators& current,
                 std::int64_t now_unix_s) {
    const std::int64_t seconds =
        std::clamp<std::int64_t>(link.expires_unix_s - now_unix_s, 0, site::cached_seconds_max);
    to.headers.push_back(
        {"Cache-Control", fmt::format("private, max-age={}, no-transform", seconds)});
    to.headers.push_back({"Expires", http::date_text(now_unix_s + seconds)});
    to.headers.push_back({"ETag", current.entity_tag});
    to.headers.push_back({"Last-Modified", http::date_text(current.modified_unix_s)});
    to.headers.push_back({"Accept-Ranges", "bytes"});
}

void add_about_file(http::response& to, const blob::link& link) {
    to.content_type = harmless_type(link.content_type);
    to.headers.push_back({"Content-Disposition", attachment_disposition(link.name)});
    to.headers.push_back({"Content-Security-Policy", "sandbox; default-src 'none'"});
    to.headers.push_back({"Cross-Origin-Resource-Policy", "same-origin"});
}

} // namespace

site::site(site_settings settings, parts parts)
    : settings_(std::move(settings)), parts_(std::move(parts)), limits_(settings_.rates) {}

std::size_t site::body_bytes_max(const http::request&) const noexcept {
    return 0;
}

bool site::on_connected(const std::string& client) noexcept {
    return (!parts_.is_refused || !parts_.is_refused(client)) &&
           limits_.connect(client, parts_.reactor.now_ms());
}

void site::on_disconnected(const std::string& client) noexcept {
    limits_.disconnect(client);
}

void site::on_request(http::request&& asked, http::responder reply) noexcept {
    reply.send(answer(asked, {parts_.reactor.unix_us() / 1'000'000, parts_.reactor.now_ms()}));
}

http::response site::answer(const http::request& asked, instant now) {
    http::response given = judge_request(asked, now);
    given.headers.push_back({"Referrer-Policy", "no-referrer"});
    given.headers.push_back({"X-Robots-Tag", "noindex"});
    if (settings_.is_https) {
        given.headers.push_back({"Strict-Transport-Security", std::string(secure_only)});
    }
    count(given);
    return given;
}

void site::count(const http::response& given) {
    counters& all = parts_.counters;
    ++all.requests;
    ++all.by_class[given.status / 100U];
    all.not_found += given.status == 404 ? 1 : 0;
    all.limited += given.status == 429 ? 1 : 0;
}

http::response site::judge_request(const http::request& asked, instant now) {
    if (limits_.has_too_many_connections(asked.client)) {
        http::response refused = too_many(1);
        refused.closes = true;
        return refused;
    }
    if (const std::uint32_t wait = limits_.admit(asked.client, now.ms); wait > 0) {
        return too_many(wait);
    }
    if (asked.method != "GET" && asked.method != "HEAD") {
        http::response refused = http::plain(405, "method not allowed");
        refused.headers.push_back({"Allow", "GET, HEAD"});
        return refused;
    }
    return asked.path.starts_with(challenge_prefix) ? challenge(asked, now) : file(asked, now);
}

http::response site::challenge(const http::request& asked, instant now) {
    auto text = read_challenge(settings_.acme_webroot, asked.path);
    if (!text) {
        return not_found(asked, now);
    }
    ++parts_.counters.challenges;
    http::response given;
    given.content_type = "application/octet-stream";
    given.body = std::move(*text);
    return given;
}

http::response site::not_found(const http::request& asked, instant now) {
    limits_.count_miss(asked.client, now.ms);
    return http::plain(404, "not found");
}

http::response site::file(const http::request& asked, instant now) {
    const auto token = token_of(asked.path);
    if (!token) {
        return not_found(asked, now);
    }
    const auto found = parts_.store.find(*token);
    if (!found) {
        return http::plain(503, "try again later");
    }
    const std::optional<blob::link>& link = *found;
    if (!link || !is_of(*link, asked.find("Host"), asked.path) ||
        (!settings_.tenant.empty() && link->tenant != settings_.tenant)) {
        return not_found(asked, now);
    }
    if (!settings_.is_https && link->url.starts_with("https:")) {
        http::response moved = http::plain(308, "moved to https");
        moved.headers.push_back({"Location", link->url + link->file_name()});
        return moved;
    }
    if (link->revoked_unix_s != 0 || now.unix_s >= link->expires_unix_s) {
        return http::plain(410, "this file is no longer available");
    }
    return send_file(asked, *link, now);
}

http::response site::send_file(const http::request& asked, const blob::link& link, instant now) {
    const validators current = validators_of(link);
    http::response given;
    switch (judge(asked, current)) {
    case verdict::failed:
        return http::plain(412, "precondition failed");
    case verdict::not_modified:
        given.status = 304;
        add_caching(given, link, current, now.unix_s);
        return given;
    case verdict::go_on:
        break;
    }
    const byte_range range = range_of(asked, current, link.bytes);
    if (range.kind == range_kind::unsatisfiable) {
        given = http::plain(416, "no such part");
        given.headers.push_back({"Content-Range", fmt::format("bytes */{}", link.bytes)});
        return given;
    }
    const auto opened = parts_.store.open_content(link);
    if (!opened) {
        return http::plain(503, "try again later");
    }
    const bool is_part = range.kind == range_kind::part;
    given.status = is_part ? 206 : 200;
    if (is_part) {
        given.headers.push_back(
            {"Content-Range",
             fmt::format(
                 "bytes {}-{}/{}", range.first, range.first + range.bytes - 1, link.bytes)});
    }
    add_about_file(given, link);
    add_caching(given, link, current, now.unix_s);
    given.file = std::make_shared<const http::file_body>(
        *opened, range.first, is_part ? range.bytes : link.bytes);
    tell_when_sent(asked, link, given);
    return given;
}

void site::tell_when_sent(const http::request& asked,
                          const blob::link& link,
                          http::response& given) {
    download made{.tenant = link.tenant,
                  .token = link.token,
                  .client = asked.client,
                  .bytes = http::body_bytes_of(given),
                  .is_part = given.status == 206};
    given.on_end = [all = &parts_.counters,
                    told = &parts_.on_download,
                    is_head = asked.is_head(),
                    made = std::move(made)](std::uint64_t body_bytes, bool whole) {
        all->sent_bytes += body_bytes;
        if (whole && !is_head) {
            ++all->downloads;
            if (*told) {
                (*told)(made);
            }
        }
    };
}

} // namespace ebbgate::filelink
