// Values by name, each good until its own time; the least recently used goes when it is full.
//
// Owner   One thread. Values are shared and immutable.
// Bounds  entries_max.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace ebbgate::dns {

template <typename Value>
class timed_cache {
public:
    using pointer = std::shared_ptr<const Value>;

    explicit timed_cache(std::size_t entries_max) : entries_max_(entries_max) {}

    // Null: unknown, or too old.
    [[nodiscard]] pointer find(std::string_view name, std::uint64_t now_ms) {
        const auto known = by_name_.find(name);
        if (known == by_name_.end()) {
            return nullptr;
        }
        if (known->second->value->until_ms <= now_ms) {
            entries_.erase(known->second);
            by_name_.erase(known);
            return nullptr;
        }
        entries_.splice(entries_.begin(), entries_, known->second);
        return known->second->value;
    }

    void put(const std::string& name, pointer value) {
        if (const auto known = by_name_.find(name); known != by_name_.end()) {
            known->second->value = std::move(value);
            entries_.splice(entries_.begin(), entries_, known->second);
            return;
        }
        if (entries_.size() >= entries_max_ && !entries_.empty()) {
            by_name_.erase(entries_.back().name);
            entries_.pop_back();
        }
        entries_.push_front({name, std::move(value)});
        by_name_.emplace(entries_.front().name, entries_.begin());
    }

    void clear() noexcept {
        by_name_.clear();
        entries_.clear();
    }

    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry {
        std::string name;
        pointer value;
    };

    std::list<entry> entries_; // The most recently used first.
    // Keys are views of the entries' names, which stay where they are.
    std::unordered_map<std::string_view, typename std::list<entry>::iterator> by_name_;
    std::size_t entries_max_;
};

} // namespace ebbgate::dns
