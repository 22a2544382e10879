// Policies that survive a restart, in one SQLite file.
//
// Owner   One thread at a time; it waits for the disk.
// Fails   With SQLite's text. A row that cannot be read is left out.
// Bounds  rows_max; those to which no mail went for longest go first.

#pragma once

#include "ebbgate/base/result.h"

#include "codec/mta_sts/policy.h"
#include "store/database.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ebbgate::mta_sts {

struct stored_policy {
    std::string domain;
    std::string id; // Of the TXT record.
    std::int64_t fetched_s = 0;
    mta_sts::policy policy;

    [[nodiscard]] std::int64_t ends_s() const noexcept { return fetched_s + policy.max_age_s; }
};

class policy_store {
public:
    static constexpr std::int64_t rows_max_standard = 50'000;

    // Domains, and when mail went there last.
    using uses = std::vector<std::pair<std::string, std::int64_t>>;

    [[nodiscard]] static result<policy_store> open(const std::string& path,
                                                   std::int64_t rows_max = rows_max_standard);

    // Those that have not ended, the last used first.
    [[nodiscard]] result<std::vector<stored_policy>> read(std::int64_t now_s);
    // Nothing: none that has not ended.
    [[nodiscard]] result<std::optional<stored_policy>> find(const std::string& domain,
                                                            std::int64_t now_s);
    // All, or nothing. Those that are saved are used now.
    [[nodiscard]] result<void>
    write(const std::vector<stored_policy>& saved, const uses& used, std::int64_t now_s);

private:
    struct statements {
        store::statement put;
        store::statement drop_ended;
        store::statement drop_surplus;
        store::statement find;
        store::statement note;
    };

    policy_store(store::database database, statements statements, std::int64_t rows_max);

    store::database database_;
    statements statements_; // They end before their database.
    std::int64_t rows_max_;
};

} // namespace ebbgate::mta_sts
