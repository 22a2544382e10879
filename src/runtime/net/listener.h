// A listening socket of one reactor: SO_REUSEPORT, multishot accept, and patience when the process
// is out of descriptors.
//
// Owner   The reactor's thread. stop() first, then destroy when is_idle().
// Fails   open() says which address and why. EMFILE, and any other fault that goes on, pauses
//         accepting for accept_pause_ms.

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/task/reactor.h"

#include <cstdint>
#include <memory>
#include <string>

struct sockaddr_storage;

namespace ebbgate::net {

// "192.0.2.1:25" or "[2001:db8::1]:25", from a socket address (IPv4-mapped shown as IPv4).
struct peer_name {
    std::string address;
    std::uint16_t port = 0;
};

[[nodiscard]] peer_name name_of(const sockaddr_storage& address);
[[nodiscard]] peer_name peer_of(int fd);
[[nodiscard]] peer_name local_of(int fd);

struct bind_address {
    std::string address; // IP literal.
    std::uint16_t port = 0;
};

class listener_observer {
public:
    // Owns the descriptor from here on.
    virtual void on_accepted(int fd) noexcept = 0;

    // Out of descriptors: accepting rests for accept_pause_ms, as often as it takes. Optional.
    virtual void on_pause() noexcept {}

protected:
    ~listener_observer() = default;
};

class listener {
public:
    static constexpr std::uint64_t accept_pause_ms = 100;
    static constexpr std::uint32_t failures_before_pause = 8;

    [[nodiscard]] static result<std::unique_ptr<listener>>
    open(task::reactor& reactor, const bind_address& address, listener_observer& observer);
    ~listener();
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;

    void start();
    void stop();

    [[nodiscard]] bool is_idle() const noexcept { return !accept_.in_flight(); }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    [[nodiscard]] int descriptor() const noexcept { return fd_; }

    [[nodiscard]] std::uint64_t pauses() const noexcept { return pauses_; }

private:
    listener(task::reactor& reactor, listener_observer& observer);

    struct accept_operation : ring::operation {
        listener* owner = nullptr;
    };

    struct pause_timer : task::timer {
        listener* owner = nullptr;
    };

    static void
    on_accept(ring::operation& operation, std::int32_t result, std::uint32_t flags) noexcept;

    task::reactor& reactor_;
    listener_observer& observer_;
    accept_operation accept_;
    pause_timer pause_;
    std::uint64_t pauses_ = 0;
    std::uint32_t failures_ = 0; // Since the last connection.
    int fd_ = -1;
    std::uint16_t port_ = 0;
    bool stopped_ = false;
};

// Opens a socket and begins to connect; on_connected gets a descriptor or -errno.
class connector {
public:
    using handler = void (*)(void* context, int fd_or_error) noexcept;

    // `from`: the address to bind before; empty: the kernel's choice. Frees itself after the
    // handler.
    static void start(task::reactor& reactor,
                      const bind_address& to,
                      const std::string& from,
                      std::uint64_t timeout_ms,
                      handler on_connected,
                      void* context);
};

// Whether a connection may leave from this address of the machine; else the reason.
[[nodiscard]] result<void> can_bind(const std::string& address);

} // namespace ebbgate::net
