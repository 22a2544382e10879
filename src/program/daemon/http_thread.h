// The thread of the admin listener, and the management thread's way to its requests.
//
// Input   Where to listen, and how large a body may be.
// Output  Requests, one by one, on the management thread; descriptor() is readable when there are.
// Owner   The daemon.
// Fails   start() says why. Beyond requests_waiting_max a request is answered with 503 at once.
// Bounds  requests_waiting_max, requests_at_once; those of http::server.

#pragma once

#include "ebbgate/base/result.h"

#include "config/address.h"
#include "service/http/server.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace ebbgate::program {

class http_thread final : public http::handler {
public:
    static constexpr std::size_t requests_waiting_max = 64;
    static constexpr std::size_t requests_at_once = 16; // Then others' work has its turn.

    using body_limit = std::function<std::size_t(const http::request& head)>; // On this thread.

    [[nodiscard]] static result<std::unique_ptr<http_thread>> start(const config::endpoint& listen,
                                                                    body_limit body_bytes_max);
    ~http_thread(); // Stops.
    http_thread(const http_thread&) = delete;
    http_thread& operator=(const http_thread&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    [[nodiscard]] int descriptor() const noexcept { return wake_fd_; }

    // On the management thread, when the descriptor is readable.
    void serve(const std::function<http::response(const http::request&)>& answer);
    // Connections are cut; what waits is not answered.
    void stop();

    // http::handler, on this thread's own.
    [[nodiscard]] std::size_t body_bytes_max(const http::request& head) const noexcept override;
    void on_request(http::request&& asked, http::responder reply) noexcept override;

private:
    struct waiting {
        http::request asked;
        http::responder reply;
    };

    explicit http_thread(body_limit body_bytes_max) : body_bytes_max_(std::move(body_bytes_max)) {}

    void run(const config::endpoint& listen, const std::function<void(result<void>)>& started);
    void wake() const noexcept;

    body_limit body_bytes_max_;
    int wake_fd_ = -1;
    std::uint16_t port_ = 0;
    std::unique_ptr<task::reactor> reactor_; // Opened on the thread; destroyed after its end.
    std::mutex lock_;
    std::deque<waiting> waiting_;
    std::thread thread_;
};

} // namespace ebbgate::program
