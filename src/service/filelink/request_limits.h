// How much one client may ask: requests, misses and connections, in a bounded table.
//
// Input   A client's address, and the time in milliseconds on a clock that never goes back.
// Output  Whether it is admitted, or how long it should wait.
// Owner   The listener's thread.
// Fails   Never. An address that is none is a client of its own.
// Bounds  clients_max: then the client that was silent longest is forgotten; one with an open
//         connection is not, so clients_max must be above the connections of the server.

#pragma once

#include "config/address.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <string_view>
#include <unordered_map>

namespace ebbgate::filelink {

struct request_rates {
    std::uint32_t requests_per_minute = 300;   // 429
    std::uint32_t not_found_per_minute = 30;   // 429 for all that it asks
    std::uint32_t connections_per_client = 32; // 429; the double is reset
};

class request_limits {
public:
    static constexpr std::size_t clients_max = 65'536;

    explicit request_limits(const request_rates& rates) : rates_(rates) {}

    // Pairs. False: it has far too many, and is not counted.
    [[nodiscard]] bool connect(std::string_view client, std::uint64_t now_ms);
    void disconnect(std::string_view client) noexcept;

    // Takes a request; 0: admitted, else after how many seconds to try again.
    [[nodiscard]] std::uint32_t admit(std::string_view client, std::uint64_t now_ms);
    // It has more connections than it may, yet few enough to be told so.
    [[nodiscard]] bool has_too_many_connections(std::string_view client) const noexcept;
    // What it asked for is not there.
    void count_miss(std::string_view client, std::uint64_t now_ms);

    [[nodiscard]] std::size_t client_count() const noexcept { return clients_.size(); }

private:
    // Fills at a steady rate; holds what a minute brings.
    struct bucket {
        double level = 0;
        std::uint64_t at_ms = 0;

        void fill(std::uint32_t per_minute, std::uint64_t now_ms) noexcept;
        [[nodiscard]] std::uint32_t wait_seconds(std::uint32_t per_minute) const noexcept;
    };

    struct client_state {
        config::ip_address key;
        bucket requests;
        bucket misses;
        std::uint32_t connections = 0;
    };

    using states = std::list<client_state>; // The one heard of last is the first.

    [[nodiscard]] static config::ip_address key_of(std::string_view client) noexcept;
    client_state& state_of(std::string_view client, std::uint64_t now_ms);
    void make_room();

    request_rates rates_;
    states states_;
    std::unordered_map<config::ip_address, states::iterator, config::ip_address_hash> clients_;
};

} // namespace ebbgate::filelink
