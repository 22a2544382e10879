#include "service/mta_sts/policy_store.h"

#include "store/schema.h"

#include <string>
#include <utility>

namespace ebbgate::mta_sts {

namespace {

// Without a mark of its own: files of version 1 have none.
constexpr store::schema schema{
    .version = 2,
    .tables =
        "CREATE TABLE policies ("
        " domain TEXT PRIMARY KEY NOT NULL, id TEXT NOT NULL, fetched_s INTEGER NOT NULL,"
        " ends_s INTEGER NOT NULL, policy TEXT NOT NULL, used_s INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE INDEX policies_end ON policies (ends_s);"
        "CREATE INDEX policies_used ON policies (used_s);",
    // When mail went there was not noted.
    .from_previous = "ALTER TABLE policies ADD COLUMN used_s INTEGER NOT NULL DEFAULT 0;"
                     "UPDATE policies SET used_s = fetched_s;"
                     "CREATE INDEX policies_used ON policies (used_s);"};

std::optional<stored_policy> read_row(const store::statement& row) {
    auto policy = parse_policy(row.text(3));
    if (!policy) {
        return std::nullopt;
    }
    return stored_policy{
        std::string(row.text(0)), std::string(row.text(1)), row.number(2), std::move(*policy)};
}

} // namespace

policy_store::policy_store(store::database database, statements statements, std::int64_t rows_max)
    : database_(std::move(database)), statements_(std::move(statements)), rows_max_(rows_max) {}

result<policy_store> policy_store::open(const std::string& path, std::int64_t rows_max) {
    auto database = store::database::open(path);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    if (auto made = store::make_or_check(*database, schema); !made) {
        made.error().detail = path + ": " + made.error().detail;
        return std::unexpected(std::move(made.error()));
    }
    auto put = database->prepare("INSERT OR REPLACE INTO policies"
                                 " (domain, id, fetched_s, ends_s, policy, used_s)"
                                 " VALUES (?, ?, ?, ?, ?, ?)");
    auto ended = database->prepare("DELETE FROM policies WHERE ends_s <= ?");
    auto surplus = database->prepare(
        "DELETE FROM policies WHERE domain IN (SELECT domain FROM policies ORDER BY used_s"
        " LIMIT max(0, (SELECT count(*) FROM policies) - ?))");
    auto find = database->prepare(
        "SELECT domain, id, fetched_s, policy FROM policies WHERE domain = ? AND ends_s > ?");
    auto note = database->prepare("UPDATE policies SET used_s = ? WHERE domain = ?");
    for (auto* prepared : {&put, &ended, &surplus, &find, &note}) {
        if (!*prepared) {
            return std::unexpected(std::move(prepared->error()));
        }
    }
    return policy_store(std::move(*database),
                        {std::move(*put),
                         std::move(*ended),
                         std::move(*surplus),
                         std::move(*find),
                         std::move(*note)},
                        rows_max);
}

result<std::vector<stored_policy>> policy_store::read(std::int64_t now_s) {
    auto query = database_.prepare(
        "SELECT domain, id, fetched_s, policy FROM policies WHERE ends_s > ? ORDER BY used_s DESC"
        " LIMIT ?");
    if (!query) {
        return std::unexpected(std::move(query.error()));
    }
    query->bind(1, now_s).bind(2, rows_max_);
    std::vector<stored_policy> rows;
    auto done = query->each([&rows](const store::statement& row) {
        if (auto read = read_row(row)) {
            rows.push_back(std::move(*read));
        }
    });
    if (!done) {
        return std::unexpected(std::move(done.error()));
    }
    return rows;
}

result<std::optional<stored_policy>> policy_store::find(const std::string& domain,
                                                        std::int64_t now_s) {
    std::optional<stored_policy> found;
    statements_.find.bind(1, std::string_view(domain)).bind(2, now_s);
    auto done =
        statements_.find.each([&found](const store::statement& row) { found = read_row(row); });
    if (!done) {
        return std::unexpected(std::move(done.error()));
    }
    return found;
}

result<void>
policy_store::write(const std::vector<stored_policy>& saved, const uses& used, std::int64_t now_s) {
    auto all = store::transaction::begin(database_);
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    // First: those in use must not make room for the new ones.
    for (const auto& [domain, at_s] : used) {
        statements_.note.bind(1, at_s).bind(2, std::string_view(domain));
        if (auto done = statements_.note.run(); !done) {
            return done;
        }
    }
    for (const stored_policy& row : saved) {
        const std::string text = to_text(row.policy);
        statements_.put.bind(1, std::string_view(row.domain))
            .bind(2, std::string_view(row.id))
            .bind(3, row.fetched_s)
            .bind(4, row.ends_s())
            .bind(5, std::string_view(text))
            .bind(6, now_s);
        if (auto done = statements_.put.run(); !done) {
            return done;
        }
    }
    statements_.drop_ended.bind(1, now_s);
    statements_.drop_surplus.bind(1, rows_max_);
    for (store::statement* each : {&statements_.drop_ended, &statements_.drop_surplus}) {
        if (auto done = each->run(); !done) {
            return done;
        }
    }
    return all->commit();
}

} // namespace ebbgate::mta_sts
