// One connection of the HTTP server: reads a request, waits for its answer, sends it, and again.
//
// Owner   The server's table, from which it removes itself, later in the reactor's thread.
// Bounds  A deadline in every phase; of a file, output_high_bytes of the stream and one block.
// Specs   RFC 9112 section 9; the last response is followed by a half-close (9.6), so that unread
//         input does not reset the connection under it.

#pragma once

#include "service/http/file_reader.h"
#include "service/http/request_reader.h"
#include "service/http/server.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ebbgate::http {

class connection final : public net::stream_observer, public file_reader_observer {
public:
    connection(server& server, std::uint64_t id, int fd, std::string client);
    ~connection();
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    void start();
    // Answers without having been asked, then closes.
    void refuse(std::uint16_t status);
    // Of a responder; ignored unless it is the exchange that waits.
    void answer(std::uint64_t exchange, const response& given);
    void abort();

    [[nodiscard]] const std::string& client() const noexcept { return client_; }

    std::size_t on_input(byte_view bytes) noexcept override;
    bool on_peer_finished() noexcept override;
    void on_output_sent() noexcept override;
    void on_closed(net::close_reason reason) noexcept override;
    void on_block() noexcept override;
    void on_read_failed() noexcept override;

private:
    enum class phase : std::uint8_t {
        shaking_hands, // TLS
        idle,
        reading,
        answering,
        sending,
        lingering,
        over,
    };

    struct deadline_timer : task::timer {
        connection* owner = nullptr;
    };

    void enter(phase next, std::uint64_t ms_max) noexcept;
    void on_deadline() noexcept;
    void ask();
    void send(const response& given, bool keep_alive);
    void send_block() noexcept;
    // The client took enough of the file since the last look.
    [[nodiscard]] bool makes_progress() noexcept;
    void end_response(bool whole) noexcept;
    // TLS says that nothing follows, behind all that is written.
    void say_last() noexcept;
    void linger() noexcept;
    void close() noexcept;
    void leave() noexcept;

    server& server_;
    std::uint64_t id_;
    std::string client_;
    net::stream* stream_; // Null: gone.
    request_reader reader_;
    deadline_timer deadline_;
    std::unique_ptr<file_reader, abandon_reader> file_; // Null: none, or all of it is written.
    std::function<void(std::uint64_t body_bytes, bool whole)> on_end_; // Of the response.
    std::uint64_t body_bytes_ = 0;                                     // Of it, written.
    std::uint64_t acknowledged_bytes_ = 0; // By the client's TCP, at the last look.
    phase phase_ = phase::idle;
    std::uint64_t exchange_ = 0;
    bool keep_alive_ = false;
    bool is_head_ = false;
    bool is_file_ = false; // The response has one.
    bool peer_finished_ = false;
};

} // namespace ebbgate::http
