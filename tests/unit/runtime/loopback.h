// Both ends of connections on loopback, for tests of streams and of what listens.

#pragma once

#include "ebbgate/base/bytes.h"

#include "runtime/net/stream.h"

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <unistd.h>

namespace ebbgate::net {

// Keeps what comes, and how it ended.
struct recording_observer final : stream_observer {
    std::string got;
    int closed = 0;
    close_reason reason{};

    std::size_t on_input(byte_view bytes) noexcept override {
        got.append(bytes);
        return bytes.size();
    }

    void on_closed(close_reason why) noexcept override {
        ++closed;
        reason = why;
    }
};

// The caller closes it. `receive_bytes`: of its buffer; 0: the kernel's.
inline int connect_to_loopback(std::uint16_t port, int receive_bytes = 0) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_bytes > 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
}

struct listening_socket {
    int fd = -1; // The caller closes it.
    std::uint16_t port = 0;
};

// On a free port. `flags`: of socket(), beside its type.
inline listening_socket listen_on_loopback(int flags = 0) {
    listening_socket made;
    made.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    EXPECT_EQ(bind(made.fd, reinterpret_cast<sockaddr*>(&address), bytes), 0);
    EXPECT_EQ(listen(made.fd, 4), 0);
    EXPECT_EQ(getsockname(made.fd, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
    made.port = ntohs(address.sin_port);
    return made;
}

// The caller closes both.
struct connected_sockets {
    int client = -1;
    int server = -1;
};

inline connected_sockets connect_on_loopback() {
    const listening_socket listening = listen_on_loopback();
    connected_sockets made;
    made.client = connect_to_loopback(listening.port);
    made.server = accept(listening.fd, nullptr, nullptr);
    EXPECT_GE(made.server, 0);
    close(listening.fd);
    return made;
}

} // namespace ebbgate::net
