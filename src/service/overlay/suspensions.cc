#include "service/overlay/overlay_store.h"
#include "service/overlay/sql.h"

#include <fmt/format.h>

#include <utility>

namespace ebbgate::overlay {

namespace {

audit_row row_of(const change& by, std::string_view domain, std::string_view tenant) {
    audit_row row;
    row.who = by.who;
    row.what = by.command;
    row.tenant = tenant;
    row.subject = domain.empty() ? std::string_view("*") : domain;
    return row;
}

} // namespace

result<outcome> overlay_store::suspend(const change& by, const suspension& added) {
    return apply(row_of(by, added.domain, added.tenant), [&](sql& run, audit_row& row) -> outcome {
        run.run("DELETE FROM suspension WHERE until_s <= ?", {added.created_unix_s});
        const auto before =
            run.number("SELECT until_s FROM suspension WHERE domain = ? AND tenant = ?",
                       {added.domain, added.tenant});
        const auto count = run.number("SELECT COUNT(*) FROM suspension", {}).value_or(0);
        if (!before && count >= suspensions_max) {
            return {verdict::refused, fmt::format("there are {} suspensions already", count)};
        }
        row.before = before ? fmt::format("until {}", *before) : std::string();
        row.after = fmt::format("until {}: {}", added.until_unix_s, added.reason);
        run.run(
            "INSERT INTO suspension (domain, tenant, reason, created_s, until_s) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT (domain, tenant) DO UPDATE SET "
            "reason = excluded.reason, created_s = excluded.created_s, "
            "until_s = excluded.until_s",
            {added.domain, added.tenant, added.reason, added.created_unix_s, added.until_unix_s});
        return {};
    });
}

result<outcome> overlay_store::resume(const change& by,
                                      std::string_view domain,
                                      std::string_view tenant,
                                      bool all) {
    return apply(row_of(by, domain, tenant), [&](sql& run, audit_row& row) -> outcome {
        const std::int64_t count =
            all ? run.run("DELETE FROM suspension", {})
                : run.run("DELETE FROM suspension WHERE domain = ? AND tenant = ?",
                          {domain, tenant});
        row.before = fmt::format("{} suspended", count);
        if (count == 0) {
            return {verdict::unchanged, {}};
        }
        return {};
    });
}

result<std::vector<suspension>> overlay_store::suspensions(std::int64_t now_unix_s) {
    std::vector<suspension> all;
    sql run(database_);
    run.rows("SELECT domain, tenant, reason, created_s, until_s FROM suspension "
             "WHERE until_s > ? ORDER BY id",
             {now_unix_s},
             [&all](const store::statement& row) {
                 all.push_back({std::string(row.text(0)),
                                std::string(row.text(1)),
                                std::string(row.text(2)),
                                row.number(3),
                                row.number(4)});
             });
    if (run.failed()) {
        return std::unexpected(run.take_fault());
    }
    return all;
}

} // namespace ebbgate::overlay
