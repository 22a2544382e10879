// The MTA-STS policy of a domain: from memory, else by TXT record and HTTPS.
//
// Input   A domain in its ASCII form; the caller's way to ask for TXT records.
// Output  A shared policy that does not change, or none; on the reactor that asked.
// Owner   Shared by all shards (one short lock); it lives longer than the worker pool's jobs.
// Fails   Never: trouble is no policy at first contact (RFC 8461 5), and the policy that was there
//         until its max_age ends.
// Bounds  domains_max in memory, policy_store::rows_max on disk; one look-up a domain at a time,
//         waiting_max callers for all of them (those above get what is there).

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/shard/worker_pool.h"
#include "runtime/task/reactor.h"
#include "service/mta_sts/fetch.h"
#include "service/mta_sts/policy_store.h"

#include <atomic>
#include <cstdint>
#include <functional>
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
};

struct finder_settings {
    std::string path; // Of the SQLite file.
    fetch_settings fetch;
    std::int64_t recheck_s = 300;        // The TXT record is looked at again after so long.
    std::function<std::int64_t()> now_s; // Unix time; empty: the system's.
};

class policy_finder {
public:
    static constexpr std::size_t domains_max = 50'000;
    static constexpr std::size_t waiting_max = 10'000;

    using found = std::function<void(const found_policy&)>;

    [[nodiscard]] static result<std::unique_ptr<policy_finder>> open(finder_settings settings,
                                                                     shard::worker_pool& workers);

    // `done` is called once, on `reactor`; at once when nothing has to be asked.
    void
    find(const std::string& domain, task::reactor& reactor, const ask_txt& ask, const found& done);

    [[nodiscard]] std::size_t size() const;

    // Policies that could not be written to disk.
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
        bool busy = false;
        std::vector<waiter> waiting;

        [[nodiscard]] bool is_over(std::int64_t now_s) const noexcept {
            return known.policy == nullptr || fetched_s + known.policy->max_age_s <= now_s;
        }
    };

    policy_finder(finder_settings settings, policy_store store, shard::worker_pool& workers);

    [[nodiscard]] std::int64_t now_s() const;
    void make_room(std::int64_t now_s);
    // Nothing: the caller waits, and must ask when it is the first.
    [[nodiscard]] std::optional<found_policy> known_or_wait(const std::string& key,
                                                            task::reactor& reactor,
                                                            const found& done,
                                                            bool& must_ask);
    void on_record(const std::string& domain, task::reactor& home, const txt_answer& answer);
    void fetch(const std::string& domain, const std::string& id, task::reactor& home);
    void finish(const std::string& domain, const std::function<void(entry&)>& change);
    void save(const stored_policy& row);

    finder_settings settings_;
    shard::worker_pool& workers_;
    mutable std::mutex lock_;
    std::unordered_map<std::string, entry> entries_;
    std::size_t waiting_ = 0;
    std::mutex store_lock_; // Held by worker threads, while they wait for the disk.
    policy_store store_;
    std::atomic<std::uint64_t> save_failures_ = 0;
};

} // namespace ebbgate::mta_sts
