// The server's certificates: its own, and each tenant's under the names that clients ask for: its
// hostname, and the host of its links.
//
// Owner   One a shard (tls.h).
// Fails   With every file that cannot be used and where it is named: all or none.

#pragma once

#include "config/server.h"
#include "runtime/tls/tls.h"
#include "stage/policy/snapshot.h"

#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace ebbgate::relay {

// Null: the server has no certificate, and then nobody has.
[[nodiscard]] std::expected<std::shared_ptr<const tls::server_identities>, config::faults>
load_identities(const config::server& server, const policy::snapshot& policy);

// Addresses to send from that are not this machine's.
[[nodiscard]] config::faults source_faults(const policy::snapshot& policy);

// Listeners of tenants that the policy does not have.
[[nodiscard]] config::faults listener_faults(const config::server& server,
                                             const policy::snapshot& policy);

// What `check` adds to the faults of each file by itself: all of the above, and the DKIM keys.
[[nodiscard]] config::faults check_together(const config::server& server,
                                            const policy::snapshot& policy);

// The files it reads, and the DKIM keys.
[[nodiscard]] std::vector<std::string> identity_files(const config::server& server,
                                                      const policy::snapshot& policy);

} // namespace ebbgate::relay
