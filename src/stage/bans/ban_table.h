// Who struck how often, and who is banned: counting and deciding, without I/O and without a clock.
//
// Stage   1 of 8. After it: session.
// Input   Strikes with their time, commands, settings, and at start the bans that were stored.
// Output  Verdicts; each change is told to the observer before the call returns.
// Owner   The ban thread. The observer may read the table, not change it.
// Fails   With a verdict or an outcome, never otherwise.
// Bounds  capacity. When strikers are full the one that struck longest ago is forgotten; when bans
//         are full the one that ends first is lifted early; when the history is full the ban that
//         ended longest ago is forgotten. What never ends is never displaced: when nothing else is
//         left, a new ban is refused. Run-time ignore entries: ignore_max.
//
// `now` should come from a clock that is not set back (the time at start plus what has passed
// since); should it go back all the same, strikes from the future count as of now.

#pragma once

#include "stage/bans/ban.h"
#include "stage/bans/network_set.h"
#include "stage/bans/recent_map.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace ebbgate::bans {

enum class ban_end : std::uint8_t {
    expired,   // It counts for the next one.
    lifted,    // By command or by the white list: forgiven.
    displaced, // Bans were full: it ends now, and counts for the next one.
};

class ban_observer {
public:
    virtual void on_banned(const ban& ban, bool restored) = 0;
    // Its end or its cause is another than before.
    virtual void on_changed(const ban& ban) = 0;
    virtual void on_unbanned(const ban& ban, ban_end why) = 0;
    // An ended ban does not count any more.
    virtual void on_forgotten(const config::ip_network& network) = 0;
    // After the bans that it lifts were told.
    virtual void on_white_list(const std::vector<config::ip_network>& added,
                               const std::vector<config::ip_network>& removed) = 0;

protected:
    ~ban_observer() = default;
};

enum class verdict_kind : std::uint8_t { ignored, counted, banned, already_banned };

struct verdict {
    verdict_kind kind = verdict_kind::counted;
    std::uint32_t strikes = 0; // Within find_time, this one included.
    bans::ban ban;             // Of banned and already_banned.
};

struct strike_count {
    std::uint32_t strikes = 0;
    std::int64_t frees_us = 0; // Of none: 0.
};

enum class ban_outcome : std::uint8_t {
    banned,
    changed, // It was banned; end and cause are the new ones.
    white_listed,
    holds_all_v4, // A short IPv6 prefix that covers every IPv4-mapped address.
    full,
};

class ban_table {
public:
    struct capacity {
        std::uint32_t bans = 2'000'000;
        std::uint32_t strikers = 131'072;
        std::uint32_t history = 500'000;
    };

    static constexpr std::size_t ignore_max = 10'000;

    explicit ban_table(ban_observer& observer);
    ban_table(ban_observer& observer, capacity capacity);

    // Before anything else; until then nothing is white-listed.
    // Running bans are shortened to what the new settings give, never lengthened; those by hand
    // stay. The white list applies at once.
    void configure(bans::settings settings, std::int64_t now_us);
    // At start, once, after configure(): what runs is banned, what ended lately is history. So many
    // rows are about to come; when they are more than bans_max(), those that end last first.
    void begin_restore(std::size_t rows, std::vector<config::ip_network> ignore);
    void restore(const ban& row, std::int64_t now_us);
    void end_restore(std::int64_t now_us);

    [[nodiscard]] verdict
    strike(const config::ip_address& address, strike_cause cause, std::int64_t now_us);
    // Ends what is due and forgets what is old. strike() does it too.
    void expire(std::int64_t now_us);

    // Exactly this network; no duration: as the settings say.
    // `address` is what the log shows. Without a duration a ban that runs is never shortened.
    [[nodiscard]] ban_outcome ban_by_hand(const config::ip_network& network,
                                          const config::ip_address& address,
                                          std::optional<std::chrono::seconds> duration,
                                          std::int64_t now_us);

    ban_outcome ban_by_hand(const config::ip_network& network,
                            std::optional<std::chrono::seconds> duration,
                            std::int64_t now_us) {
        return ban_by_hand(network, network.address, duration, now_us);
    }

    // Lifts each ban that touches the network, so that all of it can connect.
    std::size_t unban(const config::ip_network& network);
    std::size_t unban_all();

    // False: it is there already, or ignore_max are.
    [[nodiscard]] bool add_ignore(const config::ip_network& network);
    // False: no run-time entry (those of the settings stay until the settings change).
    [[nodiscard]] bool remove_ignore(const config::ip_network& network);

    // Null: not banned. White-listed addresses within a banned network are not.
    [[nodiscard]] const ban* find(const config::ip_address& address) const;
    // What is counted of the address, and when the oldest of it stops to count.
    [[nodiscard]] strike_count strikes_of(const config::ip_address& address,
                                          std::int64_t now_us) const;
    // The soonest to end first.
    [[nodiscard]] std::vector<ban> list(std::size_t max) const;
    // Bans, running and ended, as restore() takes each.
    template <typename visitor>
    void for_each_row(visitor&& visit) const;

    [[nodiscard]] const bans::settings& settings() const noexcept { return settings_; }

    [[nodiscard]] std::size_t bans_max() const noexcept { return capacity_.bans; }

    [[nodiscard]] const std::vector<config::ip_network>& run_time_ignore() const noexcept {
        return run_time_ignore_;
    }

    [[nodiscard]] const network_set& white_list() const noexcept { return white_; }

    [[nodiscard]] std::size_t ban_count() const noexcept { return bans_.size(); }

    [[nodiscard]] std::size_t striker_count() const noexcept { return strikers_.size(); }

    [[nodiscard]] std::size_t history_count() const noexcept { return history_.size(); }

    // Since the start: bans that ended early for want of room.
    [[nodiscard]] std::uint64_t displaced_bans() const noexcept { return displaced_bans_; }

    [[nodiscard]] std::uint64_t displaced_strikers() const noexcept { return displaced_strikers_; }

private:
    using ban_map = std::unordered_map<config::ip_network, ban, network_hash>;

    struct ending {
        std::int64_t until_us = 0;
        config::ip_network network;
    };

    struct window {
        std::uint32_t strikes = 0; // Times of them in times_, the oldest first.
    };

    [[nodiscard]] std::uint32_t count_strike(const config::ip_network& key, std::int64_t now_us);
    void forget_old_strikers(std::int64_t now_us);
    void forget_old_history(std::int64_t now_us);
    [[nodiscard]] std::uint32_t next_count(const config::ip_network& network, std::int64_t now_us);
    [[nodiscard]] bool insert(const ban& made, bool restored);
    [[nodiscard]] bool displace_one(std::int64_t now_us);
    void end(ban_map::iterator which, ban_end why);
    void remember(const ban& ended);
    void shorten(std::int64_t now_us);
    [[nodiscard]] std::int64_t shortened_end(const ban& ban) const;
    void apply_white_list();
    template <typename predicate>
    std::size_t lift_where(predicate&& lifts);
    [[nodiscard]] bool is_white(const ban& ban) const;
    void forgive(const config::ip_network& network);
    void push_ending(const ban& ban);
    void rebuild_endings();

    ban_observer& observer_;
    capacity capacity_;
    bans::settings settings_;
    std::vector<config::ip_network> run_time_ignore_;
    network_set white_;

    ban_map bans_;
    std::array<std::uint32_t, 129> bans_by_prefix_{}; // How many bans have this prefix length.
    // A heap, the soonest first; what does not match its ban any more is skipped.
    std::vector<ending> endings_;

    recent_map<window> strikers_;
    std::vector<std::int64_t> times_; // max_retry - 1 for each slot of strikers_, at least one.
    recent_map<ban> history_;         // By the time of the end.
    std::vector<ban> ended_;          // Of the rows that are being restored.
    std::uint64_t displaced_bans_ = 0;
    std::uint64_t displaced_strikers_ = 0;
};

template <typename visitor>
void ban_table::for_each_row(visitor&& visit) const {
    for (const auto& [network, running] : bans_) {
        visit(running);
    }
    for (auto at = history_.oldest(); at != history_.none; at = history_.younger_than(at)) {
        visit(history_.value(at));
    }
}

} // namespace ebbgate::bans
