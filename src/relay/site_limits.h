// What leaves for one site from one source, over all shards: connections, rates, and how many
// connections it takes well. One count for all shards, so that a limit is what it says.
//
// Input   A shard's wish to connect or to send; what came of it.
// Output  Granted or not, and when to ask again.
// Owner   The daemon; outlives the shards. Any thread. A site belongs to those that hold it.
// Fails   Never; a shard that was refused is told when there is room (set_listener()).
// Bounds  As many sites as are held, 128 bytes and a name each. A look-up locks a stripe; all
//         else is atomic.
//
// The window is Postfix's idea (SCHEDULER_README): it begins small, grows by one for each round of
// successes while it is full, and halves when the site pushes back. How many connections there were
// then is the ceiling: up to one less it grows again as before; so many are tried again slowly, not
// before ceiling_hold_ms, and when they work, there is no ceiling any more. A connection that is
// turned away says nothing of those that work: these stay.
//
// Times are milliseconds of a clock that never goes back, the same in all shards.

#pragma once

#include "config/rate.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ebbgate::relay {

class site_limits;

class site_limit {
public:
    // Connections that a site gets before it has shown anything.
    static constexpr std::uint32_t window_first = 5;
    static constexpr std::int64_t ceiling_hold_ms = 10'000;
    // A place that one has just left may not be free yet for the site.
    static constexpr std::int64_t worked_lately_ms = 2'000;

    site_limit(site_limits& owner, std::string name) : owner_(owner), name_(std::move(name)) {}

    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    // False: as many connections as it may have are there, and the shard will be told. The others
    // are told that it waits, for they may have idle ones.
    [[nodiscard]] bool enter(std::uint32_t shard, std::uint32_t connections_max);
    // Who waits is told, from the next shard on: each has its turn.
    void leave(std::uint32_t shard);

    // One that entered has come through the greeting and EHLO; end_work() before it leaves.
    void begin_work() noexcept { ++working_; }

    void end_work(std::int64_t now_ms) noexcept {
        worked_ms_.store(now_ms);
        --working_;
    }

    // Or did so lately.
    [[nodiscard]] bool works(std::int64_t now_ms) const noexcept {
        return working_.load() != 0 || now_ms - worked_ms_.load() < worked_lately_ms;
    }

    // Not told: this shard, which has had its share. It goes on waiting.
    void leave_to_others(std::uint32_t shard);

    // Some shard waits for room.
    [[nodiscard]] bool is_wanted() const noexcept { return waiting_.load() != 0; }

    // How many shards wait for room, `shard` counted in any case.
    [[nodiscard]] std::uint32_t contenders(std::uint32_t shard) const noexcept {
        return static_cast<std::uint32_t>(std::popcount(waiting_.load() | mark_of(shard)));
    }

    // As after enter() that found no room.
    void wait(std::uint32_t shard);

    // More are there than it may have now: one that has ended its message shall go.
    [[nodiscard]] bool is_over(std::uint32_t connections_max) const noexcept;

    // 0: it may go now, and is counted. Else the time, in microseconds, when it may.
    [[nodiscard]] std::int64_t take_message(const config::rate& rate,
                                            std::int64_t now_us) noexcept {
        return take(message_due_us_, rate, now_us);
    }

    [[nodiscard]] std::int64_t take_connection(const config::rate& rate,
                                               std::int64_t now_us) noexcept {
        return take(connection_due_us_, rate, now_us);
    }

    // `full`: a host of our own, which needs no acquaintance.
    void begin(bool full) noexcept;
    void succeeded(std::uint32_t connections_max, std::int64_t now_ms);
    // By a reply on a connection that works: those that there are are too many.
    void pushed_back(std::int64_t now_ms) noexcept;
    // A new connection was, the one that made it `entered_as`. It may be fewer now.
    void turned_away(std::uint32_t entered_as, std::int64_t now_ms) noexcept;

    [[nodiscard]] std::uint32_t connections() const noexcept {
        return connections_.load(std::memory_order_relaxed);
    }

    [[nodiscard]] std::uint32_t window() const noexcept {
        return window_.load(std::memory_order_relaxed) / window_unit;
    }

private:
    // A bit for each shard; beyond 64, two share one and both are told.
    [[nodiscard]] static std::uint64_t mark_of(std::uint32_t shard) noexcept {
        return std::uint64_t{1} << (shard % 64);
    }

    static constexpr std::uint32_t window_unit = 256;
    static constexpr std::uint32_t slow_part = 32; // Of the growth at the ceiling.
    static constexpr std::uint32_t window_all = 0xffff'ff00;
    // Of a window that is full, so many work at least: more of them hang, and nothing is known of
    // how they do.
    static constexpr std::uint32_t working_part = 4;

    [[nodiscard]] static std::int64_t
    take(std::atomic<std::int64_t>& due_us, const config::rate& rate, std::int64_t now_us) noexcept;
    [[nodiscard]] bool try_enter(std::uint32_t connections_max) noexcept;
    void lower(std::uint32_t used, std::uint32_t working, std::int64_t now_ms) noexcept;

    site_limits& owner_;
    std::string name_;
    std::atomic<std::uint32_t> connections_{0};
    std::atomic<std::uint32_t> working_{0};                  // Of them.
    std::atomic<std::int64_t> worked_ms_{-worked_lately_ms}; // When the latest ended.
    std::atomic<std::uint32_t> window_{0};                   // In window_unit; 0: not begun.
    std::atomic<std::uint32_t> ceiling_{0};   // Connections when it pushed back; 0: it has not.
    std::atomic<std::int64_t> ceiling_ms_{0}; // When that was.
    std::atomic<std::int64_t> message_due_us_{0};
    std::atomic<std::int64_t> connection_due_us_{0};
    std::atomic<std::uint64_t> waiting_{0}; // Shards, one bit each.
};

class site_limits {
public:
    static constexpr std::uint32_t shards_max = 64; // Beyond, two share a bit and both are told.

    using site_pointer = std::shared_ptr<site_limit>;
    // There may be room; or another shard waits for some.
    enum class news : std::uint8_t { room, wanted };

    using listener = std::function<void(std::string name, news what)>;

    [[nodiscard]] site_pointer find(const std::string& name);

    // Called from any thread when a site of this name may have room, or another
    // shard waits for it. Before the shards run.
    void set_listener(std::uint32_t shard, listener tell);

    [[nodiscard]] std::size_t size() const;

private:
    friend class site_limit;

    static constexpr std::size_t stripes = 64;

    struct alignas(64) stripe {
        mutable std::mutex lock;
        std::unordered_map<std::string, std::weak_ptr<site_limit>> sites;
        std::size_t sweep_at = 1024; // When so many names are there, those nobody holds go.
    };

    void
    tell(std::uint64_t shards, const std::string& name, news what, std::size_t first = 0) const;

    std::array<stripe, stripes> stripes_;
    std::vector<listener> listeners_;
};

} // namespace ebbgate::relay
