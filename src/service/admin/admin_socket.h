// The operator's way in: a unix socket that takes one command line and answers with one of JSON.
//
// Input   "status", "release ID" and the like, ended by LF.
// Output  A line of JSON, then the connection closes.
// Owner   The management thread; serve() blocks for one client at most client_timeout_ms.
// Fails   open() says why. A client that stalls is cut.
// Bounds  command_bytes_max. Only the owner and group of the socket's folder can connect.

#pragma once

#include "ebbgate/base/result.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace ebbgate::admin {

class admin_socket {
public:
    static constexpr std::size_t command_bytes_max = 4096;
    static constexpr int client_timeout_ms = 2000;

    using handler = std::function<std::string(std::string_view command)>;

    [[nodiscard]] static result<std::unique_ptr<admin_socket>> open(const std::string& path,
                                                                    handler on_command);
    ~admin_socket(); // Removes the socket file.
    admin_socket(const admin_socket&) = delete;
    admin_socket& operator=(const admin_socket&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return fd_; }

    // Call when the descriptor is readable.
    void serve();

private:
    admin_socket(std::string path, int fd, handler on_command);

    std::string path_;
    int fd_;
    handler on_command_;
};

// The other end: sends a command, returns the answer.
[[nodiscard]] result<std::string> ask(const std::string& path, std::string_view command);

} // namespace ebbgate::admin
