#include "service/admin/admin_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>
#include <utility>

namespace ebbgate::admin {

namespace {

constexpr int ask_seconds_max = 60; // A reload of a million accounts takes seconds.
constexpr std::size_t answer_bytes_max = 64 * mib;

result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(failure_kind::bad_input, path + ": too long for a socket's path");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

std::string errno_text(const std::string& path) {
    return path + ": " + std::strerror(errno);
}

void set_ticking(int timer, bool ticking) {
    itimerspec every_second{};
    every_second.it_value.tv_sec = ticking ? 1 : 0;
    every_second.it_interval = every_second.it_value;
    (void)timerfd_settime(timer, 0, &every_second, nullptr);
}

} // namespace

admin_socket::admin_socket(std::string path, handler on_request)
    : path_(std::move(path)), on_request_(std::move(on_request)) {}

admin_socket::~admin_socket() {
    for (const auto& client : clients_) {
        close(client->fd);
    }
    for (const int fd : {epoll_, timer_}) {
        if (fd >= 0) {
            close(fd);
        }
    }
    if (listener_ >= 0) {
        close(listener_);
        (void)unlink(path_.c_str());
    }
}

result<std::unique_ptr<admin_socket>> admin_socket::open(const std::string& path,
                                                         handler on_request) {
    if (const auto address = address_of(path); !address) {
        return std::unexpected(address.error());
    }
    std::unique_ptr<admin_socket> made(new admin_socket(path, std::move(on_request)));
    made->epoll_ = epoll_create1(EPOLL_CLOEXEC);
    made->timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (made->epoll_ < 0 || made->timer_ < 0 || !made->listen_on(path)) {
        return fail(failure_kind::io, errno_text(path));
    }
    made->watch(made->timer_, EPOLLIN, EPOLL_CTL_ADD);
    made->watch(made->listener_, EPOLLIN, EPOLL_CTL_ADD);
    made->accepting_ = true;
    return made;
}

bool admin_socket::listen_on(const std::string& path) {
    const auto address = address_of(path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    // The spool's lock says that no other daemon runs: what lies there was left behind.
    (void)unlink(path.c_str());
    // The file gets the descriptor's mode: at no moment can more than the owner connect to it.
    if (fchmod(fd, 0600) == 0 &&
        bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0) {
        listener_ = fd; // From here on the file is ours to remove.
        return chmod(path.c_str(), 0660) == 0 && listen(fd, 64) == 0;
    }
    const int why = errno;
    close(fd);
    errno = why;
    return false;
}

void admin_socket::watch(int fd, std::uint32_t events, int operation) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    (void)epoll_ctl(epoll_, operation, fd, &event);
}

void admin_socket::set_accepting(bool accepting) {
    if (accepting != accepting_) {
        watch(listener_, accepting ? EPOLLIN : 0U, EPOLL_CTL_MOD);
        accepting_ = accepting;
    }
}

void admin_socket::serve() {
    epoll_event events[clients_max + 2];
    const int count = epoll_wait(epoll_, events, clients_max + 2, 0);
    for (int index = 0; index < count; ++index) {
        const int fd = events[index].data.fd;
        if (fd == listener_) {
            continue; // Last: a new client may get the number of one that ends in this round.
        }
        if (fd == timer_) {
            std::uint64_t ticks = 0;
            (void)!read(timer_, &ticks, sizeof ticks); // What it counts does not matter.
            continue;
        }
        const auto found = std::find_if(
            clients_.begin(), clients_.end(), [fd](const auto& one) { return one->fd == fd; });
        if (found != clients_.end() && !advance(**found)) {
            close((*found)->fd);
            clients_.erase(found);
        }
    }
    end_late_clients();
    accept_all();
    set_ticking(timer_, !clients_.empty() || !accepting_);
}

void admin_socket::accept_all() {
    while (clients_.size() < clients_max) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            // Out of descriptors: the next tick tries again, and nothing spins until then.
            set_accepting(errno != EMFILE && errno != ENFILE && errno != ENOMEM &&
                          errno != ENOBUFS);
            return;
        }
        auto made = std::make_unique<client>();
        made->fd = fd;
        made->until = clock::now() + std::chrono::seconds(client_seconds_max);
        ucred other{};
        socklen_t bytes = sizeof other;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &bytes) != 0) {
            close(fd); // Who cannot be named in the audit cannot command.
            continue;
        }
        made->from.uid = other.uid;
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
        clients_.push_back(std::move(made));
    }
    set_accepting(false); // Until one of them is over.
}

void admin_socket::end_late_clients() {
    const auto now = clock::now();
    std::erase_if(clients_, [now](const auto& client) {
        const bool late = client->until <= now;
        if (late) {
            close(client->fd);
        }
        return late;
    });
}

bool admin_socket::advance(client& client) {
    if (!client.answered && !read_request(client)) {
        return false;
    }
    return !client.answered || write_answer(client);
}

bool admin_socket::read_request(client& client) {
    // One piece a turn: a client that sends without end takes turns with the others.
    char piece[64 * kib];
    const ssize_t got = recv(client.fd, piece, sizeof piece, 0);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    const auto bytes = static_cast<std::size_t>(got);
    const void* const line_end = std::memchr(piece, '\n', bytes);
    if (got == 0) {
        return false;
    }
    if (line_end == nullptr && client.input.size() + bytes <= request_bytes_max) {
        client.input.append(piece, bytes);
        return true;
    }
    const std::size_t rest =
        line_end == nullptr ? bytes
                            : static_cast<std::size_t>(static_cast<const char*>(line_end) - piece);
    if (line_end == nullptr || client.input.size() + rest > request_bytes_max) {
        client.output = R"({"ok":false,"reason":"usage","error":"the request is too long"})";
    } else {
        client.input.append(piece, rest);
        client.output = on_request_(client.input, client.from);
    }
    client.output += '\n';
    client.input = {};
    client.answered = true;
    // Answering may have taken a while, which is not the client's fault.
    client.until = clock::now() + std::chrono::seconds(client_seconds_max);
    watch(client.fd, EPOLLOUT, EPOLL_CTL_MOD);
    return true;
}

bool admin_socket::write_answer(client& client) const {
    const ssize_t sent = send(client.fd,
                              client.output.data() + client.sent,
                              client.output.size() - client.sent,
                              MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    client.sent += static_cast<std::size_t>(sent);
    return client.sent < client.output.size();
}

result<std::string> ask(const std::string& path, std::string_view request) {
    const auto address = address_of(path);
    if (!address) {
        return std::unexpected(address.error());
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
        const std::string why = errno_text(path);
        if (fd >= 0) {
            close(fd);
        }
        return fail(failure_kind::unavailable, why);
    }
    const timeval limit{ask_seconds_max, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const std::string line = std::string(request) + "\n";
    for (std::size_t sent = 0; sent < line.size();) {
        const ssize_t some = send(fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
        if (some <= 0) {
            break; // The answer says why: the request is too long.
        }
        sent += static_cast<std::size_t>(some);
    }
    std::string answer;
    char piece[64 * kib];
    while (answer.size() < answer_bytes_max) {
        const ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got <= 0) {
            break;
        }
        answer.append(piece, static_cast<std::size_t>(got));
    }
    close(fd);
    if (!answer.ends_with('\n')) {
        return fail(failure_kind::unavailable,
                    path + ": no answer; what was asked may have been done");
    }
    answer.pop_back();
    return answer;
}

} // namespace ebbgate::admin
