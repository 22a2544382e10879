// Bytes to requests: Boost.Beast's parser, and the rules that it leaves to its user.
//
// Input   Bytes of one connection, cut anywhere.
// Output  One request at a time; bytes behind it are not taken.
// Owner   One per connection.
// Fails   With the status to answer; then the connection is of no more use: where the next
//         request begins is not known.
// Bounds  reader_limits.
// Specs   RFC 9110, RFC 9112. A body has a Content-Length: chunks are refused with 411 (RFC 9110
//         section 15.5.12), other codings with 501. Refused although others take it: a length that
//         is a list, Content-Length or Host twice, a length and a coding together, a coding in
//         HTTP/1.0, HTTP/1.1 without Host, folded lines (RFC 9112 section 5.2), a target that is no
//         path.

#pragma once

#include "ebbgate/base/bytes.h"

#include "service/http/message.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ebbgate::http {

struct reader_limits {
    std::size_t header_bytes_max = 16 * kib; // With the request line: 431.
    std::size_t headers_max = 100;           // 431
    // Asked once a header is there and a body follows; a larger body is refused: 413.
    std::function<std::size_t(const request& head)> body_bytes_max;
};

class request_reader {
public:
    enum class state : std::uint8_t { reading, done, failed };

    explicit request_reader(reader_limits limits);
    ~request_reader();
    request_reader(const request_reader&) = delete;
    request_reader& operator=(const request_reader&) = delete;

    // Returns how many bytes it took: all, unless it is done or failed.
    std::size_t feed(byte_view bytes);

    [[nodiscard]] state now() const noexcept { return state_; }

    // When failed.
    [[nodiscard]] std::uint16_t status() const noexcept { return status_; }

    // When done; the next feed() begins the next request.
    [[nodiscard]] request take();

    // The header is there, its body is not, and the client waits for "100 Continue". True once.
    [[nodiscard]] bool wants_continue();

private:
    class parser;

    void begin();
    void fail(std::uint16_t status) noexcept;
    // The end of the header in what is held, or 0.
    [[nodiscard]] std::size_t end_of_header() noexcept;
    // What of `bytes` the parser took.
    std::size_t put(byte_view bytes);

    reader_limits limits_;
    std::unique_ptr<parser> parser_;
    std::string held_;          // Of a header whose end did not come yet.
    std::size_t looked_at_ = 0; // Of held_, for that end.
    bool has_header_ = false;
    bool wants_continue_ = false;
    state state_ = state::reading;
    std::uint16_t status_ = 400;
};

} // namespace ebbgate::http
