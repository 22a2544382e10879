// Connections without work: which has been so longest, of all and at each site.
//
// Owner   Outbound of one shard; a connection that goes is removed before.
// Bounds  An entry in two maps for each.

#pragma once

#include "relay/outbound_parts.h"

#include <cstdint>
#include <map>
#include <unordered_map>

namespace ebbgate::relay {

class idle_connections {
public:
    void add(outbound_connection& idle) {
        idle.idle_number = ++next_;
        all_.emplace(idle.idle_number, &idle);
        by_site_[idle.site.get()].emplace(idle.idle_number, &idle);
    }

    // Nothing happens when it is not here.
    void remove(outbound_connection& idle) {
        if (all_.erase(idle.idle_number) == 0) {
            return;
        }
        const auto at = by_site_.find(idle.site.get());
        at->second.erase(idle.idle_number);
        if (at->second.empty()) {
            by_site_.erase(at);
        }
    }

    // Null: there is none.
    [[nodiscard]] outbound_connection* longest() const noexcept {
        return all_.empty() ? nullptr : all_.begin()->second;
    }

    [[nodiscard]] outbound_connection* longest_at(const site_limit& site) const noexcept {
        const auto at = by_site_.find(&site);
        return at == by_site_.end() ? nullptr : at->second.begin()->second;
    }

    // Of those that came last the first that `serves`.
    template <typename Serves>
    [[nodiscard]] outbound_connection* latest_at(const site_limit& site, Serves serves) const {
        const auto at = by_site_.find(&site);
        if (at == by_site_.end()) {
            return nullptr;
        }
        std::size_t looks = looks_max;
        for (auto one = at->second.rbegin(); one != at->second.rend() && looks-- > 0; ++one) {
            if (serves(*one->second)) {
                return one->second;
            }
        }
        return nullptr;
    }

private:
    static constexpr std::size_t looks_max = 16;

    using in_order = std::map<std::uint64_t, outbound_connection*>;

    in_order all_;
    std::unordered_map<const site_limit*, in_order> by_site_;
    std::uint64_t next_ = 0;
};

} // namespace ebbgate::relay
