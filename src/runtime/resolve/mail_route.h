// Where the mail of a domain goes, worked out from answers: pure rules, no questions.
//
// Input   The answer for MX of a domain, then the addresses of the hosts it names.
// Output  A route: hosts to try, or the fact that refuses the mail, or trouble that defers it.
// Owner   Values. A route is immutable and shared by all who ask for its domain.
// Fails   As `trouble`: whatever DNS did not answer leaves the mail waiting. Trouble at one host
//         takes that host out and no other.
// Bounds  exchangers_max hosts of the best preferences, addresses_max of each.
// Specs   RFC 5321 section 5.1, RFC 7505 (null MX), RFC 7672 section 2.2 (what is secure).

#pragma once

#include "codec/dns/rdata.h"
#include "config/address.h"
#include "config/dns_settings.h"
#include "runtime/resolve/answer.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::dns {

inline constexpr std::size_t exchangers_max = 20;
inline constexpr std::size_t addresses_max = 16;

struct route_rules {
    std::vector<std::string> own_names; // Lower case.
    std::vector<config::ip_address> own_addresses;
    config::address_family family = config::address_family::any;
    bool allow_private = false;
};

// The addresses of one name.
struct host_addresses {
    answer_status status = answer_status::trouble; // found: at least one address.
    std::string name;
    std::string canonical_name;                // Where its CNAMEs end.
    bool secure = false;                       // Every answer that an address is from.
    std::vector<config::ip_address> addresses; // The preferred family first.
    std::string text;                          // Why there is none.
    std::uint64_t until_ms = 0;                // Good until then, on the reactor's clock.
};

using host_pointer = std::shared_ptr<const host_addresses>;

enum class route_verdict : std::uint8_t { hosts, null_mx, no_domain, no_host, loops, trouble };

struct mail_host {
    std::string name;
    std::string canonical_name;
    std::uint16_t preference = 0;
    bool secure = false;
    std::vector<config::ip_address> addresses;
};

struct mail_route {
    route_verdict verdict = route_verdict::trouble;
    std::string domain;
    std::string canonical_domain; // Where the domain's CNAMEs end.
    std::vector<mail_host> hosts; // By preference, then by name; each has an address.
    bool mx_secure = false;       // The set of exchangers, or its absence, is proven.
    bool implicit = false;        // No MX: the domain is its own host.
    bool is_partial = false;      // Of another exchanger the addresses are not known for now.
    std::string lane_key;         // Equal for domains with equal exchangers, whatever order.
    std::string text;             // Why there are no hosts. Printable.
    std::uint64_t until_ms = 0;
};

using route_pointer = std::shared_ptr<const mail_route>;

// What a verdict that is a fact is answered with: 556 5.1.10 and so on. Trouble: 451 4.4.3.
struct refusal {
    std::uint16_t code = 0;
    std::string_view status;
};

[[nodiscard]] refusal refusal_of(route_verdict verdict) noexcept;
[[nodiscard]] std::string_view name_of(route_verdict verdict) noexcept;

// Of both answers; a family that the rules leave out was not asked for.
[[nodiscard]] host_addresses addresses_from(std::string name,
                                            const std::optional<answer>& a,
                                            const std::optional<answer>& aaaa,
                                            config::address_family family);

// A route that is settled (its verdict is not `hosts`), or one whose hosts have no addresses yet.
[[nodiscard]] mail_route
exchangers_from(std::string domain, const answer& mx, const route_rules& rules);

// `found`: one for each host of `begun`, in its order.
[[nodiscard]] mail_route
with_addresses(mail_route begun, const std::vector<host_pointer>& found, const route_rules& rules);

struct route_target {
    const mail_host* host = nullptr; // Of the route.
    config::ip_address address;
};

// The addresses in the order to try them: by preference; at random within one and within a family
// of a host, by `seed`.
[[nodiscard]] std::vector<route_target> in_order(const mail_route& route, std::uint64_t seed);

} // namespace ebbgate::dns
