// Decides whether a peer's certificates are what was required of them.
//
// Input   The chain as the peer sent it, leaf first; the requirement; the trusted authorities.
// Output  A verdict. A failure names the nearest to success: a name that does not match is only
//         said of a certificate that is trusted and in date.
// Owner   A pure function; any thread.
// Bounds  chain_length_max certificates, links_tried_max signatures.
// Specs   RFC 5280 6.1 (without revocation, policies, and constraints on other names than hosts),
//         RFC 6125, RFC 7671, RFC 7672.

#pragma once

#include "ebbgate/base/bytes.h"

#include "runtime/tls/requirement.h"
#include "runtime/tls/trust_store.h"

#include <cstdint>
#include <span>
#include <vector>

namespace ebbgate::tls {

inline constexpr std::size_t chain_length_max = 10;
inline constexpr std::size_t links_tried_max = 32;

// `authorities` may be null: nobody is trusted.
[[nodiscard]] verdict judge(const requirement& required,
                            std::span<const byte_view> chain,
                            const trust_store* authorities,
                            std::int64_t now_s);

// The records that can be used (RFC 7672 3.1.3: usages 2 and 3), the strongest digests alone
// (RFC 7671 9).
[[nodiscard]] std::vector<tlsa> usable_records(const std::vector<tlsa>& records);

} // namespace ebbgate::tls
