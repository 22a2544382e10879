// The pages of overlay_store: what the list commands show.

#include "service/overlay/overlay_store.h"
#include "service/overlay/sql.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::overlay {

namespace {

// The last column of each query is the row's id.
template <typename row, typename make>
result<page<row>> read_page(store::database& database,
                            std::string_view query,
                            std::string_view filter,
                            sql::parameters values,
                            std::int64_t rows_max,
                            make made_of) {
    page<row> read;
    sql run(database);
    const std::int64_t rows = std::clamp<std::int64_t>(rows_max, 1, page_rows_max);
    std::int64_t last = 0;
    bool more = false;
    // One row more than the page has: it tells whether there is a next one.
    run.rows(fmt::format("{} WHERE {} LIMIT {}", query, filter, rows + 1),
             values,
             [&](const store::statement& at) {
                 if (std::cmp_equal(read.rows.size(), rows)) {
                     more = true;
                     return;
                 }
                 read.rows.push_back(made_of(at, last));
             });
    if (run.failed()) {
        return std::unexpected(run.take_fault());
    }
    read.next = more ? last : 0;
    return read;
}

result<row_state>
state_of(store::database& database, std::string_view query, sql::parameters values) {
    sql run(database);
    const auto removed = run.number(query, values);
    if (run.failed()) {
        return std::unexpected(run.take_fault());
    }
    return !removed ? row_state::none : *removed != 0 ? row_state::removed : row_state::added;
}

std::string text(const store::statement& row, int column) {
    return std::string(row.text(column));
}

constexpr std::string_view of_tenant = "id > ?1 AND (?2 = '' OR tenant = ?2) ORDER BY id";

} // namespace

result<row_state> overlay_store::account_state(std::string_view tenant, std::string_view login) {
    return state_of(
        database_, "SELECT removed FROM account WHERE tenant = ? AND login = ?", {tenant, login});
}

result<row_state> overlay_store::sender_state(std::string_view tenant, std::string_view pattern) {
    return state_of(database_,
                    "SELECT removed FROM sender WHERE tenant = ? AND pattern = ?",
                    {tenant, pattern});
}

result<page<policy::overlay_account>>
overlay_store::accounts(std::string_view tenant, std::int64_t after, std::int64_t rows_max) {
    return read_page<policy::overlay_account>(
        database_,
        "SELECT tenant, login, password, removed, id FROM account",
        of_tenant,
        {after, tenant},
        rows_max,
        [](const store::statement& row, std::int64_t& id) {
            id = row.number(4);
            return policy::overlay_account{
                text(row, 0), text(row, 1), text(row, 2), row.number(3) != 0};
        });
}

result<page<policy::overlay_sender>>
overlay_store::senders(std::string_view tenant, std::int64_t after, std::int64_t rows_max) {
    return read_page<policy::overlay_sender>(
        database_,
        "SELECT tenant, pattern, removed, id FROM sender",
        of_tenant,
        {after, tenant},
        rows_max,
        [](const store::statement& row, std::int64_t& id) {
            id = row.number(3);
            return policy::overlay_sender{text(row, 0), text(row, 1), row.number(2) != 0};
        });
}

result<page<policy::overlay_limit>> overlay_store::limits(std::int64_t after,
                                                          std::int64_t rows_max) {
    return read_page<policy::overlay_limit>(
        database_,
        "SELECT rule, subject, rate, expires_s, id FROM limit_override",
        "id > ?1 ORDER BY id",
        {after},
        rows_max,
        [](const store::statement& row, std::int64_t& id) {
            id = row.number(4);
            return policy::overlay_limit{text(row, 0), text(row, 1), text(row, 2), row.number(3)};
        });
}

result<page<token>>
overlay_store::tokens(std::string_view tenant, std::int64_t after, std::int64_t rows_max) {
    return read_page<token>(
        database_,
        "SELECT tenant, label, rights, created_s, expires_s, id FROM token",
        of_tenant,
        {after, tenant},
        rows_max,
        [](const store::statement& row, std::int64_t& id) {
            id = row.number(5);
            return token{text(row, 0), text(row, 1), text(row, 2), row.number(3), row.number(4)};
        });
}

result<page<audit_row>>
overlay_store::audit(std::string_view tenant, std::int64_t after, std::int64_t rows_max) {
    return read_page<audit_row>(
        database_,
        "SELECT id, at_ms, uid, token_label, token_tenant, what, tenant, subject, before, after, "
        "result FROM audit",
        tenant.empty() ? "(?1 = 0 OR id < ?1) ORDER BY id DESC"
                       : "tenant = ?2 AND (?1 = 0 OR id < ?1) ORDER BY id DESC",
        {after, tenant},
        rows_max,
        [](const store::statement& row, std::int64_t& id) {
            id = row.number(0);
            audit_row made;
            made.id = id;
            made.unix_ms = row.number(1);
            made.who = {static_cast<std::uint32_t>(row.number(2)), text(row, 3), text(row, 4)};
            made.what = row.text(5);
            made.tenant = row.text(6);
            made.subject = row.text(7);
            made.before = row.text(8);
            made.after = row.text(9);
            made.result = row.text(10);
            return made;
        });
}

} // namespace ebbgate::overlay
