// One connection to the sink: SMTP as a server that counts, and misbehaves by rule.
//
// Owner   The sink; the reactor's thread.
// Bounds  sink::command_bytes_max a line; of a body sink::head_bytes_max, all of it for a Maildir.
// Specs   RFC 5321, RFC 3030 (BDAT), RFC 3207 (STARTTLS).

#pragma once

#include "program/sink/sink.h"

#include <string>

namespace ebbgate::sink {

class session final : public net::stream_observer {
public:
    // Without room it is turned away.
    session(sink& sink, int fd, const config::ip_address& source, bool is_room);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    std::size_t on_input(byte_view bytes) noexcept override;
    void on_closed(net::close_reason reason) noexcept override;

private:
    struct pause_timer : task::timer {
        session* owner = nullptr;
    };

    void gone();
    void leave(bool abruptly);
    // False when the session is over or the answer was a refusal.
    bool answer(const char* command, std::string_view subject, std::string_view reply);
    void on_command(const std::string& line);
    void on_ehlo(const std::string& line);
    void on_mail(const std::string& line);
    void on_bdat(const std::string& line);
    void start_tls();
    void keep(byte_view taken);
    void take_data(byte_view& bytes);
    void take_chunk(byte_view& bytes);
    void end_message();

    sink& sink_;
    config::ip_address source_;
    net::stream* stream_ = nullptr;
    pause_timer pause_;
    std::string held_;
    std::string line_;
    std::string head_;
    std::string tail_;
    std::uint64_t bytes_ = 0;
    std::uint64_t chunk_rest_ = 0;
    std::uint32_t accepted_ = 0;
    std::uint32_t messages_ = 0;
    bool in_data_ = false;
    bool in_chunk_ = false;
    bool last_chunk_ = false;
    bool by_bdat_ = false;
    bool greeted_ = false; // It has said its name.
    bool secure_ = false;
};

} // namespace ebbgate::sink
