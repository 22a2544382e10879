// From a destination's name to a connection.

#include "relay/outbound.h"
#include "runtime/shard/worker_job.h"
#include "runtime/task/scope.h"

#include <algorithm>
#include <netdb.h>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::int64_t addresses_lifetime_ms = 60'000;
constexpr std::size_t addresses_max = 16; // Of one host; the rest is not looked at.

std::vector<std::string> look_up_blocking(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* first = nullptr;
    std::vector<std::string> addresses;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &first) != 0) {
        return addresses;
    }
    for (const addrinfo* one = first; one != nullptr && addresses.size() < addresses_max;
         one = one->ai_next) {
        sockaddr_storage address{};
        std::copy_n(reinterpret_cast<const char*>(one->ai_addr),
                    one->ai_addrlen,
                    reinterpret_cast<char*>(&address));
        addresses.push_back(net::name_of(address).address);
    }
    freeaddrinfo(first);
    return addresses;
}

deliver::tls_use tls_use_of(policy::tls_mode mode) {
    switch (mode) {
    case policy::tls_mode::off:
        return deliver::tls_use::off;
    case policy::tls_mode::opportunistic:
        return deliver::tls_use::opportunistic;
    case policy::tls_mode::required:
        return deliver::tls_use::required;
    }
    return deliver::tls_use::required;
}

} // namespace

void outbound::open(schedule::lane_id lane) {
    auto made = std::make_unique<connection>();
    connection& opened = *made;
    opened.owner = this;
    opened.permit.lane = lane;
    connections_.emplace(&opened, std::move(made));
    std::string key(scheduler_.destination(lane));
    destination_entry& entry = destinations_.at(key);
    if (entry.route.host.literal) {
        entry.addresses = {config::to_text(*entry.route.host.literal)};
        entry.next_address = 0;
        connect(opened, entry);
    } else if (!entry.addresses.empty() && entry.addresses_until_ms > clock_ms()) {
        connect(opened, entry);
    } else {
        entry.waiting.push_back(&opened);
        if (entry.waiting.size() == 1) {
            look_ups_.start(look_up(std::move(key)));
        }
    }
}

// One look-up at a time for a destination: whoever opens a connection meanwhile waits for it.
task::flow<> outbound::look_up(std::string key) {
    destination_entry& entry = destinations_.at(key);
    const std::string host = entry.route.host.host;
    std::vector<std::string> found;
    std::function<void()> work = [&host, &found] { found = look_up_blocking(host); };
    shard::worker_job job(context_.name_workers, context_.reactor, std::move(work));
    (void)co_await job; // When the queue is full nothing is found, and that is tried again.
    entry.addresses = std::move(found);
    entry.next_address = 0;
    entry.addresses_until_ms = clock_ms() + addresses_lifetime_ms;
    for (connection* one : std::exchange(entry.waiting, {})) {
        if (!stopping_ && !entry.addresses.empty()) {
            connect(*one, entry);
            continue;
        }
        if (!stopping_) {
            (void)scheduler_.refused(one->permit, clock_ms());
        }
        scheduler_.close(one->permit);
        connections_.erase(one);
    }
    if (entry.addresses.empty()) {
        entry.fault = "no address found for " + host;
        context_.journal.note(context_.reactor.unix_us(), "smtp", entry.fault);
    }
}

void outbound::connect(connection& opened, const destination_entry& entry) {
    deliver::destination where;
    where.address = {entry.addresses[entry.next_address], entry.route.host.port};
    where.host = entry.route.host.host;
    where.tls = tls_use_of(entry.route.tls);
    opened.client = new deliver::client(context_.reactor,
                                        context_.flusher,
                                        client_settings_,
                                        context_.client_tls,
                                        std::move(where),
                                        *this);
    opened.client->context = &opened;
    opened.client->start();
}

} // namespace ebbgate::relay
