#include "program/daemon/daemon.h"

#include <fmt/format.h>

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::size_t credentials_max = 100'000;
constexpr std::uint64_t credentials_lifetime_ms = 600'000;
constexpr std::chrono::seconds workers_end_max{2};   // At the end; then the exit does not wait.
constexpr std::chrono::seconds answers_wait_max{10}; // Of shards that read the spool for it.
constexpr int management_nice = 10;

// For systemd's Type=notify (sd_notify(3)).
void notify_ready() {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) {
        return;
    }
    std::memcpy(address.sun_path, path, std::strlen(path));
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    if (address.sun_path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        const char text[] = "READY=1";
        (void)sendto(fd,
                     text,
                     sizeof text - 1,
                     MSG_NOSIGNAL,
                     reinterpret_cast<const sockaddr*>(&address),
                     bytes);
        close(fd);
    }
}

} // namespace

daemon::daemon(config::server server)
    : server_(std::move(server)), watch_([](const std::string& text) { note(text); }),
      credentials_(credentials_max, credentials_lifetime_ms) {}

daemon::~daemon() {
    if (signal_fd_ >= 0) {
        close(signal_fd_);
    }
}

void daemon::note(const std::string& text) {
    fmt::print(stderr, "ebbgated: {}\n", text);
}

void daemon::on_each_shard(const std::function<void(relay::shard&)>& work) {
    std::vector<std::future<void>> waiting;
    for (auto& shard : shards_) {
        if (shard == nullptr) {
            continue;
        }
        auto done = std::make_shared<std::promise<void>>();
        waiting.push_back(done->get_future());
        shard->post([&work, done, target = shard.get()] {
            work(*target);
            done->set_value();
        });
    }
    for (std::future<void>& one : waiting) {
        one.wait();
    }
}

bool daemon::ask_each_shard(
    const std::function<void(relay::shard&, std::function<void()> done)>& work) {
    std::vector<std::future<void>> waiting;
    std::mutex lock;
    on_each_shard([&](relay::shard& shard) {
        auto done = std::make_shared<std::promise<void>>();
        {
            const std::lock_guard hold(lock);
            waiting.push_back(done->get_future());
        }
        work(shard, [done] { done->set_value(); });
    });
    const auto until = std::chrono::steady_clock::now() + answers_wait_max;
    return std::all_of(waiting.begin(), waiting.end(), [until](std::future<void>& one) {
        return one.wait_until(until) == std::future_status::ready;
    });
}

void daemon::run() {
    // This thread alone: a reload of a million senders must not take a shard's turn. Its answers
    // still come on a busy machine, for the share of a nice thread is small and not nothing.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), management_nice);
    fmt::print("ready\n");
    std::fflush(stdout);
    notify_ready();
    int wait_ms = 0;
    for (;;) {
        pollfd waiting[4] = {{signal_fd_, POLLIN, 0},
                             {admin_ ? admin_->descriptor() : -1, POLLIN, 0},
                             {watch_.descriptor(), POLLIN, 0},
                             {http_ ? http_->descriptor() : -1, POLLIN, 0}};
        (void)poll(waiting, 4, wait_ms);
        wait_ms = tend((waiting[2].revents & POLLIN) != 0);
        if ((waiting[1].revents & POLLIN) != 0) {
            admin_->serve();
        }
        if ((waiting[3].revents & POLLIN) != 0) {
            http_->serve([this](const http::request& asked) {
                return http_api_->answer(asked, std::chrono::steady_clock::now());
            });
        }
        if ((waiting[0].revents & POLLIN) == 0) {
            continue;
        }
        signalfd_siginfo signal{};
        if (read(signal_fd_, &signal, sizeof signal) != sizeof signal) {
            continue;
        }
        if (signal.ssi_signo == SIGHUP) {
            (void)reload(reload_kind::silent);
            reload_authorities();
            reload_names();
        }
        if (signal.ssi_signo == SIGHUP || signal.ssi_signo == SIGUSR1) {
            events_->reopen();
            text_->reopen();
            ban_log_->reopen();
            continue;
        }
        break;
    }
    stop();
}

void daemon::stop() {
    note("draining");
    http_.reset(); // Nobody answers from here on.
    if (files_ != nullptr) {
        files_->stop();
    }
    on_each_shard([](relay::shard& shard) { shard.drain(); });
    for (const auto& thread : threads_) {
        thread->join();
    }
    bans_->stop(); // While the shards that it answers to are there, and the log that it writes.
    resolver_->stop();
    sts_fetcher_->stop();
    stop_tls_sessions();
    // While the shards that they answer to are there: a worker may be amid a password.
    const auto until = std::chrono::steady_clock::now() + workers_end_max;
    bool all_ended = true;
    for (auto* pool : {&workers_, &file_workers_, &segment_worker_, &sts_workers_}) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        all_ended = (*pool)->stop(std::max(left, std::chrono::milliseconds(0))) && all_ended;
    }
    if (!all_ended) {
        // A worker hangs. Everything else is over: what is durable is on the
        // disk, the logs are written here, and the hanging thread must not meet a destructor.
        events_.reset();
        text_.reset();
        ban_log_.reset();
        admin_.reset();
        (void)counters_->flush();
        note("stopped, without waiting for a worker");
        std::fflush(nullptr);
        std::_Exit(0);
    }
    (void)counters_->flush();
    note("stopped");
}

} // namespace ebbgate::program
