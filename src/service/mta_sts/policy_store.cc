#include "service/mta_sts/policy_store.h"

#include <utility>

namespace ebbgate::mta_sts {

namespace {

constexpr const char* schema =
    "CREATE TABLE IF NOT EXISTS policies ("
    " domain TEXT PRIMARY KEY NOT NULL, id TEXT NOT NULL, fetched_s INTEGER NOT NULL,"
    " ends_s INTEGER NOT NULL, policy TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS policies_end ON policies (ends_s);"
    "PRAGMA user_version = 1;";

} // namespace

policy_store::policy_store(store::database database, statements statements)
    : database_(std::move(database)), statements_(std::move(statements)) {}

result<policy_store> policy_store::open(const std::string& path) {
    auto database = store::database::open(path);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    if (auto made = database->execute(schema); !made) {
        return std::unexpected(std::move(made.error()));
    }
    auto put = database->prepare("INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?, ?)");
    auto ended = database->prepare("DELETE FROM policies WHERE ends_s <= ?");
    auto surplus = database->prepare(
        "DELETE FROM policies WHERE domain IN (SELECT domain FROM policies ORDER BY ends_s"
        " LIMIT max(0, (SELECT count(*) FROM policies) - ?))");
    for (auto* prepared : {&put, &ended, &surplus}) {
        if (!*prepared) {
            return std::unexpected(std::move(prepared->error()));
        }
    }
    return policy_store(std::move(*database),
                        {std::move(*put), std::move(*ended), std::move(*surplus)});
}

result<std::vector<stored_policy>> policy_store::read(std::int64_t now_s) {
    auto query = database_.prepare(
        "SELECT domain, id, fetched_s, policy FROM policies WHERE ends_s > ? ORDER BY ends_s DESC"
        " LIMIT ?");
    if (!query) {
        return std::unexpected(std::move(query.error()));
    }
    query->bind(1, now_s).bind(2, rows_max);
    std::vector<stored_policy> rows;
    auto done = query->each([&rows](const store::statement& row) {
        if (auto policy = parse_policy(row.text(3)); policy) {
            rows.push_back({std::string(row.text(0)),
                            std::string(row.text(1)),
                            row.number(2),
                            std::move(*policy)});
        }
    });
    if (!done) {
        return std::unexpected(std::move(done.error()));
    }
    return rows;
}

result<void> policy_store::save(const stored_policy& row, std::int64_t now_s) {
    auto all = store::transaction::begin(database_);
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    const std::string text = to_text(row.policy);
    statements_.put.bind(1, std::string_view(row.domain))
        .bind(2, std::string_view(row.id))
        .bind(3, row.fetched_s)
        .bind(4, row.ends_s())
        .bind(5, std::string_view(text));
    statements_.drop_ended.bind(1, now_s);
    statements_.drop_surplus.bind(1, rows_max);
    for (store::statement* each :
         {&statements_.put, &statements_.drop_ended, &statements_.drop_surplus}) {
        if (auto done = each->run(); !done) {
            return done;
        }
    }
    return all->commit();
}

} // namespace ebbgate::mta_sts
