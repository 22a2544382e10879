// The recipients that each tenant's mail is no longer tried for: in memory for the shards, in an
// SQLite file for good.
//
// Input   Hard bounces from the shards; additions and removals by command.
// Output  is_suppressed(), pages of entries.
// Owner   The daemon. is_suppressed() and note_bounce() from any thread, never waiting for a disk;
//         the other calls from one thread at a time, and they may wait for a commit.
// Fails   A bounce that cannot be kept is dropped and counted; after a crash those of the last
//         moments (batch_ms) are missing, and those recipients bounce once more. A command that
//         returned is durable.
// Bounds  list_bounds; waiting_max bounces on their way to the disk.
// Specs   A file of another version or program is refused, never changed.

#pragma once

#include "ebbgate/base/result.h"

#include "stage/bounces/suppressed_set.h"
#include "stage/bounces/suppression.h"
#include "store/database.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ebbgate::suppression {

inline constexpr std::int64_t schema_version = 1;
inline constexpr std::int64_t page_rows_max = 1'000;
inline constexpr std::size_t waiting_max = 20'000;
inline constexpr std::size_t reply_bytes_max = 500;

struct list_bounds {
    std::size_t entries_max = 1'000'000;
    std::size_t per_tenant_max = 250'000; // No tenant can take all the room.
    std::uint32_t batch_ms = 200;         // Bounces of so long share a commit.
    std::uint32_t sweep_ms = 60'000;      // So late an entry that has expired is gone.
};

struct entry {
    std::int64_t id = 0;
    std::string tenant;
    std::string address; // As suppressed_form() has it.
    std::string name;    // The class; empty: added by command.
    std::string reply;   // Of the bounce, or the reason that was given.
    std::int64_t created_unix_s = 0;
    std::int64_t expires_unix_s = 0; // 0: never.
};

struct page {
    std::vector<entry> rows;
    std::int64_t next = 0; // 0: this was the last one.
};

enum class addition : std::uint8_t { added, unchanged, full };

class suppression_list final : public bounces::suppression {
public:
    // `on_fault` is told, from another thread, that bounces could not be stored and will be tried
    // again.
    [[nodiscard]] static result<std::unique_ptr<suppression_list>>
    open(const std::string& path,
         const list_bounds& bounds = {},
         std::function<void(const std::string& why)> on_fault = {});
    suppression_list(const suppression_list&) = delete;
    suppression_list& operator=(const suppression_list&) = delete;
    // Stores what waits.
    ~suppression_list();

    [[nodiscard]] bool is_suppressed(std::string_view tenant,
                                     std::string_view address) const noexcept override {
        return known_.contains(tenant, address);
    }

    void note_bounce(const bounces::hard_bounce& bounce) override;

    // `id` is set by the list. An entry that is there gets the new reason and end.
    [[nodiscard]] result<addition> add(const entry& added);
    // False: it was not there.
    [[nodiscard]] result<bool> remove(std::string_view tenant, std::string_view address);
    // `after` is the `next` of the page before, at first 0. An empty tenant: of all.
    [[nodiscard]] result<page>
    list(std::string_view tenant, std::int64_t after, std::int64_t rows_max);

    // Until all that was told is stored, or cannot be.
    [[nodiscard]] result<void> flush();

    [[nodiscard]] std::size_t size() const noexcept { return known_.size(); }

    // Bounces that found no room.
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return dropped_.load(std::memory_order_relaxed);
    }

private:
    suppression_list(store::database opened,
                     const list_bounds& bounds,
                     std::function<void(const std::string& why)> on_fault);

    [[nodiscard]] result<void> read_all();
    void write_for_ever();
    // With the file's lock held.
    [[nodiscard]] result<void> store_waiting();
    [[nodiscard]] result<bool> put(const entry& one, bool by_command);
    [[nodiscard]] result<void> sweep(std::int64_t now_unix_s);
    void forget(std::string_view tenant, std::string_view address);
    [[nodiscard]] bool has_room_for(const std::string& tenant) const;

    const list_bounds bounds_;
    std::function<void(const std::string& why)> on_fault_;
    bounces::suppressed_set known_;
    std::atomic<std::uint64_t> dropped_{0};

    std::mutex file_lock_;
    store::database database_;
    std::map<std::string, std::size_t, std::less<>> counts_; // Rows of each tenant.

    std::mutex queue_lock_;
    std::condition_variable queue_changed_;
    std::vector<entry> waiting_;
    bool stopping_ = false;
    std::thread writer_; // The last: it uses the others.
};

} // namespace ebbgate::suppression
