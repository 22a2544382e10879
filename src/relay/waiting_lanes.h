// What waits: lanes, at a site for room or for a time; messages for a time.
//
// Owner   Outbound of one shard. A lane that the scheduler has forgotten meanwhile may still stand
//         here; to block or unblock it does nothing.
// Bounds  A lane stands once at each site, and once for each time; a site has one time.

#pragma once

#include "stage/schedule/item.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ebbgate::relay {

inline constexpr std::int64_t look_again_ms = 1'000; // For what nobody tells.
inline constexpr std::size_t lanes_told_max = 8; // When a site has room: some may need none now.

// First come, first served.
class lane_line {
public:
    void add(schedule::lane_id lane) {
        if (numbers_.emplace(lane, next_).second) {
            order_.emplace(next_++, lane);
        }
    }

    void add_first(schedule::lane_id lane) {
        remove(lane);
        numbers_.emplace(lane, --first_);
        order_.emplace(first_, lane);
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

    // Those that came first, who stay.
    [[nodiscard]] std::vector<schedule::lane_id> first(std::size_t most) const {
        std::vector<schedule::lane_id> lanes;
        for (auto one = order_.begin(); one != order_.end() && lanes.size() < most; ++one) {
            lanes.push_back(one->second);
        }
        return lanes;
    }

    [[nodiscard]] bool empty() const noexcept { return order_.empty(); }

    [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }

    // Somebody else than this one waits.
    [[nodiscard]] bool has_others(schedule::lane_id lane) const {
        return order_.size() > (numbers_.contains(lane) ? 1U : 0U);
    }

private:
    std::map<std::uint64_t, schedule::lane_id> order_;
    std::unordered_map<schedule::lane_id, std::uint64_t> numbers_;
    std::uint64_t first_ = std::uint64_t{1} << 63;
    std::uint64_t next_ = std::uint64_t{1} << 63;
};

// What waits for a time: lanes, or the names of sites.
template <typename Value>
class timed {
public:
    void add(Value value, std::int64_t until_ms) { waiting_.push({until_ms, std::move(value)}); }

    // One whose time has come; nothing: none has.
    [[nodiscard]] std::optional<Value> take(std::int64_t now_ms) {
        if (waiting_.empty() || waiting_.top().until_ms > now_ms) {
            return std::nullopt;
        }
        Value due = waiting_.top().value;
        waiting_.pop();
        return due;
    }

    [[nodiscard]] std::optional<std::int64_t> next_ms() const {
        return waiting_.empty() ? std::nullopt : std::optional(waiting_.top().until_ms);
    }

private:
    struct entry {
        std::int64_t until_ms = 0;
        Value value;

        auto operator<=>(const entry&) const = default;
    };

    std::priority_queue<entry, std::vector<entry>, std::greater<>> waiting_;
};

// The lanes that wait for room at sites, by the sites' names.
class site_lines {
public:
    void add(const std::string& site, schedule::lane_id lane) { lines_[site].lanes.add(lane); }

    // It is owed the next place.
    void add_first(const std::string& site, schedule::lane_id lane) {
        lines_[site].lanes.add_first(lane);
    }

    void remove(const std::string& site, schedule::lane_id lane) {
        const auto line = lines_.find(site);
        if (line == lines_.end()) {
            return;
        }
        line->second.lanes.remove(lane);
        if (line->second.lanes.empty() && line->second.timed_ms == 0) {
            lines_.erase(line);
        }
    }

    [[nodiscard]] bool has_others(const std::string& site, schedule::lane_id lane) const {
        const auto line = lines_.find(site);
        return line != lines_.end() && line->second.lanes.has_others(lane);
    }

    [[nodiscard]] std::size_t count(const std::string& site) const {
        const auto line = lines_.find(site);
        return line == lines_.end() ? 0 : line->second.lanes.size();
    }

    // They stay: who is told of room and finds none has not lost his place.
    [[nodiscard]] std::vector<schedule::lane_id> first(const std::string& site,
                                                       std::size_t most) const {
        const auto line = lines_.find(site);
        return line == lines_.end() ? std::vector<schedule::lane_id>()
                                    : line->second.lanes.first(most);
    }

    // The site is looked at again then, whoever tells of room or does not.
    void time(const std::string& site, std::int64_t until_ms) {
        std::int64_t& timed_ms = lines_[site].timed_ms;
        if (timed_ms == 0 || until_ms < timed_ms) {
            timed_ms = until_ms;
            times_.add(site, until_ms);
        }
    }

    // Its rate is, until then. Who finds that out leaves the site, which tells of room: in vain,
    // and without end.
    void use_up(const std::string& site, std::int64_t until_ms) {
        lines_[site].used_up_ms = until_ms;
        time(site, until_ms);
    }

    [[nodiscard]] bool is_used_up(const std::string& site, std::int64_t now_ms) const {
        const auto line = lines_.find(site);
        return line != lines_.end() && now_ms < line->second.used_up_ms;
    }

    // A rate may be another one now.
    void look_at_all(std::int64_t now_ms) {
        for (auto& [site, line] : lines_) {
            line.used_up_ms = 0;
            time(site, now_ms);
        }
    }

    [[nodiscard]] std::optional<std::string> take_due(std::int64_t now_ms) {
        while (auto site = times_.take(now_ms)) {
            const auto found = lines_.find(*site);
            if (found == lines_.end()) {
                continue;
            }
            site_line& line = found->second;
            if (line.timed_ms == 0 || line.timed_ms > now_ms) {
                continue; // It was looked at before, or another time holds.
            }
            line.timed_ms = 0;
            if (now_ms >= line.used_up_ms) {
                if (line.lanes.empty()) {
                    lines_.erase(found);
                }
                return site;
            }
            time(*site, line.used_up_ms); // It was used up again meanwhile.
        }
        return std::nullopt;
    }

    [[nodiscard]] std::optional<std::int64_t> next_ms() const { return times_.next_ms(); }

private:
    struct site_line {
        lane_line lanes;
        std::int64_t timed_ms = 0; // When it is looked at again by itself; 0: not.
        std::int64_t used_up_ms = 0;
    };

    std::unordered_map<std::string, site_line> lines_;
    timed<std::string> times_;
};

// Messages, each with a time.
class timed_messages {
public:
    void add(std::uint64_t id, std::int64_t until_ms) {
        erase(id);
        until_ms_.emplace(id, until_ms);
        by_time_.emplace(until_ms, id);
    }

    void erase(std::uint64_t id) {
        if (const auto found = until_ms_.find(id); found != until_ms_.end()) {
            by_time_.erase({found->second, id});
            until_ms_.erase(found);
        }
    }

    [[nodiscard]] bool contains(std::uint64_t id) const { return until_ms_.contains(id); }

    // One whose time has come; nothing: none has.
    [[nodiscard]] std::optional<std::uint64_t> take_due(std::int64_t now_ms) {
        if (by_time_.empty() || by_time_.begin()->first > now_ms) {
            return std::nullopt;
        }
        const std::uint64_t id = by_time_.begin()->second;
        erase(id);
        return id;
    }

    [[nodiscard]] std::optional<std::int64_t> next_ms() const {
        return by_time_.empty() ? std::nullopt : std::optional(by_time_.begin()->first);
    }

    // In order of time.
    template <typename Visit>
    void for_each(Visit visit) const {
        for (const auto& [until_ms, id] : by_time_) {
            visit(id);
        }
    }

private:
    std::unordered_map<std::uint64_t, std::int64_t> until_ms_;
    std::set<std::pair<std::int64_t, std::uint64_t>> by_time_;
};

} // namespace ebbgate::relay
