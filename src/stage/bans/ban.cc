#include "stage/bans/ban.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

namespace ebbgate::bans {

namespace {

constexpr std::array<std::string_view, 5> cause_texts = {
    "login", "insecure_auth", "sender", "interrupted_auth", "manual"};

std::chrono::seconds within(std::chrono::seconds given) {
    return std::clamp(given, std::chrono::seconds(1), settings::time_max);
}

} // namespace

std::string_view to_text(strike_cause cause) noexcept {
    return cause_texts[static_cast<std::size_t>(cause)];
}

std::optional<strike_cause> parse_cause(std::string_view text) noexcept {
    for (std::size_t i = 0; i < cause_texts.size(); ++i) {
        if (cause_texts[i] == text) {
            return static_cast<strike_cause>(i);
        }
    }
    return std::nullopt;
}

std::string name_of(const ban& ban) {
    const bool network_by_hand = ban.cause == strike_cause::manual &&
                                 ban.network.prefix_bits != 128 &&
                                 ban.address == ban.network.address;
    return network_by_hand ? config::to_text(ban.network) : config::to_text(ban.address);
}

config::ip_network counted_network(const config::ip_address& address) noexcept {
    return {config::client_key(address), config::client_prefix_bits(address)};
}

std::vector<config::ip_network> loopback_networks() {
    return {*config::parse_ip_network("127.0.0.0/8"), *config::parse_ip_network("::1")};
}

settings bounded(settings given) {
    given.max_retry = std::clamp(given.max_retry, 1U, settings::max_retry_max);
    given.find_time = within(given.find_time);
    given.ban_time = within(given.ban_time);
    given.ban_time_max = within(given.ban_time_max);
    given.remember_time = within(given.remember_time);
    if (!std::isfinite(given.ban_time_factor) || given.ban_time_factor < 0) {
        given.ban_time_factor = 1;
    }
    return given;
}

std::chrono::seconds duration_of(const settings& settings, std::uint32_t count) {
    if (!settings.ban_time_increment || count <= 1) {
        return settings.ban_time;
    }
    const std::uint32_t doublings = std::min(count - 1, settings::doublings_max);
    const double seconds = static_cast<double>(settings.ban_time.count()) *
                           static_cast<double>(1U << doublings) * settings.ban_time_factor;
    const double longest = static_cast<double>(settings.ban_time_max.count());
    const std::chrono::seconds grown(static_cast<std::int64_t>(std::min(seconds, longest)));
    return std::max(settings.ban_time, grown);
}

std::int64_t end_of(std::int64_t since_us, std::chrono::seconds duration) noexcept {
    if (duration > settings::time_max) {
        return never_ends;
    }
    const std::int64_t us = std::max<std::int64_t>(duration.count(), 0) * 1'000'000;
    return since_us > never_ends - us ? never_ends : since_us + us;
}

} // namespace ebbgate::bans
