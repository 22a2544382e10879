#include "service/http/message.h"

#include <boost/beast/http/status.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <unistd.h>

namespace ebbgate::http {

namespace {

constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// One line, whatever a handler put into it.
void append_field(std::string& out, std::string_view name, std::string_view value) {
    const auto append = [&out](std::string_view text) {
        std::transform(text.begin(), text.end(), std::back_inserter(out), [](char c) {
            return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
        });
    };
    append(name);
    out += ": ";
    append(value);
    out += "\r\n";
}

} // namespace

bool equal_without_case(std::string_view left, std::string_view right) noexcept {
    return left.size() == right.size() &&
           std::equal(left.begin(), left.end(), right.begin(), [](char one, char other) {
               return lower(one) == lower(other);
           });
}

std::string_view request::find(std::string_view name) const noexcept {
    const auto found = std::find_if(headers.begin(), headers.end(), [name](const header& one) {
        return equal_without_case(one.name, name);
    });
    return found == headers.end() ? std::string_view() : std::string_view(found->value);
}

file_body::~file_body() {
    ::close(fd_);
}

std::uint64_t body_bytes_of(const response& answer) noexcept {
    return answer.file ? answer.file->bytes() : answer.body.size();
}

response plain(std::uint16_t status, std::string_view text) {
    response made;
    made.status = status;
    made.body = text;
    made.body += '\n';
    return made;
}

std::string date_text(std::int64_t unix_seconds) {
    const std::time_t seconds = unix_seconds;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[64];
    const std::size_t bytes = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return {text, bytes};
}

void append_head(std::string& out,
                 const response& answer,
                 bool keep_alive,
                 std::int64_t unix_seconds) {
    const boost::beast::string_view reason =
        boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(answer.status));
    fmt::format_to(std::back_inserter(out),
                   "HTTP/1.1 {} {}\r\n",
                   answer.status,
                   std::string_view(reason.data(), reason.size()));
    append_field(out, "Date", date_text(unix_seconds));
    if (!has_no_content(answer.status)) {
        append_field(out, "Content-Type", answer.content_type);
        append_field(out, "Content-Length", fmt::format("{}", body_bytes_of(answer)));
    }
    append_field(out, "X-Content-Type-Options", "nosniff");
    bool has_cache_control = false;
    for (const header& one : answer.headers) {
        append_field(out, one.name, one.value);
        has_cache_control = has_cache_control || equal_without_case(one.name, "Cache-Control");
    }
    if (!has_cache_control) {
        append_field(out, "Cache-Control", "no-store");
    }
    append_field(out, "Connection", keep_alive ? "keep-alive" : "close");
    out += "\r\n";
}

} // namespace ebbgate::http
