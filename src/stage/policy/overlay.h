// What operators and tenants changed by command, to be laid over the policy file at load.
//
// Stage   3 of 8: part of its input; the file itself is never written by the daemon.
// Owner   A value. The overlay store (service/overlay) keeps it; load() merges it.
// Fails   An entry whose tenant is gone, or whose sender is no longer within the tenant's domains,
//         is left out and told, not a fault: a file's edit must never be blocked by the overlay.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::policy {

struct overlay_account {
    std::string tenant;
    std::string login;
    std::string password_hash; // crypt(3); empty with `removed`.
    bool removed = false;      // Takes away one of the file.
};

struct overlay_sender {
    std::string tenant;
    std::string pattern; // As in authorized_senders: "a@d", "@d", "@*.d".
    bool removed = false;
};

// Raises or lowers one counter for one subject, until it expires.
struct overlay_limit {
    std::string rule;                // "messages_per_sender" and the like.
    std::string subject;             // The sender's address, the login, or the tenant's name.
    std::string rate;                // "2000/day"
    std::int64_t expires_unix_s = 0; // 0: never.
};

struct overlay {
    std::vector<overlay_account> accounts;
    std::vector<overlay_sender> senders;
    std::vector<overlay_limit> limits;
};

} // namespace ebbgate::policy
