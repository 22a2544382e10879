#include "relay/site_limits.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

// What is less apart than this may go together: timers are no finer.
constexpr std::int64_t burst_us = 100'000;

} // namespace

void site_limit::begin(bool full) noexcept {
    std::uint32_t fresh = 0;
    window_.compare_exchange_strong(fresh, full ? window_all : window_first * window_unit);
}

bool site_limit::try_enter(std::uint32_t connections_max) noexcept {
    const std::uint32_t max = std::min(connections_max, std::max(window(), 1U));
    std::uint32_t seen = connections_.load();
    while (seen < max) {
        if (connections_.compare_exchange_weak(seen, seen + 1)) {
            return true;
        }
    }
    return false;
}

bool site_limit::enter(std::uint32_t shard, std::uint32_t connections_max) {
    if (try_enter(connections_max)) {
        return true;
    }
    // Marked first and tried again: who leaves in between either is seen, or sees the mark.
    const std::uint64_t mark = mark_of(shard);
    const bool is_news = (waiting_.fetch_or(mark) & mark) == 0;
    if (try_enter(connections_max)) {
        return true;
    }
    if (is_news) {
        owner_.tell(~mark, name_, site_limits::news::wanted);
    }
    return false;
}

void site_limit::wait(std::uint32_t shard) {
    const std::uint64_t mark = mark_of(shard);
    if ((waiting_.fetch_or(mark) & mark) == 0) {
        owner_.tell(~mark, name_, site_limits::news::wanted);
    }
}

void site_limit::leave(std::uint32_t shard) {
    connections_.fetch_sub(1);
    if (const std::uint64_t shards = waiting_.exchange(0); shards != 0) {
        owner_.tell(shards, name_, site_limits::news::room, shard + 1);
    }
}

void site_limit::leave_to_others(std::uint32_t shard) {
    connections_.fetch_sub(1);
    const std::uint64_t own = mark_of(shard);
    if (const std::uint64_t shards = waiting_.fetch_and(own) & ~own; shards != 0) {
        owner_.tell(shards, name_, site_limits::news::room, shard + 1);
    }
}

bool site_limit::is_over(std::uint32_t connections_max) const noexcept {
    return connections() > std::min(connections_max, std::max(window(), 1U));
}

// The generic cell rate algorithm: each has its place in time, one interval after the last.
std::int64_t site_limit::take(std::atomic<std::int64_t>& due_us,
                              const config::rate& rate,
                              std::int64_t now_us) noexcept {
    if (rate.is_unlimited()) {
        return 0;
    }
    const std::int64_t interval_us =
        std::max<std::int64_t>(1, rate.period.count() * 1'000'000 / rate.count);
    const std::int64_t slack_us = interval_us < burst_us ? burst_us : 0;
    std::int64_t due = due_us.load();
    for (;;) {
        // A slower rate that was in force before must not hold it longer than this one would.
        const std::int64_t at = std::clamp(due, now_us, now_us + interval_us + slack_us);
        if (at > now_us + slack_us) {
            return at - slack_us;
        }
        if (due_us.compare_exchange_weak(due, at + interval_us)) {
            return 0;
        }
    }
}

void site_limit::succeeded(std::uint32_t connections_max, std::int64_t now_ms) {
    std::uint32_t seen = window_.load(std::memory_order_relaxed);
    const std::uint32_t now = seen / window_unit;
    const std::uint32_t working = working_.load(std::memory_order_relaxed);
    if (now >= connections_max || connections() < now || working < now / working_part) {
        return; // Nothing is known of how it takes more than there are.
    }
    std::uint32_t ceiling = ceiling_.load(std::memory_order_relaxed);
    const bool is_held = now_ms - ceiling_ms_.load(std::memory_order_relaxed) < ceiling_hold_ms;
    if (ceiling != 0 && working >= ceiling) {
        // It takes more than it did; or of those that came together, more than it seemed.
        ceiling = is_held ? working + 1 : 0;
        ceiling_.store(ceiling, std::memory_order_relaxed);
    }
    const bool is_near = ceiling != 0 && now + 1 >= ceiling;
    const std::uint32_t more =
        std::max(1U, window_unit * window_unit / std::max(seen, 1U) / (is_near ? slow_part : 1));
    const std::uint32_t most =
        ceiling == 0 ? window_all : (ceiling + (is_held ? 0 : 1)) * window_unit - 1;
    const std::uint32_t next = std::min(seen + more, most);
    if (next <= seen) {
        return;
    }
    window_.compare_exchange_weak(seen, next, std::memory_order_relaxed);
    if (next / window_unit != now) {
        if (const std::uint64_t shards = waiting_.exchange(0); shards != 0) {
            owner_.tell(shards, name_, site_limits::news::room);
        }
    }
}

void site_limit::pushed_back(std::int64_t now_ms) noexcept {
    lower(std::max(connections(), 1U), 0, now_ms);
}

void site_limit::turned_away(std::uint32_t entered_as, std::int64_t now_ms) noexcept {
    lower(std::max({connections(), entered_as, 1U}), working_.load(), now_ms);
}

// `used` were too many, `working` are not.
void site_limit::lower(std::uint32_t used, std::uint32_t working, std::int64_t now_ms) noexcept {
    std::uint32_t seen = window_.load();
    ceiling_.store(
        std::max(std::min(used, std::max(seen / window_unit, 1U)), working == 0 ? 0 : working + 1));
    ceiling_ms_.store(now_ms);
    // Of what it has, when the window was never full.
    const std::uint32_t half = std::min(seen, used * window_unit) / 2;
    const std::uint32_t kept = std::min(seen, working * window_unit);
    (void)window_.compare_exchange_strong(seen, std::max({window_unit, half, kept}));
}

site_limits::site_pointer site_limits::find(const std::string& name) {
    stripe& at = stripes_[std::hash<std::string>()(name) % stripes];
    const std::lock_guard hold(at.lock);
    std::weak_ptr<site_limit>& known = at.sites[name];
    if (site_pointer found = known.lock()) {
        return found;
    }
    auto made = std::make_shared<site_limit>(*this, name);
    known = made;
    if (at.sites.size() > at.sweep_at) {
        std::erase_if(at.sites, [](const auto& one) { return one.second.expired(); });
        at.sweep_at = std::max<std::size_t>(1024, at.sites.size() * 2);
    }
    return made;
}

void site_limits::set_listener(std::uint32_t shard, listener tell) {
    if (listeners_.size() <= shard) {
        listeners_.resize(shard + 1);
    }
    listeners_[shard] = std::move(tell);
}

void site_limits::tell(std::uint64_t shards,
                       const std::string& name,
                       news what,
                       std::size_t first) const {
    for (std::size_t place = 0; place < listeners_.size(); ++place) {
        const std::size_t shard = (first + place) % listeners_.size();
        if ((shards >> (shard % shards_max) & 1) != 0 && listeners_[shard]) {
            listeners_[shard](name, what);
        }
    }
}

std::size_t site_limits::size() const {
    std::size_t count = 0;
    for (const stripe& one : stripes_) {
        const std::lock_guard hold(one.lock);
        count += one.sites.size();
    }
    return count;
}

} // namespace ebbgate::relay
