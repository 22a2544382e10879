// Lanes that wait: at a site for room, or for a time.
//
// Owner   Outbound of one shard. A lane that the scheduler has forgotten meanwhile may still stand
//         here; to unblock it does nothing.
// Bounds  A lane stands once at each site, and once for each time.

#pragma once

#include "stage/schedule/item.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

namespace ebbgate::relay {

// First come, first served.
class lane_line {
public:
    void add(schedule::lane_id lane) {
        if (numbers_.emplace(lane, next_).second) {
            order_.emplace(next_++, lane);
        }
    }

    void remove(schedule::lane_id lane) {
        if (const auto found = numbers_.find(lane); found != numbers_.end()) {
            order_.erase(found->second);
            numbers_.erase(found);
        }
    }

    [[nodiscard]] schedule::lane_id take() {
        const schedule::lane_id first = order_.begin()->second;
        remove(first);
        return first;
    }

    [[nodiscard]] bool empty() const noexcept { return order_.empty(); }

    // Somebody else than this one waits.
    [[nodiscard]] bool has_others(schedule::lane_id lane) const {
        return order_.size() > (numbers_.contains(lane) ? 1U : 0U);
    }

private:
    std::map<std::uint64_t, schedule::lane_id> order_;
    std::unordered_map<schedule::lane_id, std::uint64_t> numbers_;
    std::uint64_t next_ = 0;
};

class timed_lanes {
public:
    void add(schedule::lane_id lane, std::int64_t until_ms) { lanes_.push({until_ms, lane}); }

    // One whose time has come; nothing: none has.
    [[nodiscard]] std::optional<schedule::lane_id> take(std::int64_t now_ms) {
        if (lanes_.empty() || lanes_.top().until_ms > now_ms) {
            return std::nullopt;
        }
        const schedule::lane_id due = lanes_.top().lane;
        lanes_.pop();
        return due;
    }

    [[nodiscard]] std::optional<std::int64_t> next_ms() const {
        return lanes_.empty() ? std::nullopt : std::optional(lanes_.top().until_ms);
    }

private:
    struct timed {
        std::int64_t until_ms = 0;
        schedule::lane_id lane = schedule::no_lane;

        auto operator<=>(const timed&) const = default;
    };

    std::priority_queue<timed, std::vector<timed>, std::greater<>> lanes_;
};

} // namespace ebbgate::relay
