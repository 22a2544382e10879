// A TCP relay that delays what passes through it, without making it slower: a network with
// distance.
//
// Input   Connections to its listeners.
// Output  The same bytes at the target, `delay_ms` later, and back, and the end likewise. The
//         connection to the target opens three delays late, as after a handshake over that way: a
//         server's first bytes reach the client four delays after it began.
// Owner   One reactor; everything runs on its thread. One queue and one timer for all connections:
//         with one delay for all, what comes first is due first.
// Bounds  way_bytes_max on the way in each direction of a connection, then its sender waits.

#pragma once

#include "runtime/net/listener.h"
#include "runtime/net/stream.h"
#include "runtime/task/reactor.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::delay {

struct route {
    net::bind_address listen;
    net::bind_address target; // Address "same": the one that the client connected to.
};

struct relay_totals {
    std::uint64_t connections = 0;
    std::uint64_t refused = 0; // By the target.
    std::uint64_t bytes = 0;
};

class link;
class entrance;

class delay_relay {
public:
    static constexpr std::size_t way_bytes_max = 4 * mib;
    static constexpr std::uint64_t connect_timeout_ms = 30'000;

    delay_relay(task::reactor& reactor, std::uint64_t delay_ms);
    ~delay_relay();
    delay_relay(const delay_relay&) = delete;
    delay_relay& operator=(const delay_relay&) = delete;

    [[nodiscard]] result<std::uint16_t> add(const route& route); // The port.

    [[nodiscard]] const relay_totals& totals() const noexcept { return totals_; }

private:
    friend class link;
    friend class entrance;

    enum class event : std::uint8_t { connect, bytes, end, reset };

    struct entry {
        std::uint64_t due_ms;
        std::shared_ptr<link> way;
        event what;
        bool to_target;
        std::string bytes;
    };

    struct queue_timer : task::timer {
        delay_relay* owner = nullptr;
    };

    void accept(int fd, const net::bind_address& target);
    void enqueue(entry&& entry);
    void run_due() noexcept;

    // The clock of a turn is rounded down: never less than was asked for.
    [[nodiscard]] std::uint64_t due_ms(std::uint64_t delays) const noexcept {
        return reactor_.now_ms() + delays * delay_ms_ + 1;
    }

    task::reactor& reactor_;
    net::flusher flusher_;
    std::uint64_t delay_ms_;
    std::vector<std::unique_ptr<entrance>> entrances_;
    std::unordered_map<link*, std::shared_ptr<link>> links_;
    std::deque<entry> connects_; // Due after another time than the rest.
    std::deque<entry> queue_;
    queue_timer timer_;
    relay_totals totals_;
};

} // namespace ebbgate::delay
