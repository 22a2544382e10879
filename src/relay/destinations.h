// Where a lane's mail goes: hosts and addresses from DNS, the limits of its site, what is known of
// addresses that do not answer.
//
// Input   Routes, DNS answers, results of connections.
// Output  For a lane: what to connect to, in which order, from which source.
// Owner   Outbound of one shard.
// Bounds  A record for each lane that there is; bad_addresses_max addresses.

#pragma once

#include "relay/site_limits.h"
#include "runtime/resolve/mail_route.h"
#include "stage/deliver/tls_policy.h"
#include "stage/policy/settings.h"
#include "stage/policy/snapshot.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ebbgate::relay {

// For choices, never for secrets.
class choices {
public:
    explicit choices(std::uint64_t seed) : drawn_(seed) {}

    std::uint64_t operator()() noexcept {
        drawn_ += 0x9e37'79b9'7f4a'7c15U;
        std::uint64_t mixed = drawn_;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58'476d'1ce4'e5b9U;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d0'49bb'1331'11ebU;
        return mixed ^ (mixed >> 31);
    }

private:
    std::uint64_t drawn_;
};

struct destination {
    std::string key; // Of its lane, but for what `without` adds.
    policy::route route;
    std::string domain; // Of the recipients, when the route is by MX.
    std::string pool;   // The tenant whose sources it leaves from; empty: the machine's.
    // Mail hosts that lack what the messages of this lane need, in order.
    std::vector<std::string> without;

    // One of them, when it has been asked for and was answered.
    dns::route_pointer hosts;
    dns::host_pointer host;
    bool asks_again = false; // Whatever their time.
    bool is_asking = false;  // One connection, for all of the lane.
    bool is_waited_for = false;

    std::string site;                             // Without the source.
    std::vector<site_limits::site_pointer> sites; // Those that were used, so that they stay.
    policy::shaping limits;
    std::uint64_t limits_of = 0;            // The policy's number; 0: there are none yet.
    std::uint64_t made_by = 0;              // The policy whose routes led here,
    std::uint64_t is_of = 0;                // and the latest whose routes still do.
    std::string fault;                      // Why the latest connection never worked.
    std::uint32_t deferred_in_a_row = 0;    // By replies that ask for less.
    std::uint32_t turned_away_in_a_row = 0; // By a site that others use.
    bool refuses_chunks = false;            // A host offers CHUNKING and does not know BDAT.
};

// An address to connect to.
struct delivery_target {
    std::string host;
    config::ip_address address;
    std::uint16_t port = 25;
    std::shared_ptr<const deliver::tls_decision> tls; // Of its host.
    std::string server_name;                          // For SNI.
    std::uint16_t preference = 0;                     // Of its MX record.
};

// An address to connect from. Without one the kernel chooses.
struct delivery_source {
    std::optional<config::ip_address> address;
    std::string ehlo;
};

using target_list = std::vector<delivery_target>;
using source_list = std::vector<delivery_source>;

[[nodiscard]] inline bool fits(const delivery_source& source, const delivery_target& target) {
    return !source.address || source.address->is_v4() == target.address.is_v4();
}

// What leaves from there for the destination's hosts is counted together.
[[nodiscard]] inline std::string site_name(const destination& to, const delivery_source& source) {
    return source.address ? to.site + "@" + config::to_text(*source.address) : to.site;
}

// A destination's key: the same for all that may share a connection.
[[nodiscard]] std::string
destination_key(const policy::route& route, std::string_view domain, std::string_view pool);

// As DNS, routes and suspensions know it: A-labels in lower case. What is no host name stays.
[[nodiscard]] std::string domain_of(std::string_view address);

// The same without this mail host too, and the key of its lane.
[[nodiscard]] std::pair<std::string, destination> without_host(const destination& to,
                                                               const std::string& host);

// The tenant's name when it has sources or a name of its own, else nothing.
[[nodiscard]] std::string_view
pool_of(const policy::snapshot& policy, const policy::route& route, std::string_view tenant);

// Its sources that may be used, each with its weight, in an order drawn by weight.
[[nodiscard]] std::vector<delivery_source> sources_in_order(const policy::snapshot& policy,
                                                            const destination& to,
                                                            const std::string& server_name,
                                                            std::uint64_t seed);

// Addresses that did not answer: they are tried last for a while.
class bad_addresses {
public:
    static constexpr std::size_t bad_addresses_max = 100'000;
    static constexpr std::int64_t first_ms = 30'000;
    static constexpr std::int64_t longest_ms = 30 * 60'000;

    void failed(const config::ip_address& address, std::int64_t now_ms);

    void worked(const config::ip_address& address) { known_.erase(address); }

    [[nodiscard]] bool is_bad(const config::ip_address& address, std::int64_t now_ms) const;

    // Those that are good first; otherwise the order stays.
    void sort(std::vector<delivery_target>& targets, std::int64_t now_ms) const;

private:
    struct record {
        std::int64_t until_ms = 0;
        std::uint32_t failures = 0;
    };

    std::unordered_map<config::ip_address, record, config::ip_address_hash> known_;
};

} // namespace ebbgate::relay
