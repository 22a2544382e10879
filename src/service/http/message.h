// A request as a handler gets it, and a response as it gives it.
//
// Output  append_head(): the status line and header of a response, ready for the wire.
// Owner   Values; copies of a response share its file, which is closed with the last.
// Fails   Never: control characters in a response's header become blanks.
// Specs   RFC 9110, RFC 9112.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::http {

struct header {
    std::string name;
    std::string value;
};

struct request {
    std::string method; // As sent: upper and lower case differ.
    std::string path;   // As sent, nothing decoded; begins with '/'.
    std::string query;  // Behind '?', nothing decoded.
    std::vector<header> headers;
    std::string body;
    std::string client;      // The address that is connected, as text.
    bool keep_alive = false; // What the client wants.

    // Empty when it is absent; the first when it is repeated. No two: Authorization, Content-Type,
    // Host and what frames the body. The name in any case.
    [[nodiscard]] std::string_view find(std::string_view name) const noexcept;

    // HEAD is answered as GET; the server leaves the body out.
    [[nodiscard]] bool is_head() const noexcept { return method == "HEAD"; }
};

// A range of an open file, for a body that is too large for memory. Closes the file.
class file_body {
public:
    file_body(int fd, std::uint64_t offset, std::uint64_t bytes) noexcept
        : fd_(fd), offset_(offset), bytes_(bytes) {}

    ~file_body();
    file_body(const file_body&) = delete;
    file_body& operator=(const file_body&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return fd_; }

    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

private:
    int fd_;
    std::uint64_t offset_;
    std::uint64_t bytes_;
};

struct response {
    std::uint16_t status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::vector<header> headers; // More than the server itself writes; Cache-Control replaces its.
    std::string body;
    std::shared_ptr<const file_body> file; // Instead of a body; null: none.
    // Called once on the server's thread when the response has left for the kernel (`whole`), or
    // when its connection is over. Not when it came too late to be sent. May be empty.
    std::function<void(std::uint64_t body_bytes, bool whole)> on_end;
    bool closes = false; // The connection, although the client would go on.
};

// 204 and 304 have a header and nothing behind it (RFC 9110 section 6.4.1).
[[nodiscard]] constexpr bool has_no_content(std::uint16_t status) noexcept {
    return status == 204 || status == 304;
}

[[nodiscard]] std::uint64_t body_bytes_of(const response& answer) noexcept;

// A text and a line end: for answers that need no more.
[[nodiscard]] response plain(std::uint16_t status, std::string_view text);

// "Tue, 24 Nov 2026 07:52:10 GMT" (RFC 9110 section 5.6.7).
[[nodiscard]] std::string date_text(std::int64_t unix_seconds);

void append_head(std::string& out,
                 const response& answer,
                 bool keep_alive,
                 std::int64_t unix_seconds);

[[nodiscard]] bool equal_without_case(std::string_view left, std::string_view right) noexcept;

} // namespace ebbgate::http
