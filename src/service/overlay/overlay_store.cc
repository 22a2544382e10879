#include "service/overlay/overlay_store.h"

#include "service/overlay/sql.h"
#include "store/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace ebbgate::overlay {

namespace {

constexpr std::int64_t application_id = 0x45624f76; // "EbOv"

// Totals are kept by triggers, so that a bound costs no count of a million rows.
constexpr std::string_view schema = R"(
CREATE TABLE account (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, login TEXT NOT NULL,
    password TEXT NOT NULL, removed INTEGER NOT NULL, UNIQUE (tenant, login)) STRICT;
CREATE INDEX account_login ON account (login);
CREATE TABLE sender (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, pattern TEXT NOT NULL,
    removed INTEGER NOT NULL, UNIQUE (tenant, pattern)) STRICT;
CREATE TABLE limit_override (id INTEGER PRIMARY KEY, rule TEXT NOT NULL, subject TEXT NOT NULL,
    rate TEXT NOT NULL, expires_s INTEGER NOT NULL, UNIQUE (rule, subject)) STRICT;
CREATE TABLE token (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, label TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE, rights TEXT NOT NULL, created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL, UNIQUE (tenant, label)) STRICT;
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,
    uid INTEGER NOT NULL, token_label TEXT NOT NULL, token_tenant TEXT NOT NULL,
    what TEXT NOT NULL, tenant TEXT NOT NULL, subject TEXT NOT NULL, before TEXT NOT NULL,
    after TEXT NOT NULL, result TEXT NOT NULL) STRICT;
CREATE INDEX audit_tenant ON audit (tenant, id);
CREATE INDEX audit_token ON audit (token_tenant, id);
CREATE INDEX audit_time ON audit (at_ms);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TABLE total (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
INSERT INTO total VALUES ('account', 0), ('sender', 0);
CREATE TRIGGER account_more AFTER INSERT ON account
    BEGIN UPDATE total SET count = count + 1 WHERE name = 'account'; END;
CREATE TRIGGER account_less AFTER DELETE ON account
    BEGIN UPDATE total SET count = count - 1 WHERE name = 'account'; END;
CREATE TRIGGER sender_more AFTER INSERT ON sender
    BEGIN UPDATE total SET count = count + 1 WHERE name = 'sender'; END;
CREATE TRIGGER sender_less AFTER DELETE ON sender
    BEGIN UPDATE total SET count = count - 1 WHERE name = 'sender'; END;
)";

// It came later than version 1; a program without it leaves it alone.
constexpr std::string_view added_schema = R"(
CREATE TABLE IF NOT EXISTS suspension (id INTEGER PRIMARY KEY, domain TEXT NOT NULL,
    tenant TEXT NOT NULL, reason TEXT NOT NULL, created_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL, UNIQUE (domain, tenant)) STRICT;
)";

std::int64_t now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

result<void> make_or_check_schema(store::database& database) {
    if (auto checked = store::make_or_check(database, {application_id, schema_version, schema});
        !checked) {
        return checked;
    }
    return database.execute(std::string(added_schema));
}

} // namespace

result<std::unique_ptr<overlay_store>> overlay_store::open(const std::string& path,
                                                           const audit_bounds& bounds) {
    auto database = store::database::open(path);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    if (auto good = make_or_check_schema(*database); !good) {
        return fail(good.error().kind, path + ": " + good.error().detail);
    }
    return std::unique_ptr<overlay_store>(new overlay_store(std::move(*database), bounds));
}

result<outcome> overlay_store::apply(audit_row row, const work& done) {
    outcome out;
    {
        auto change = store::transaction::begin(database_);
        if (!change) {
            return std::unexpected(std::move(change.error()));
        }
        sql run(database_);
        out = done(run, row);
        if (!run.failed() && out.verdict == verdict::changed) {
            row.result = "done";
            write_audit(run, row);
        }
        if (run.failed()) {
            return std::unexpected(run.take_fault());
        }
        if (out.verdict == verdict::changed) {
            auto committed = change->commit();
            return committed ? result<outcome>(out) : std::unexpected(std::move(committed.error()));
        }
    } // Rolled back, with whatever the work did before it found why not.
    if (out.verdict != verdict::unchanged) {
        row.result = out.why;
        if (auto noted = note(row); !noted) {
            return std::unexpected(std::move(noted.error()));
        }
    }
    return out;
}

result<void> overlay_store::note(const audit_row& row) {
    auto change = store::transaction::begin(database_);
    if (!change) {
        return std::unexpected(std::move(change.error()));
    }
    sql run(database_);
    write_audit(run, row);
    if (run.failed()) {
        return std::unexpected(run.take_fault());
    }
    return change->commit();
}

result<bool> overlay_store::may_change(const actor& who) {
    if (who.token_tenant.empty()) {
        return true;
    }
    sql run(database_);
    const auto oldest = run.number("SELECT at_ms FROM audit WHERE token_tenant = ? "
                                   "ORDER BY id DESC LIMIT 1 OFFSET ?",
                                   {who.token_tenant, token_changes_per_minute_max - 1});
    if (run.failed()) {
        return std::unexpected(run.take_fault());
    }
    const std::int64_t at_ms = now_ms();
    // A row of the future: the clock was set back, which must lock nobody out.
    return !oldest || *oldest <= at_ms - 60'000 || *oldest > at_ms;
}

void overlay_store::write_audit(sql& run, const audit_row& row) const {
    const std::int64_t at_ms = now_ms();
    run.run("INSERT INTO audit (at_ms, uid, token_label, token_tenant, what, tenant, subject, "
            "before, after, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            {at_ms,
             std::int64_t{row.who.uid},
             row.who.token_label,
             row.who.token_tenant,
             row.what,
             row.tenant,
             row.subject,
             row.before,
             row.after,
             row.result});
    const std::int64_t id = run.number("SELECT last_insert_rowid()", {}).value_or(0);
    if (id % bounds_.prune_every != 0) {
        return;
    }
    const auto keep_newest = [&run](std::string_view which, std::string_view tenant, auto count) {
        run.run(fmt::format("DELETE FROM audit WHERE {0} AND id <= (SELECT id FROM audit "
                            "WHERE {0} ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                            which),
                {tenant, count});
    };
    run.run("DELETE FROM audit WHERE at_ms < ?", {at_ms - bounds_.age_s_max * 1000});
    keep_newest("token_tenant = ?1", "", bounds_.operator_rows_max);
    if (!row.who.token_tenant.empty()) {
        keep_newest("token_tenant = ?1", row.who.token_tenant, bounds_.rows_per_tenant_max);
    }
    keep_newest("token_tenant > ?1", "", bounds_.tenant_rows_max);
}

result<policy::overlay> overlay_store::read(std::int64_t now_unix_s) {
    policy::overlay all;
    sql run(database_);
    run.rows("SELECT tenant, login, password, removed FROM account ORDER BY id",
             {},
             [&all](const store::statement& row) {
                 all.accounts.push_back({std::string(row.text(0)),
                                         std::string(row.text(1)),
                                         std::string(row.text(2)),
                                         row.number(3) != 0});
             });
    run.rows("SELECT tenant, pattern, removed FROM sender ORDER BY id",
             {},
             [&all](const store::statement& row) {
                 all.senders.push_back(
                     {std::string(row.text(0)), std::string(row.text(1)), row.number(2) != 0});
             });
    run.rows("SELECT rule, subject, rate, expires_s FROM limit_override "
             "WHERE expires_s = 0 OR expires_s > ? ORDER BY id",
             {now_unix_s},
             [&all](const store::statement& row) {
                 all.limits.push_back({std::string(row.text(0)),
                                       std::string(row.text(1)),
                                       std::string(row.text(2)),
                                       row.number(3)});
             });
    if (run.failed()) {
        return std::unexpected(run.take_fault());
    }
    return all;
}

} // namespace ebbgate::overlay
