// What TLS has to be on a connection to one host of a destination, and whether it may be used.
//
// Input   The route's level, the domain's MTA-STS policy, what DNS said about the host.
// Output  A decision for client: tls_use, the requirement, and what TLS-RPT calls it.
// Owner   A pure function; any thread.
// Specs   RFC 7672 2.2, 3.1 (DANE); RFC 8461 2, 4, 5 (DANE first, then MTA-STS); RFC 8460 4.3.

#pragma once

#include "codec/mta_sts/policy.h"
#include "codec/tls_report/report.h"
#include "runtime/tls/requirement.h"
#include "stage/deliver/client.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::deliver {

// Of a route. `off` is the operator's word, and no policy is asked.
enum class tls_level : std::uint8_t { off, opportunistic, required, verify };

struct host_facts {
    std::string domain;     // The next-hop domain, before MX.
    std::string host;       // Of the MX record, or as the route names it.
    bool is_secure = false; // DNSSEC: the MX records and the host's addresses.
    // Of _25._tcp.HOST: there was no answer that can be relied on. Not absence.
    bool tlsa_failed = false;
    std::vector<tls::tlsa> tlsa; // Validated; empty: there are none, or not by DNSSEC.
    // Null: none, or none that can be relied on.
    const mta_sts::policy* sts = nullptr;
    bool sts_unknown = false; // There may be one, which could not be asked for. Not absence.
};

enum class host_use : std::uint8_t {
    use,
    skip,  // Not this host for this domain; when none is left, the mail waits.
    defer, // Not now.
};

struct tls_decision {
    host_use use = host_use::use;
    tls_use tls = tls_use::opportunistic;
    tls::requirement requirement;
    tls_report::policy_type policy = tls_report::policy_type::no_policy_found;
    // A failure that is known before any connection. With host_use::use: only to be counted.
    std::optional<tls_report::result_type> fault;

    [[nodiscard]] bool clear_text_permitted() const noexcept {
        return use == host_use::use && tls != tls_use::required;
    }
};

[[nodiscard]] tls_decision decide_tls(tls_level level, const host_facts& facts);

// What TLS-RPT calls the end of a session that came so far.
[[nodiscard]] tls_report::result_type result_of(tls_state state, tls::failure failure) noexcept;

// For the text log: what was asked for and what came of it, such as "may/encrypt"; see docs/tls.md.
[[nodiscard]] std::string
log_text(const tls_decision& decision, tls_state state, const tls::session_facts& facts);

} // namespace ebbgate::deliver
