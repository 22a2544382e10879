// The operator's way in: a unix socket that takes one request line and answers with one of JSON.
//
// Input   A request (command.h says its form), ended by LF. What follows it is ignored.
// Output  A line of JSON, then the connection closes.
// Owner   The management thread. serve() never waits for a client: what one has not sent or taken
//         yet is kept until its descriptor is ready, and the others go on meanwhile.
// Fails   open() says why. A client that is not done within client_seconds_max is cut.
// Bounds  clients_max at a time, further ones wait in the kernel's backlog; request_bytes_max each.
//         Only the owner and group of the socket file can connect.
// Specs   unix(7): SO_PEERCRED is the other end's identity at connect(), told by the kernel.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::admin {

struct peer {
    std::uint32_t uid = 0;
};

class admin_socket {
public:
    static constexpr std::size_t request_bytes_max = 1 * mib;
    static constexpr std::size_t clients_max = 16;
    static constexpr int client_seconds_max = 10;

    using handler = std::function<std::string(std::string_view request, const peer& from)>;

    [[nodiscard]] static result<std::unique_ptr<admin_socket>> open(const std::string& path,
                                                                    handler on_request);
    ~admin_socket(); // Removes the socket file.
    admin_socket(const admin_socket&) = delete;
    admin_socket& operator=(const admin_socket&) = delete;

    // Readable when there is something to do: an epoll descriptor.
    [[nodiscard]] int descriptor() const noexcept { return epoll_; }

    // Call when the descriptor is readable.
    void serve();

    [[nodiscard]] std::size_t client_count() const noexcept { return clients_.size(); }

private:
    using clock = std::chrono::steady_clock;

    struct client {
        int fd = -1;
        peer from;
        clock::time_point until;
        std::string input;
        std::string output;
        std::size_t sent = 0;
        bool answered = false;
    };

    admin_socket(std::string path, handler on_request);

    [[nodiscard]] bool listen_on(const std::string& path);
    void watch(int fd, std::uint32_t events, int operation) const;
    void accept_all();
    // False: the client is over.
    [[nodiscard]] bool advance(client& client);
    [[nodiscard]] bool read_request(client& client);
    [[nodiscard]] bool write_answer(client& client) const;
    void end_late_clients();
    void set_accepting(bool accepting);

    std::string path_;
    handler on_request_;
    int listener_ = -1;
    int timer_ = -1; // Ticks while there are clients, or while accepting waits for a descriptor.
    int epoll_ = -1;
    bool accepting_ = false;
    std::vector<std::unique_ptr<client>> clients_;
};

// The other end: sends a request, returns the answer. Unavailable: nobody there, or no answer.
[[nodiscard]] result<std::string> ask(const std::string& path, std::string_view request);

} // namespace ebbgate::admin
