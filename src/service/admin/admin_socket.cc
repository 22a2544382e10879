#include "service/admin/admin_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <unistd.h>
#include <utility>

namespace ebbgate::admin {

namespace {

result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(failure_kind::bad_input, path + ": too long for a socket's path");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

void set_timeout(int fd, int ms) {
    const timeval limit{ms / 1000, (ms % 1000) * 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool send_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

std::string errno_text(const std::string& path) {
    return path + ": " + std::strerror(errno);
}

} // namespace

admin_socket::admin_socket(std::string path, int fd, handler on_command)
    : path_(std::move(path)), fd_(fd), on_command_(std::move(on_command)) {}

admin_socket::~admin_socket() {
    close(fd_);
    (void)unlink(path_.c_str());
}

result<std::unique_ptr<admin_socket>> admin_socket::open(const std::string& path,
                                                         handler on_command) {
    const auto address = address_of(path);
    if (!address) {
        return std::unexpected(address.error());
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(failure_kind::io, errno_text(path));
    }
    // The spool's lock says that no other daemon runs: what lies there was left behind.
    (void)unlink(path.c_str());
    const mode_t before = umask(0117);
    const bool bound = bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
    umask(before);
    if (!bound || listen(fd, 16) != 0) {
        const std::string why = errno_text(path);
        close(fd);
        return fail(failure_kind::io, why);
    }
    return std::unique_ptr<admin_socket>(new admin_socket(path, fd, std::move(on_command)));
}

void admin_socket::serve() {
    const int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    // One deadline for the whole of it: signals wait meanwhile.
    using clock = std::chrono::steady_clock;
    const auto until = clock::now() + std::chrono::milliseconds(client_timeout_ms);
    const auto left_ms = [until] {
        return std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now()).count();
    };
    std::string command;
    char piece[512];
    while (command.find('\n') == std::string::npos && command.size() < command_bytes_max &&
           left_ms() > 0) {
        set_timeout(client, static_cast<int>(left_ms()) + 1);
        const ssize_t got = recv(client, piece, sizeof piece, 0);
        if (got <= 0) {
            break;
        }
        command.append(piece, static_cast<std::size_t>(got));
    }
    if (const std::size_t end = command.find('\n'); end != std::string::npos) {
        command.resize(end);
        set_timeout(client, client_timeout_ms);
        (void)send_all(client, on_command_(command) + "\n");
    }
    close(client);
}

result<std::string> ask(const std::string& path, std::string_view command) {
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
    set_timeout(fd, 10'000);
    std::string answer;
    if (send_all(fd, std::string(command) + "\n")) {
        char piece[4096];
        for (;;) {
            const ssize_t got = recv(fd, piece, sizeof piece, 0);
            if (got <= 0) {
                break;
            }
            answer.append(piece, static_cast<std::size_t>(got));
        }
    }
    close(fd);
    if (!answer.ends_with('\n')) {
        return fail(failure_kind::unavailable, path + ": no answer");
    }
    answer.pop_back();
    return answer;
}

} // namespace ebbgate::admin
