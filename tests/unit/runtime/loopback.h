// Clients of our own, for tests of what listens on loopback.

#pragma once

#include "ebbgate/base/bytes.h"

#include "runtime/net/stream.h"

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

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

} // namespace ebbgate::net
