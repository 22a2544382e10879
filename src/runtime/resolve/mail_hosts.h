// Where mail goes, as a shard asks it: routes of domains and addresses of hosts, with a cache.
//
// Input   A domain, or the name of a configured host.
// Output  A route or a host's addresses, shared and immutable; which is in mail_route.h.
// Owner   The shard; what is given to it runs on its thread, later, never within the call, once.
//         Not at all when this object has gone meanwhile.
// Fails   As verdicts. Trouble is kept for trouble_ms, so that a thousand messages to a broken
//         domain are one question.
// Bounds  routes_max and hosts_max entries; a life of lifetime_min_ms to lifetime_max_ms whatever
//         the records say, for what does not exist negative_max_ms. Questions for one name at a
//         time: one. How many names are asked for at a time is bounded by whom it asks.

#pragma once

#include "runtime/resolve/answer.h"
#include "runtime/resolve/mail_route.h"
#include "runtime/resolve/timed_cache.h"
#include "runtime/task/reactor.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::dns {

struct mail_hosts_settings {
    route_rules rules;
    std::size_t routes_max = 20'000;
    std::size_t hosts_max = 20'000;
    std::uint64_t lifetime_min_ms = 5'000; // Records with a life of 0 would be asked for each time.
    std::uint64_t lifetime_max_ms = 3'600'000;
    std::uint64_t negative_max_ms = 900'000;
    std::uint64_t trouble_ms = 5'000;
};

class mail_hosts {
public:
    using route_done = std::function<void(const route_pointer&)>;
    using host_done = std::function<void(const host_pointer&)>;

    mail_hosts(task::reactor& reactor, asker& names, mail_hosts_settings settings);
    ~mail_hosts() = default;
    mail_hosts(const mail_hosts&) = delete;
    mail_hosts& operator=(const mail_hosts&) = delete;

    // A domain in A-labels; what is no host name does not exist. An address literal is for the
    // caller.
    void find(std::string_view domain, route_done then);

    // Of a host that the operator names: no address is refused but those that are no host's.
    void find_host(std::string_view name, host_done then);

    // What is known without asking, or null.
    [[nodiscard]] route_pointer known(std::string_view domain);

    // Forgets all that is kept here. What is being asked goes on.
    void forget() noexcept;

private:
    struct route_search;
    struct host_search;

    template <typename Value>
    using waiting = std::unordered_map<std::string, std::vector<std::function<void(const Value&)>>>;

    void ask(const std::string& name, record_type type, asker::done then);
    void on_mx(const std::string& domain, const answer& mx);
    // Calls `then` at once when the host is known.
    void search_host(const std::string& name, host_done then);
    void on_addresses(host_search& search);
    void on_host(route_search& search);
    void settle(const std::string& domain, mail_route route);
    [[nodiscard]] std::uint64_t until(bool negative, std::uint64_t ttl_seconds) const noexcept;
    template <typename Value>
    void later(const std::function<void(const Value&)>& then, Value value);

    task::reactor& reactor_;
    asker& names_;
    const mail_hosts_settings settings_;
    timed_cache<mail_route> routes_;
    timed_cache<host_addresses> hosts_;
    waiting<route_pointer> waiting_routes_;
    waiting<host_pointer> waiting_hosts_;
    // What comes back later looks whether this object is still there.
    std::shared_ptr<mail_hosts*> here_;
};

} // namespace ebbgate::dns
