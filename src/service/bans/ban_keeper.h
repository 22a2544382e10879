// Bans, put together: the table decides, and the kernel's map, the set that shards ask, the log,
// the store and the open sessions follow.
//
// Input   Strikes and commands, each with its time (see ban_table.h for which clock).
// Output  A verdict once the ban is in force: the kernel refuses before strike() returns, so the
//         reply to the last failed attempt can be sent after it.
// Owner   The ban thread. is_banned() is for any thread.
// Fails   A ban that cannot be stored or handed to the kernel holds all the same, by is_banned();
//         status() tells.
// Bounds  Those of the table and the store. tick() is called each second or so: it ends what is
//         due and makes changes durable.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"

#include "runtime/net/refusal.h"
#include "service/bans/ban_store.h"
#include "service/bans/block_worker.h"
#include "stage/bans/ban_log.h"
#include "stage/bans/ban_set.h"
#include "stage/bans/ban_table.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::bans {

class ban_keeper final : private ban_observer {
public:
    // Ends the sessions of a network but for those of `spared`, which lie in it. Called on the ban
    // thread; not for bans restored at start.
    using cut_sessions = std::function<void(const config::ip_network& network,
                                            const std::vector<config::ip_network>& spared)>;
    using write_lines = std::function<void(std::string lines)>;

    struct parts {
        std::unique_ptr<net::refusal> refusal; // Null: shards reset what is_banned().
        std::string why_reset;                 // Then: why, for status.
        std::optional<ban_store> store;        // Empty: bans do not survive.
        write_lines log;                       // log_file::append; may be empty.
        write_lines log_restored;              // Of the many at start; empty: as `log`.
        cut_sessions cut;                      // May be empty.
        std::uint32_t pid = 0;
        ban_table::capacity capacity;
    };

    struct status_values {
        bool refused_by_kernel = false;
        std::string why_reset; // When the kernel does not refuse.
        std::size_t bans = 0;
        std::size_t strikers = 0;
        std::size_t history = 0;
        std::size_t white_listed = 0; // Networks.
        std::uint64_t found = 0;      // Strikes counted since the start.
        std::uint64_t ignored = 0;
        std::uint64_t banned = 0; // Since the start, restored ones not included.
        std::uint64_t displaced_bans = 0;
        std::uint64_t displaced_strikers = 0;
        std::size_t not_yet_durable = 0; // Changes that a power cut now would lose.
        std::uint64_t kernel_faults = 0;
        std::uint64_t store_faults = 0;
        std::string last_fault; // Of kernel or store.
    };

    explicit ban_keeper(parts parts);
    ban_keeper(const ban_keeper&) = delete;
    ban_keeper& operator=(const ban_keeper&) = delete;
    ~ban_keeper(); // Flushes.

    // First: the stored bans are in force when it returns. A fault of the store is returned, and
    // the keeper works on with what it has.
    [[nodiscard]] result<void> start(settings settings, std::int64_t now_us);
    // At reload.
    void configure(settings settings, std::int64_t now_us);

    // Each listener of each shard.
    [[nodiscard]] result<void> attach(int listening_fd);

    // For shards, after accept.
    [[nodiscard]] bool is_banned(const config::ip_address& address) const {
        return set_.is_banned(address);
    }

    verdict strike(const config::ip_address& address, strike_cause cause, std::int64_t now_us);
    void tick(std::int64_t now_us);
    // False: something could not be made durable; status() has the reason.
    bool flush();

    // `address` is what the log shows. Without a duration a ban that runs is never shortened.
    ban_outcome ban_by_hand(const config::ip_network& network,
                            const config::ip_address& address,
                            std::optional<std::chrono::seconds> duration,
                            std::int64_t now_us);

    ban_outcome ban_by_hand(const config::ip_network& network,
                            std::optional<std::chrono::seconds> duration,
                            std::int64_t now_us) {
        return ban_by_hand(network, network.address, duration, now_us);
    }

    // How many bans were lifted.
    std::size_t unban(const config::ip_network& network, std::int64_t now_us);
    std::size_t unban_all(std::int64_t now_us);
    // False: nothing changed (ban_table.h).
    bool add_ignore(const config::ip_network& network, std::int64_t now_us);
    bool remove_ignore(const config::ip_network& network, std::int64_t now_us);

    [[nodiscard]] std::vector<ban> banned(std::size_t max) const { return table_.list(max); }

    [[nodiscard]] const ban* find(const config::ip_address& address) const {
        return table_.find(address);
    }

    [[nodiscard]] strike_count strikes_of(const config::ip_address& address,
                                          std::int64_t now_us) const {
        return table_.strikes_of(address, now_us);
    }

    [[nodiscard]] const std::vector<config::ip_network>& run_time_ignore() const {
        return table_.run_time_ignore();
    }

    [[nodiscard]] const bans::settings& settings_in_force() const { return table_.settings(); }

    [[nodiscard]] status_values status() const;

private:
    static constexpr std::size_t pending_before_flush = 10'000;
    static constexpr std::size_t log_block_bytes = 256 * kib;

    void on_banned(const ban& ban, bool restored) override;
    void on_changed(const ban& ban) override;
    void on_unbanned(const ban& ban, ban_end why) override;
    void on_forgotten(const config::ip_network& network) override;
    void on_white_list(const std::vector<config::ip_network>& added,
                       const std::vector<config::ip_network>& removed) override;

    [[nodiscard]] result<void> restore(ban_store& store);
    void restore_block(std::span<const ban> rows, block_worker<net::source_network>& kernel);
    void give_lines();
    void give_lines_to(const write_lines& log);
    void finish_change();
    void note_kernel(const result<void>& outcome);
    void note_store(const result<void>& outcome);

    parts parts_;
    ban_table table_;
    ban_set set_;
    ban_log log_;
    std::string lines_;                // Of the call under way.
    std::vector<const ban*> restored_; // Of the block that is being restored.
    std::int64_t now_us_ = 0;          // Of the call under way.
    std::uint64_t found_ = 0;
    std::uint64_t ignored_ = 0;
    std::uint64_t banned_ = 0;
    std::uint64_t kernel_faults_ = 0;
    std::uint64_t store_faults_ = 0;
    std::string last_fault_;
    bool store_failed_ = false; // Then only tick() tries again.
};

} // namespace ebbgate::bans
