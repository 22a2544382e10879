// What an operator has suspended: the mail of a tenant, the mail to a domain, or of one to the
// other.
//
// Owner   A value that is built once and then shared by all shards; any thread.
// Bounds  suspensions_max, which the store keeps to. A question is three look-ups.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::relay {

struct suspension {
    std::string domain; // Lower case, or a lane's destination "relay.test:25"; empty: every one.
    std::string tenant; // Empty: of every one.
    std::string reason;
    std::int64_t created_unix_s = 0;
    std::int64_t until_unix_s = 0;

    bool operator==(const suspension&) const = default;
};

class suspensions {
public:
    suspensions() = default;
    explicit suspensions(const std::vector<suspension>& all);

    [[nodiscard]] bool empty() const noexcept { return known_.empty(); }

    // The one in force that holds this mail longest; null: none does. An empty tenant: those that
    // are for every tenant.
    [[nodiscard]] const suspension*
    find(std::string_view tenant, std::string_view domain, std::int64_t now_unix_s) const;

private:
    std::unordered_map<std::string, suspension> known_; // By key_of().
};

} // namespace ebbgate::relay
