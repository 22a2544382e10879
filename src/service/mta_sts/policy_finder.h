// The MTA-STS policy of a domain: from memory, from disk, else by TXT record and HTTPS.
//
// Input   A domain in its ASCII form; the caller's way to ask for TXT records.
// Output  A shared policy that does not change, or none, or that it is not known for now; on the
//         reactor that asked. A policy that holds is told at once, and looked at again behind it.
// Owner   Shared by all shards (one short lock); it lives longer than the jobs of the worker pool,
//         and its source has stopped before it ends.
// Fails   Never: a policy host that does not answer is no policy at first contact (RFC 8461 5), and
//         the policy that was there until its max_age ends. Want of a place is not known for now.
// Bounds  domains_max in memory, policy_store's rows on disk, and those to which no mail went for
//         longest go first; one look-up a domain at a time, waiting_max callers for all of them.

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/shard/worker_pool.h"
#include "runtime/task/reactor.h"
#include "service/mta_sts/fetcher.h"
#include "service/mta_sts/policy_store.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::mta_sts {

struct txt_answer {
    bool failed = false; // No answer, which is not the same as no records.
    std::vector<std::string> records;
};

// For the TXT records of a name; answers later or at once, on the thread that asked.
using ask_txt = std::function<void(const std::string& name, std::function<void(txt_answer)> done)>;

struct found_policy {
    std::shared_ptr<const mta_sts::policy> policy; // Null: none.
    // There is a record, but its policy could not be had (again): for TLS-RPT.
    std::optional<tls_report::result_type> fault;
    std::string detail; // Of the fault.
    // Too much is asked for: there may be a policy. Mail has to wait.
    bool is_unknown = false;
};

struct finder_settings {
    std::string path;                    // Of the SQLite file.
    std::int64_t recheck_s = 300;        // The TXT record is looked at again after so long.
    std::function<std::int64_t()> now_s; // Unix time; empty: the system's.
    std::size_t domains_max = 50'000;
    std::int64_t rows_max = policy_store::rows_max_standard;
};

class policy_finder {
public:
    static constexpr std::size_t waiting_max = 10'000;
    static constexpr std::int64_t note_s = 60; // Between two notes that mail goes to a domain.

    using found = std::function<void(const found_policy&)>;

    [[nodiscard]] static result<std::unique_ptr<policy_finder>>
    open(finder_settings settings, shard::worker_pool& workers, policy_source& source);

    // `done` is called once, on `reactor`; at once when nothing has to be waited for.
    void
    find(const std::string& domain, task::reactor& reactor, const ask_txt& ask, const found& done);

    [[nodiscard]] std::size_t size() const;

    // Times that the disk could not be written.
    [[nodiscard]] std::uint64_t save_failures() const noexcept { return save_failures_; }

private:
    struct waiter {
        task::reactor* reactor = nullptr;
        found done;
    };

    struct entry {
        std::string id;
        found_policy known;
        std::int64_t fetched_s = 0;
        std::int64_t checked_s = 0;
        std::int64_t noted_s = 0;
        bool busy = false;
        bool is_unread = false; // The disk may have it.
        std::vector<waiter> waiting;
        std::list<const std::string*>::iterator place; // In by_use_.

        [[nodiscard]] bool is_over(std::int64_t now_s) const noexcept {
            return known.policy == nullptr || fetched_s + known.policy->max_age_s <= now_s;
        }
    };

    enum class next_step : std::uint8_t { nothing, ask, read };

    policy_finder(finder_settings settings,
                  policy_store store,
                  shard::worker_pool& workers,
                  policy_source& source);

    [[nodiscard]] std::int64_t now_s() const;
    void make_room();
    [[nodiscard]] entry& entry_of(const std::string& key);
    [[nodiscard]] bool is_fresh(const entry& one, std::int64_t now_s) const;
    // Nothing: the caller waits.
    [[nodiscard]] std::optional<found_policy> known_or_wait(const std::string& key,
                                                            task::reactor& reactor,
                                                            const found& done,
                                                            next_step& next,
                                                            bool& must_write);
    void ask_record(const std::string& domain, task::reactor& home, const ask_txt& ask);
    void read(const std::string& domain, task::reactor& home, const ask_txt& ask);
    void on_read(const std::string& domain, std::optional<stored_policy> row);
    void on_record(const std::string& domain, task::reactor& home, const txt_answer& answer);
    void fetch(const std::string& domain, const std::string& id, task::reactor& home);
    void keep(stored_policy row, task::reactor& home);
    void begin_writing(task::reactor& home);
    void write_all();
    void finish_fetched(std::vector<stored_policy> rows);
    void finish(const std::string& domain, const std::function<void(entry&)>& change);
    void finish_unknown(const std::string& domain);
    [[nodiscard]] std::vector<waiter> take_waiting(entry& one);
    static void answer(std::vector<waiter> waiting, const found_policy& known);
    void note_use(const std::string& key, entry& one, std::int64_t now_s);

    finder_settings settings_;
    shard::worker_pool& workers_;
    policy_source& source_;
    mutable std::mutex lock_;
    std::unordered_map<std::string, entry> entries_;
    std::list<const std::string*> by_use_; // The keys; the last used first.
    std::size_t waiting_ = 0;
    bool disk_has_more_ = false;
    std::vector<stored_policy> unsaved_; // Whoever waits for them waits until they are written.
    policy_store::uses notes_;           // To be written.
    std::int64_t written_s_ = 0;
    bool write_due_ = false; // A job will write all that there is.
    std::mutex store_lock_;  // Held by worker threads, while they wait for the disk.
    policy_store store_;
    std::atomic<std::uint64_t> save_failures_ = 0;
};

} // namespace ebbgate::mta_sts
