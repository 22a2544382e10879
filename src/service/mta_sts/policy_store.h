// Policies that survive a restart, in one SQLite file.
//
// Owner   One thread at a time; it waits for the disk.
// Fails   With SQLite's text. A row that cannot be read is left out.
// Bounds  rows_max; those that end first go first.

#pragma once

#include "ebbgate/base/result.h"

#include "codec/mta_sts/policy.h"
#include "store/database.h"

#include <cstdint>
#include <string>
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
    static constexpr std::int64_t rows_max = 50'000;

    [[nodiscard]] static result<policy_store> open(const std::string& path);

    // Those that have not ended.
    [[nodiscard]] result<std::vector<stored_policy>> read(std::int64_t now_s);
    [[nodiscard]] result<void> save(const stored_policy& row, std::int64_t now_s);

private:
    struct statements {
        store::statement put;
        store::statement drop_ended;
        store::statement drop_surplus;
    };

    policy_store(store::database database, statements statements);

    store::database database_;
    statements statements_; // They end before their database.
};

} // namespace ebbgate::mta_sts
