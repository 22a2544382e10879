#include "service/http/connection.h"

#include "runtime/tls/tls.h"

#include <boost/beast/http/status.hpp>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

namespace ebbgate::http {

namespace {

constexpr std::string_view go_ahead = "HTTP/1.1 100 Continue\r\n\r\n";

response named(std::uint16_t status) {
    const boost::beast::string_view reason =
        boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
    return plain(status, {reason.data(), reason.size()});
}

// How much the kernel keeps beyond what TCP has under way. A slow reader's share is then known
// soon, and does not sit in the kernel by the megabyte.
constexpr int unsent_bytes_max = 128 * kib;

// By the client's TCP since the connection began; what only the kernel has does not count.
std::uint64_t acknowledged_bytes(int fd) noexcept {
    tcp_info info{};
    socklen_t bytes = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 ? info.tcpi_bytes_acked : 0;
}

} // namespace

connection::connection(server& server, std::uint64_t id, int fd, std::string client)
    : server_(server), id_(id), client_(std::move(client)),
      stream_(new net::stream(server.reactor_, server.flusher_, fd, *this)),
      reader_({.header_bytes_max = server.settings_.header_bytes_max,
               .body_bytes_max = [&server](const request& head) {
                   return server.handler_.body_bytes_max(head);
               }}) {
    deadline_.owner = this;
    deadline_.on_expire = [](task::timer& timer) noexcept {
        static_cast<deadline_timer&>(timer).owner->on_deadline();
    };
}

connection::~connection() {
    server_.reactor_.timers().clear(deadline_);
    if (stream_ != nullptr) {
        stream_->abort();
    }
    end_response(false);
    server_.handler_.on_disconnected(client_);
}

void connection::start() {
    if (server_.identities_ == nullptr) {
        enter(phase::idle, server_.settings_.idle_ms_max);
    } else {
        enter(phase::shaking_hands, server_.settings_.handshake_ms_max);
        stream_->set_filter(tls::make_server_filter(
            server_.identities_,
            [this](const std::string&, const std::string&) {
                enter(phase::idle, server_.settings_.idle_ms_max);
            },
            "http/1.1"));
    }
    stream_->start_input();
}

void connection::enter(phase next, std::uint64_t ms_max) noexcept {
    phase_ = next;
    server_.reactor_.timers().set(deadline_, server_.reactor_.now_ms() + ms_max);
}

void connection::on_deadline() noexcept {
    switch (phase_) {
    case phase::reading:
        refuse(408);
        break;
    case phase::answering:
        refuse(503);
        break;
    case phase::sending:
        if (is_file_ && makes_progress()) {
            enter(phase::sending, server_.settings_.send_ms_max);
        } else {
            abort();
        }
        break;
    case phase::shaking_hands:
        abort();
        break;
    case phase::idle:
    case phase::lingering:
        close();
        break;
    case phase::over:
        break;
    }
}

std::size_t connection::on_input(byte_view bytes) noexcept {
    switch (phase_) {
    case phase::answering:
    case phase::sending:
        return 0;              // The stream keeps it; when it is too much, TCP holds the client.
    case phase::shaking_hands: // Nothing is plain before its end.
    case phase::lingering:
    case phase::over:
        return bytes.size();
    case phase::idle:
        enter(phase::reading, server_.settings_.request_ms_max);
        is_head_ = false;
        break;
    case phase::reading:
        break;
    }
    const std::size_t taken = reader_.feed(bytes);
    switch (reader_.now()) {
    case request_reader::state::reading:
        if (reader_.wants_continue()) {
            stream_->write(go_ahead);
        }
        break;
    case request_reader::state::failed:
        refuse(reader_.status());
        break;
    case request_reader::state::done:
        ask();
        break;
    }
    return taken;
}

void connection::ask() {
    request asked = reader_.take();
    asked.client = client_;
    keep_alive_ = asked.keep_alive;
    is_head_ = asked.is_head();
    enter(phase::answering, server_.settings_.answer_ms_max);
    ++exchange_;
    server_.handler_.on_request(std::move(asked),
                                responder(server_.reactor_, server_.table_, id_, exchange_));
}

void connection::answer(std::uint64_t exchange, const response& given) {
    if (phase_ == phase::answering && exchange == exchange_) {
        send(given, keep_alive_ && !given.closes);
    }
}

void connection::refuse(std::uint16_t status) {
    send(named(status), false);
}

void connection::send(const response& given, bool keep_alive) {
    keep_alive_ = keep_alive;
    on_end_ = given.on_end;
    body_bytes_ = 0;
    const bool has_body = !is_head_ && !has_no_content(given.status);
    is_file_ = has_body && given.file != nullptr && given.file->bytes() > 0;
    enter(phase::sending, server_.settings_.send_ms_max);
    std::string text;
    append_head(text, given, keep_alive, server_.reactor_.unix_us() / 1'000'000);
    if (is_file_) {
        acknowledged_bytes_ = acknowledged_bytes(stream_->descriptor());
        (void)setsockopt(stream_->descriptor(),
                         IPPROTO_TCP,
                         TCP_NOTSENT_LOWAT,
                         &unsent_bytes_max,
                         sizeof unsent_bytes_max);
        file_.reset(new file_reader(server_.reactor_, given.file, *this));
        file_->read_next();
    } else if (has_body && given.file == nullptr) {
        text += given.body;
        body_bytes_ = given.body.size();
    }
    stream_->write(text);
    if (file_ == nullptr) {
        say_last();
    }
}

void connection::say_last() noexcept {
    if (net::filter* tls = keep_alive_ ? nullptr : stream_->get_filter()) {
        tls->finish(*stream_);
    }
}

void connection::on_block() noexcept {
    if (stream_->can_write()) {
        send_block();
    } // Else it waits for on_output_sent().
}

void connection::send_block() noexcept {
    stream_->write(file_->block());
    body_bytes_ += file_->block().size();
    if (file_->at_end()) {
        file_.reset();
        say_last();
    } else {
        file_->read_next();
    }
}

// The header promised more than there is: only the end of the connection says so.
void connection::on_read_failed() noexcept {
    abort();
}

bool connection::makes_progress() noexcept {
    const std::uint64_t now = acknowledged_bytes(stream_->descriptor());
    const std::uint64_t before = std::exchange(acknowledged_bytes_, now);
    return now - before >= server_.settings_.send_bytes_min;
}

void connection::end_response(bool whole) noexcept {
    if (const auto told = std::exchange(on_end_, nullptr)) {
        told(body_bytes_, whole);
    }
}

void connection::on_output_sent() noexcept {
    if (phase_ != phase::sending) {
        return; // "100 Continue" has left, or an alert of TLS.
    }
    if (file_ != nullptr) {
        if (!file_->block().empty()) {
            send_block();
        }
        return;
    }
    end_response(true);
    if (!keep_alive_) {
        linger();
        return;
    }
    enter(phase::idle, server_.settings_.idle_ms_max);
    stream_->resume_input();
    if (peer_finished_ && (phase_ == phase::idle || phase_ == phase::reading)) {
        close(); // Nothing more comes: what there is of a request stays half of one.
    }
}

void connection::linger() noexcept {
    if (peer_finished_) {
        close();
        return;
    }
    enter(phase::lingering, server_.settings_.linger_ms_max);
    (void)shutdown(stream_->descriptor(), SHUT_WR);
    stream_->resume_input();
}

bool connection::on_peer_finished() noexcept {
    peer_finished_ = true;
    return phase_ == phase::answering || phase_ == phase::sending;
}

void connection::on_closed(net::close_reason) noexcept {
    stream_ = nullptr;
    leave();
}

void connection::close() noexcept {
    if (net::stream* closed = std::exchange(stream_, nullptr)) {
        closed->close();
    }
    leave();
}

void connection::abort() {
    if (net::stream* cut = std::exchange(stream_, nullptr)) {
        cut->abort();
    }
    leave();
}

// Not at once: the caller may be a method of this connection.
void connection::leave() noexcept {
    if (std::exchange(phase_, phase::over) == phase::over) {
        return;
    }
    server_.reactor_.timers().clear(deadline_);
    file_.reset();
    end_response(false);
    server_.reactor_.post([table = server_.table_, id = id_] { table->all.erase(id); });
}

} // namespace ebbgate::http
