// What has to be known before a connection to a mail host: the domain's MTA-STS policy, and the
// TLSA records of each host.
//
// Input   A route by MX, whose DNSSEC status says where TLSA records count.
// Output  The facts of the route, once all of them are there.
// Owner   The shard; what is given to it runs on its thread, at most once: not at all when this
//         object has gone meanwhile.
// Fails   As facts: a TLSA answer that cannot be relied on is told as such.
// Bounds  hosts_max sets of records, for the life of the records but lifetime_min_ms to
//         lifetime_max_ms, trouble for trouble_ms. Questions for one name at a time: one.
// Specs   RFC 7672 2.1, 2.2 (which answers count, aliases), RFC 8461.

#pragma once

#include "relay/destinations.h"
#include "runtime/resolve/answer.h"
#include "runtime/resolve/timed_cache.h"
#include "runtime/task/reactor.h"
#include "runtime/tls/requirement.h"
#include "service/mta_sts/policy_finder.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::relay {

// Of one TLSA name.
struct tlsa_set {
    bool failed = false; // No answer that can be relied on.
    std::vector<tls::tlsa> records;
    std::uint64_t until_ms = 0;
};

using tlsa_pointer = std::shared_ptr<const tlsa_set>;

struct route_tls_facts {
    struct host {
        std::string base; // What the records are of: the host, or where its aliases end.
        tlsa_pointer tlsa;
    };

    mta_sts::found_policy sts;
    std::unordered_map<std::string, host> hosts; // By name; those where TLSA records count.
};

using tls_facts_pointer = std::shared_ptr<const route_tls_facts>;

class tls_policies {
public:
    static constexpr std::size_t hosts_max = 20'000;
    static constexpr std::uint64_t lifetime_min_ms = 5'000;
    static constexpr std::uint64_t lifetime_max_ms = 3'600'000;
    static constexpr std::uint64_t trouble_ms = 5'000;

    using facts_done = std::function<void(const tls_facts_pointer&)>;

    tls_policies(task::reactor& reactor, dns::asker& names, mta_sts::policy_finder& policies);
    ~tls_policies() = default;
    tls_policies(const tls_policies&) = delete;
    tls_policies& operator=(const tls_policies&) = delete;

    // `domain` in A-labels; `then` may run within the call.
    void find(const std::string& domain,
              const dns::route_pointer& route,
              std::uint16_t port,
              facts_done then);

    // TLSA records that are kept here. What is being asked goes on.
    void forget() noexcept { known_.clear(); }

private:
    using tlsa_done = std::function<void(const tlsa_pointer&)>;

    struct search {
        std::shared_ptr<route_tls_facts> facts = std::make_shared<route_tls_facts>();
        std::size_t missing = 0;
        facts_done then;
    };

    void find_sts(const std::string& domain, const std::shared_ptr<search>& asked);
    void
    find_tlsa(const dns::mail_host& host, std::uint16_t port, const std::shared_ptr<search>& asked);
    void ask_tlsa(const std::string& name, const tlsa_done& then);
    void on_answer(const std::string& name, const dns::answer& answer);
    static void come_nearer(const std::shared_ptr<search>& asked);

    task::reactor& reactor_;
    dns::asker& names_;
    mta_sts::policy_finder& policies_;
    dns::timed_cache<tlsa_set> known_;
    std::unordered_map<std::string, std::vector<tlsa_done>> waiting_;
    // What comes back later looks whether this object is still there.
    std::shared_ptr<tls_policies*> here_;
};

} // namespace ebbgate::relay
