#include "relay/suspensions.h"

#include <utility>

namespace ebbgate::relay {

namespace {

std::string key_of(std::string_view tenant, std::string_view domain) {
    std::string key(tenant);
    key += '\n'; // In no name.
    key += domain;
    return key;
}

} // namespace

suspensions::suspensions(const std::vector<suspension>& all) {
    for (const suspension& one : all) {
        known_.insert_or_assign(key_of(one.tenant, one.domain), one);
    }
}

const suspension*
suspensions::find(std::string_view tenant, std::string_view domain, std::int64_t now_unix_s) const {
    const suspension* found = nullptr;
    const auto look = [&](std::string_view one_tenant, std::string_view one_domain) {
        const auto at = known_.find(key_of(one_tenant, one_domain));
        if (at != known_.end() && at->second.until_unix_s > now_unix_s &&
            (found == nullptr || at->second.until_unix_s > found->until_unix_s)) {
            found = &at->second;
        }
    };
    if (known_.empty()) {
        return nullptr;
    }
    look("", domain);
    if (!tenant.empty()) {
        look(tenant, domain);
        look(tenant, "");
    }
    return found;
}

} // namespace ebbgate::relay
