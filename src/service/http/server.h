// A small HTTP/1.1 server on a reactor.
//
// Input   Connections of one listening socket; each request goes to the handler.
// Output  What the handler answers, at once or later, from any thread, through a responder.
// Owner   The reactor's thread. stop(), then settle the reactor, then destroy.
// Fails   open() says why. What is wrong with a request is answered and the connection closed.
// Bounds  server_settings. A connection has one request at a time: the next is looked at when the
//         response is sent, and until then at most 64 KiB of it are kept. Each phase has its time.
// Specs   RFC 9110, RFC 9112; with identities TLS from the first byte (RFC 9110 section 4.2.2) and
//         ALPN "http/1.1" (RFC 7301). No body is sent in chunks and nothing is upgraded.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include "runtime/net/listener.h"
#include "runtime/net/stream.h"
#include "runtime/task/reactor.h"
#include "runtime/tls/tls.h"
#include "service/http/message.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

namespace ebbgate::http {

class connection;

// The connections that are there; a responder looks for its own by number.
struct connection_table {
    std::unordered_map<std::uint64_t, std::unique_ptr<connection>> all;
};

// The way back of one request. It may outlive the connection and the server, not the reactor.
class responder {
public:
    responder(task::reactor& reactor,
              std::shared_ptr<connection_table> connections,
              std::uint64_t connection,
              std::uint64_t exchange);

    // From any thread. The first answer counts, and one that comes too late is dropped.
    void send(response answer) const;

private:
    task::reactor* reactor_;
    std::shared_ptr<connection_table> connections_;
    std::uint64_t connection_;
    std::uint64_t exchange_;
};

class handler {
public:
    // How large a body may follow this header, before any of it is read.
    [[nodiscard]] virtual std::size_t body_bytes_max(const request& head) const noexcept = 0;
    virtual void on_request(request&& asked, responder reply) noexcept = 0;

    // A client is there, and it is gone; these are pairs. False: it is reset at once, and there is
    // no second call. Optional.
    virtual bool on_connected(const std::string& /*client*/) noexcept { return true; }

    virtual void on_disconnected(const std::string& /*client*/) noexcept {}

protected:
    ~handler() = default;
};

struct server_settings {
    std::size_t connections_max = 64; // Further ones get 503; through TLS they are reset.
    std::size_t header_bytes_max = 16 * kib;
    std::uint64_t handshake_ms_max = 10'000; // TLS: reset.
    std::uint64_t idle_ms_max = 75'000;      // Between two requests: closed.
    std::uint64_t request_ms_max = 20'000;   // From the first byte to the last: 408.
    std::uint64_t answer_ms_max = 30'000;    // The handler's: 503.
    // A whole response: reset. Of a file so much must be taken in that time, again and again.
    std::uint64_t send_ms_max = 60'000;
    std::uint64_t send_bytes_min = 64 * kib;
    // After the last response: until the client has taken it and closes.
    std::uint64_t linger_ms_max = 2'000;
};

class server final : public net::listener_observer {
public:
    // Beyond connections_max: these are told so, and still further ones are reset.
    static constexpr std::size_t refusals_max = 16;

    [[nodiscard]] static result<std::unique_ptr<server>> open(task::reactor& reactor,
                                                              net::flusher& flusher,
                                                              const net::bind_address& address,
                                                              const server_settings& settings,
                                                              handler& on_request);
    // `on_request` outlives the server.
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    void start();
    // Takes no more connections and cuts those that are open.
    void stop();

    // For connections from now on: TLS with these, or null for clear text.
    void set_tls(std::shared_ptr<const tls::server_identities> identities) noexcept {
        identities_ = std::move(identities);
    }

    // Cuts the connections of such clients.
    void cut(const std::function<bool(const std::string& client)>& which);

    [[nodiscard]] int descriptor() const noexcept { return listener_->descriptor(); }

    [[nodiscard]] std::uint16_t port() const noexcept { return listener_->port(); }

    [[nodiscard]] std::size_t connection_count() const noexcept { return table_->all.size(); }

    void on_accepted(int fd) noexcept override;

private:
    friend class connection;

    server(task::reactor& reactor,
           net::flusher& flusher,
           const server_settings& settings,
           handler& on_request);

    task::reactor& reactor_;
    net::flusher& flusher_;
    server_settings settings_;
    handler& handler_;
    std::shared_ptr<connection_table> table_;
    std::unique_ptr<net::listener> listener_;
    std::shared_ptr<const tls::server_identities> identities_; // Null: clear text.
    std::uint64_t next_id_ = 0;
};

} // namespace ebbgate::http
