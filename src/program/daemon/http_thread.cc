#include "program/daemon/http_thread.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <string>
#include <unistd.h>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::uint64_t settle_ms_max = 1000;

// Some operators and one scraper, not thousands of clients.
constexpr ring::options small_ring{.submission_entries = 64,
                                   .completion_entries = 1024,
                                   .buffer_count = 64,
                                   .buffer_bytes = 8 * kib};

} // namespace

result<std::unique_ptr<http_thread>> http_thread::start(const config::endpoint& listen,
                                                        body_limit body_bytes_max) {
    std::unique_ptr<http_thread> made(new http_thread(std::move(body_bytes_max)));
    made->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->wake_fd_ < 0) {
        return fail(failure_kind::io, std::string("eventfd: ") + std::strerror(errno));
    }
    std::promise<result<void>> started;
    auto outcome = started.get_future();
    made->thread_ = std::thread([&started, &listen, self = made.get()] {
        self->run(listen, [&started](result<void> done) { started.set_value(std::move(done)); });
    });
    if (auto done = outcome.get(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return made;
}

http_thread::~http_thread() {
    stop();
    if (wake_fd_ >= 0) {
        close(wake_fd_);
    }
}

void http_thread::run(const config::endpoint& listen,
                      const std::function<void(result<void>)>& started) {
    auto opened = task::reactor::open(small_ring);
    if (!opened) {
        started(std::unexpected(std::move(opened.error())));
        return;
    }
    reactor_ = std::move(*opened);
    net::flusher flusher(*reactor_);
    auto server = http::server::open(
        *reactor_, flusher, {config::to_text(listen.address), listen.port}, {}, *this);
    if (!server) {
        started(std::unexpected(std::move(server.error())));
        return;
    }
    port_ = (*server)->port();
    (*server)->start();
    started({});
    reactor_->run();
    (*server)->stop();
    reactor_->settle(settle_ms_max);
}

void http_thread::stop() {
    if (thread_.joinable()) {
        if (reactor_ != nullptr) {
            reactor_->post([reactor = reactor_.get()] { reactor->stop(); });
        }
        thread_.join();
    }
    const std::lock_guard hold(lock_);
    waiting_.clear();
}

void http_thread::wake() const noexcept {
    const std::uint64_t one = 1;
    (void)!write(wake_fd_, &one, sizeof one);
}

std::size_t http_thread::body_bytes_max(const http::request& head) const noexcept {
    return body_bytes_max_(head);
}

void http_thread::on_request(http::request&& asked, http::responder reply) noexcept {
    {
        const std::lock_guard hold(lock_);
        if (waiting_.size() < requests_waiting_max) {
            waiting_.push_back({std::move(asked), std::move(reply)});
            wake();
            return;
        }
    }
    http::response busy = http::plain(503, "too busy");
    busy.headers.push_back({"Retry-After", "1"});
    reply.send(std::move(busy));
}

void http_thread::serve(const std::function<http::response(const http::request&)>& answer) {
    std::uint64_t count = 0;
    (void)!read(wake_fd_, &count, sizeof count); // Before the look: what comes later wakes again.
    std::deque<waiting> taken;
    {
        const std::lock_guard hold(lock_);
        while (!waiting_.empty() && taken.size() < requests_at_once) {
            taken.push_back(std::move(waiting_.front()));
            waiting_.pop_front();
        }
        if (!waiting_.empty()) {
            wake();
        }
    }
    for (const waiting& one : taken) {
        one.reply.send(answer(one.asked));
    }
}

} // namespace ebbgate::program
