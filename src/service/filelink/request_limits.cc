#include "service/filelink/request_limits.h"

#include <algorithm>
#include <cmath>

namespace ebbgate::filelink {

namespace {

constexpr double minute_ms = 60'000;

} // namespace

void request_limits::bucket::fill(std::uint32_t per_minute, std::uint64_t now_ms) noexcept {
    const double full = per_minute;
    level = std::min(full, level + static_cast<double>(now_ms - at_ms) * full / minute_ms);
    at_ms = now_ms;
}

std::uint32_t request_limits::bucket::wait_seconds(std::uint32_t per_minute) const noexcept {
    return level >= 1 ? 0
                      : static_cast<std::uint32_t>(
                            std::max(1.0, std::ceil((1 - level) * minute_ms / per_minute / 1000)));
}

config::ip_address request_limits::key_of(std::string_view client) noexcept {
    const auto address = config::parse_ip_address(client);
    return address ? config::client_key(*address) : config::ip_address{};
}

request_limits::client_state& request_limits::state_of(std::string_view client,
                                                       std::uint64_t now_ms) {
    const config::ip_address key = key_of(client);
    if (const auto found = clients_.find(key); found != clients_.end()) {
        states_.splice(states_.begin(), states_, found->second);
    } else {
        if (clients_.size() >= clients_max) {
            make_room();
        }
        states_.push_front({.key = key,
                            .requests = {static_cast<double>(rates_.requests_per_minute), now_ms},
                            .misses = {static_cast<double>(rates_.not_found_per_minute), now_ms},
                            .connections = 0});
        clients_.emplace(key, states_.begin());
    }
    client_state& state = states_.front();
    state.requests.fill(rates_.requests_per_minute, now_ms);
    state.misses.fill(rates_.not_found_per_minute, now_ms);
    return state;
}

void request_limits::make_room() {
    const auto oldest = std::find_if(
        states_.rbegin(), states_.rend(), [](const auto& state) { return state.connections == 0; });
    if (oldest != states_.rend()) {
        clients_.erase(oldest->key);
        states_.erase(std::next(oldest).base());
    }
}

bool request_limits::connect(std::string_view client, std::uint64_t now_ms) {
    client_state& state = state_of(client, now_ms);
    if (state.connections / 2 >= rates_.connections_per_client) {
        return false;
    }
    ++state.connections;
    return true;
}

void request_limits::disconnect(std::string_view client) noexcept {
    if (const auto found = clients_.find(key_of(client)); found != clients_.end()) {
        --found->second->connections;
    }
}

std::uint32_t request_limits::admit(std::string_view client, std::uint64_t now_ms) {
    client_state& state = state_of(client, now_ms);
    const std::uint32_t wait = std::max(state.requests.wait_seconds(rates_.requests_per_minute),
                                        state.misses.wait_seconds(rates_.not_found_per_minute));
    if (wait == 0) {
        state.requests.level -= 1;
    }
    return wait;
}

bool request_limits::has_too_many_connections(std::string_view client) const noexcept {
    const auto found = clients_.find(key_of(client));
    return found != clients_.end() && found->second->connections > rates_.connections_per_client;
}

void request_limits::count_miss(std::string_view client, std::uint64_t now_ms) {
    bucket& misses = state_of(client, now_ms).misses;
    misses.level = std::max(0.0, misses.level - 1);
}

} // namespace ebbgate::filelink
