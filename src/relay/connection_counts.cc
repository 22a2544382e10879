#include "relay/connection_counts.h"

namespace ebbgate::relay {

admission connection_counts::enter(const config::ip_address& client,
                                   std::uint64_t all_max,
                                   std::uint32_t client_max) {
    const std::uint64_t all = all_.fetch_add(1, std::memory_order_relaxed) + 1;
    stripe& mine = stripe_of(client);
    std::uint32_t of_client = 0;
    {
        const std::lock_guard hold(mine.lock);
        of_client = ++mine.clients[client];
    }
    if (all > all_max) {
        return admission::too_busy;
    }
    return of_client > client_max ? admission::too_many : admission::granted;
}

void connection_counts::leave(const config::ip_address& client) {
    all_.fetch_sub(1, std::memory_order_relaxed);
    stripe& mine = stripe_of(client);
    const std::lock_guard hold(mine.lock);
    const auto found = mine.clients.find(client);
    if (found != mine.clients.end() && --found->second == 0) {
        mine.clients.erase(found);
    }
}

bool connection_counts::enter_tenant(std::string_view tenant, std::uint32_t max) {
    const std::lock_guard hold(tenants_lock_);
    auto found = tenants_.find(tenant);
    if (found == tenants_.end()) {
        found = tenants_.emplace(std::string(tenant), 0).first;
    }
    if (max != 0 && found->second >= max) {
        return false;
    }
    ++found->second;
    return true;
}

void connection_counts::leave_tenant(std::string_view tenant) {
    const std::lock_guard hold(tenants_lock_);
    const auto found = tenants_.find(tenant);
    if (found != tenants_.end() && --found->second == 0) {
        tenants_.erase(found);
    }
}

} // namespace ebbgate::relay
