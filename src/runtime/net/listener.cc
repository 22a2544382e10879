#include "runtime/net/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace ebbgate::net {

namespace {

constexpr int backlog = 4096;

bool parse(const bind_address& from, sockaddr_storage& to, socklen_t& bytes) {
    to = {};
    auto* v4 = reinterpret_cast<sockaddr_in*>(&to);
    if (inet_pton(AF_INET, from.address.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(from.port);
        bytes = sizeof *v4;
        return true;
    }
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&to);
    if (inet_pton(AF_INET6, from.address.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(from.port);
        bytes = sizeof *v6;
        return true;
    }
    return false;
}

void set_option(int fd, int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

// Of a connection, by getpeername() or getsockname().
peer_name end_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
    sockaddr_storage address{};
    socklen_t bytes = sizeof address;
    if (ask(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
        return {"unknown", 0};
    }
    return name_of(address);
}

} // namespace

peer_name name_of(const sockaddr_storage& address) {
    char text[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
        return {text, ntohs(v4.sin_port)};
    }
    if (address.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
            inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
        } else {
            inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
        }
        return {text, ntohs(v6.sin6_port)};
    }
    return {"unknown", 0};
}

peer_name peer_of(int fd) {
    return end_of(fd, getpeername);
}

peer_name local_of(int fd) {
    return end_of(fd, getsockname);
}

listener::listener(task::reactor& reactor, listener_observer& observer)
    : reactor_(reactor), observer_(observer) {
    accept_.owner = this;
    accept_.on_complete = &listener::on_accept;
    pause_.owner = this;
    pause_.on_expire = [](task::timer& timer) noexcept {
        static_cast<pause_timer&>(timer).owner->start();
    };
}

result<std::unique_ptr<listener>>
listener::open(task::reactor& reactor, const bind_address& address, listener_observer& observer) {
    sockaddr_storage to{};
    socklen_t bytes = 0;
    const std::string shown = address.address + ":" + std::to_string(address.port);
    if (!parse(address, to, bytes)) {
        return fail(failure_kind::bad_input, "not an IP address: " + shown);
    }
    std::unique_ptr<listener> made(new listener(reactor, observer));
    made->fd_ = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made->fd_ < 0) {
        return fail(failure_kind::io, shown + ": socket: " + std::strerror(errno));
    }
    // Accepted sockets inherit these, which saves a system call each for every connection.
    set_option(made->fd_, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(made->fd_, SOL_SOCKET, SO_REUSEPORT, 1);
    set_option(made->fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(made->fd_, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(made->fd_, IPPROTO_TCP, TCP_USER_TIMEOUT, 120'000);
    if (to.ss_family == AF_INET6) {
        set_option(made->fd_, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (bind(made->fd_, reinterpret_cast<sockaddr*>(&to), bytes) != 0 ||
        listen(made->fd_, backlog) != 0) {
        return fail(failure_kind::io, shown + ": " + std::strerror(errno));
    }
    (void)getsockname(made->fd_, reinterpret_cast<sockaddr*>(&to), &bytes);
    made->port_ = name_of(to).port;
    return made;
}

listener::~listener() {
    reactor_.timers().clear(pause_);
    if (fd_ >= 0) {
        close(fd_);
    }
}

void listener::start() {
    if (!stopped_ && !accept_.in_flight()) {
        reactor_.io().accept_multishot(accept_, fd_);
    }
}

void listener::stop() {
    stopped_ = true;
    reactor_.timers().clear(pause_);
    reactor_.io().cancel(accept_);
}

void listener::on_accept(ring::operation& operation, std::int32_t result, std::uint32_t) noexcept {
    listener& self = *static_cast<accept_operation&>(operation).owner;
    if (result >= 0) {
        self.failures_ = 0;
        self.observer_.on_accepted(result);
        self.start();
        return;
    }
    if (self.stopped_ || self.accept_.in_flight()) {
        return;
    }
    const bool exhausted =
        result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM;
    if (!exhausted && ++self.failures_ < failures_before_pause) {
        self.start(); // The peer gave up before we accepted, or the multishot ended.
        return;
    }
    // The backlog waits, nothing spins.
    ++self.pauses_;
    self.reactor_.timers().set(self.pause_, self.reactor_.now_ms() + accept_pause_ms);
    if (exhausted) {
        self.observer_.on_pause();
    }
}

namespace {

struct connect_attempt : ring::operation, task::timer {
    task::reactor* reactor = nullptr;
    connector::handler tell = nullptr;
    void* context = nullptr;
    int fd = -1;
    bool timed_out = false;
    sockaddr_storage to{};

    void finish(int result_fd) noexcept {
        reactor->timers().clear(*this);
        tell(context, result_fd);
        delete this;
    }
};

// 0 or errno. The port is chosen with the connection, so that one address has as many connections
// as there are peers times ports.
int bind_source(int fd, const std::string& address) {
    sockaddr_storage from{};
    socklen_t bytes = 0;
    if (!parse({address, 0}, from, bytes)) {
        return EINVAL;
    }
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, reinterpret_cast<const sockaddr*>(&from), bytes) == 0 ? 0 : errno;
}

} // namespace

void connector::start(task::reactor& reactor,
                      const bind_address& to,
                      const std::string& from,
                      std::uint64_t timeout_ms,
                      handler on_connected,
                      void* context) {
    auto* attempt = new connect_attempt();
    attempt->reactor = &reactor;
    attempt->tell = on_connected;
    attempt->context = context;
    socklen_t bytes = 0;
    int error = EINVAL;
    if (parse(to, attempt->to, bytes)) {
        attempt->fd = socket(attempt->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        error = errno;
    }
    if (attempt->fd >= 0 && !from.empty()) {
        error = bind_source(attempt->fd, from);
        if (error != 0) {
            close(attempt->fd);
            attempt->fd = -1;
        }
    }
    if (attempt->fd < 0) {
        reactor.post([attempt, error] { attempt->finish(-error); });
        return;
    }
    set_option(attempt->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(attempt->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    attempt->on_complete =
        [](ring::operation& operation, std::int32_t result, std::uint32_t) noexcept {
            auto& self = static_cast<connect_attempt&>(operation);
            if (result < 0) {
                close(self.fd);
                self.finish(self.timed_out ? -ETIMEDOUT : result);
                return;
            }
            self.finish(self.fd);
        };
    attempt->on_expire = [](task::timer& timer) noexcept {
        auto& self = static_cast<connect_attempt&>(timer);
        self.timed_out = true;
        self.reactor->io().cancel(self);
    };
    reactor.timers().set(*attempt, reactor.now_ms() + timeout_ms);
    reactor.io().connect(
        *attempt, attempt->fd, reinterpret_cast<const sockaddr*>(&attempt->to), bytes);
}

result<void> can_bind(const std::string& address) {
    sockaddr_storage from{};
    socklen_t bytes = 0;
    if (!parse({address, 0}, from, bytes)) {
        return fail(failure_kind::bad_input, "not an IP address");
    }
    const int fd = socket(from.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int error = fd < 0 ? errno : bind_source(fd, address);
    if (fd >= 0) {
        close(fd);
    }
    if (error != 0) {
        return fail(failure_kind::unavailable, std::strerror(error));
    }
    return {};
}

} // namespace ebbgate::net
