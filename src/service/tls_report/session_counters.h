// Counts how TLS sessions ended, by day, domain, policy, result, our address and MX.
//
// Input   One call a session, from any shard.
// Output  The TLS-RPT report of a day about a domain, and the domains of a day.
// Owner   Shared by all. add() takes one of shards_count locks for as long as a count takes; the
//         other calls wait for the disk and are for one background thread.
// Fails   A flush that fails keeps its counts for the next one; a crash loses those since the last.
// Bounds  waiting_max rows between two flushes; what is above is counted in lost(). On disk
//         days_kept days.
// Specs   RFC 8460 4.

#pragma once

#include "ebbgate/base/result.h"

#include "codec/tls_report/report.h"
#include "store/database.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::tls_report {

struct session {
    std::string domain; // The policy's domain, in lower case.
    tls_report::policy_type policy_type = tls_report::policy_type::no_policy_found;
    result_type result = result_type::success;
    std::string sending_ip;
    std::string mx_host;
};

class session_counters {
public:
    static constexpr std::size_t waiting_max = 100'000;
    static constexpr std::int64_t days_kept = 8;

    [[nodiscard]] static result<std::unique_ptr<session_counters>> open(const std::string& path);

    void add(const session& session, std::int64_t unix_s);
    // The policy that was in force, for the report; the last one of a day counts.
    void set_policy(const std::string& domain, const policy_text& policy, std::int64_t unix_s);

    // When it returns, all that was added before is on disk. Forgets what is too old.
    [[nodiscard]] result<void> flush(std::int64_t unix_s);

    [[nodiscard]] result<std::vector<std::string>> domains(std::int64_t day);
    // Of what was flushed. `head` says day and domain.
    [[nodiscard]] result<std::string> report(const report_head& head);

    [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }

private:
    static constexpr std::size_t shards_count = 16;

    struct statements {
        store::statement count;
        store::statement policy;
        store::statement forget_counts;
        store::statement forget_policies;
    };

    // Keys are the row's fields with NUL between them.
    struct part {
        std::mutex lock;
        std::unordered_map<std::string, std::uint64_t> counts;
        std::unordered_map<std::string, std::string> policies;
    };

    session_counters(store::database database, statements statements);

    [[nodiscard]] part& part_of(const std::string& key);
    [[nodiscard]] result<void> write(const part& taken, std::int64_t day);
    void give_back(part& taken);

    std::array<part, shards_count> parts_;
    std::atomic<std::size_t> waiting_ = 0;
    std::atomic<std::uint64_t> lost_ = 0;
    store::database database_;
    statements statements_; // They end before their database.
};

} // namespace ebbgate::tls_report
