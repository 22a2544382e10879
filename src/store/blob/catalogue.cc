#include "store/blob/catalogue.h"

#include "store/blob/link_record.h"
#include "store/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <unistd.h>
#include <utility>

namespace ebbgate::blob {

namespace {

// "EBBL", and the version of the tables. A file of another is made again: nothing is lost.
constexpr std::int64_t application_id = 0x4542424c;
constexpr std::int64_t schema_version = 1;

// content.needed counts the links that are not revoked. Triggers keep it and the totals, so that
// no change of a row can forget them.
constexpr std::string_view schema = R"(
    CREATE TABLE mark (text TEXT NOT NULL);
    CREATE TABLE total (links INTEGER NOT NULL, contents INTEGER NOT NULL, bytes INTEGER NOT NULL);
    INSERT INTO total VALUES (0, 0, 0);
    CREATE TABLE link (
        id INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL,
        created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL,
        content TEXT NOT NULL, changing INTEGER NOT NULL, record TEXT NOT NULL);
    CREATE INDEX link_by_age ON link (created, token);
    CREATE INDEX link_by_tenant ON link (tenant, created, token);
    CREATE INDEX link_by_expiry ON link (expires);
    CREATE TABLE content (
        hash TEXT NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL, needed INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX content_unneeded ON content (hash) WHERE needed <= 0;
    CREATE TRIGGER link_added AFTER INSERT ON link BEGIN
        UPDATE content SET needed = needed + (new.revoked = 0) WHERE hash = new.content;
        UPDATE total SET links = links + 1;
    END;
    CREATE TRIGGER link_changed AFTER UPDATE OF revoked ON link BEGIN
        UPDATE content SET needed = needed + (new.revoked = 0) - (old.revoked = 0)
            WHERE hash = new.content;
    END;
    CREATE TRIGGER link_removed AFTER DELETE ON link BEGIN
        UPDATE content SET needed = needed - (old.revoked = 0) WHERE hash = old.content;
        UPDATE total SET links = links - 1;
    END;
    CREATE TRIGGER content_added AFTER INSERT ON content BEGIN
        UPDATE total SET contents = contents + 1, bytes = bytes + new.bytes;
    END;
    CREATE TRIGGER content_removed AFTER DELETE ON content BEGIN
        UPDATE total SET contents = contents - 1, bytes = bytes - old.bytes;
    END;
)";

result<std::string> text_of(store::database& database, std::string_view query) {
    auto made = database.prepare(query);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    const auto row = made->step();
    if (!row) {
        return std::unexpected(row.error());
    }
    return *row ? std::string(made->text(0)) : std::string();
}

result<void> run(store::database& database, std::string_view query, std::string_view value) {
    auto made = database.prepare(query);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    return made->bind(1, value).run();
}

result<void> check_schema(store::database& database) {
    auto checked = store::make_or_check(database, {application_id, schema_version, schema});
    return checked || checked.error().kind != failure_kind::bad_input
               ? std::move(checked)
               : fail(failure_kind::corrupt, "catalogue: " + checked.error().detail);
}

} // namespace

result<std::unique_ptr<catalogue>> catalogue::open(folders& of, const std::string& clean_mark) {
    std::unique_ptr<catalogue> made(new catalogue(of));
    const std::scoped_lock locked(made->lock_);
    auto opened = made->open_file();
    if (opened) {
        const auto own = text_of(*made->database_, "SELECT text FROM mark");
        if (own && !own->empty() && *own == clean_mark) {
            return made;
        }
        const auto sound = text_of(*made->database_, "PRAGMA quick_check(1)");
        opened = sound && *sound == "ok" ? made->compare()
                                         : fail(failure_kind::corrupt, "catalogue: damaged");
    }
    if (!opened && opened.error().kind == failure_kind::corrupt) {
        opened = made->make_again();
    }
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    return made;
}

result<void> catalogue::open_file() {
    auto opened = store::database::open(folders_.path() + "/catalogue.db");
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    database_ = std::make_unique<store::database>(std::move(*opened));
    return check_schema(*database_);
}

result<void> catalogue::make_again() {
    put_.reset();
    database_.reset();
    for (const std::string_view end : {"", "-wal", "-shm", "-journal"}) {
        (void)::unlink(fmt::format("{}/catalogue.db{}", folders_.path(), end).c_str());
    }
    if (auto opened = open_file(); !opened) {
        return opened;
    }
    return compare();
}

bool catalogue::queue(change told) {
    const std::scoped_lock locked(queue_lock_);
    // Above that nobody could write it for a long time, a full disk say.
    if (queue_.size() >= 4 * queue_changes_max) {
        queue_.clear();
        lost_changes_ = true;
    }
    queue_.push_back(std::move(told));
    return queue_.size() >= queue_changes_max;
}

bool catalogue::put(const link& changed) {
    return queue({change::kind::put, changed});
}

bool catalogue::drop(std::string_view token) {
    change told{change::kind::drop, {}};
    told.changed.token = token;
    return queue(std::move(told));
}

bool catalogue::found(const content_row& content) {
    change told{change::kind::found, {}};
    told.changed.hash = content.hash;
    told.changed.bytes = content.bytes;
    return queue(std::move(told));
}

result<void> catalogue::flush() {
    const std::scoped_lock locked(lock_);
    return settle();
}

void catalogue::flush_if_free() {
    const std::unique_lock locked(lock_, std::try_to_lock);
    if (!locked || database_ == nullptr || is_behind_) {
        return; // A comparison takes long: that is for a list or a sweep.
    }
    {
        const std::scoped_lock queue_locked(queue_lock_);
        if (lost_changes_) {
            return;
        }
    }
    (void)write_queue();
}

result<void> catalogue::settle() {
    {
        const std::scoped_lock queue_locked(queue_lock_);
        is_behind_ = is_behind_ || std::exchange(lost_changes_, false);
    }
    auto done = database_ == nullptr ? fail(failure_kind::corrupt, "catalogue: it is not open")
                : is_behind_         ? compare()
                                     : result<void>();
    if (done) {
        done = write_queue();
    }
    if (!done && done.error().kind == failure_kind::corrupt) {
        done = make_again();
    }
    return done;
}

result<void> catalogue::write_queue() {
    std::vector<change> taken;
    {
        const std::scoped_lock queue_locked(queue_lock_);
        taken.swap(queue_);
    }
    if (taken.empty()) {
        return {};
    }
    const auto write_all = [&]() -> result<void> {
        auto begun = store::transaction::begin(*database_);
        if (!begun) {
            return std::unexpected(std::move(begun.error()));
        }
        for (const change& told : taken) {
            if (auto written = write(told); !written) {
                return written;
            }
        }
        return begun->commit();
    };
    auto done = write_all();
    if (!done) {
        const std::scoped_lock queue_locked(queue_lock_);
        taken.insert(
            taken.end(), std::move_iterator(queue_.begin()), std::move_iterator(queue_.end()));
        queue_.swap(taken);
    }
    return done;
}

result<void> catalogue::write(const change& told) {
    switch (told.what) {
    case change::kind::put:
        return put_row(told.changed);
    case change::kind::drop:
        return run(*database_, "DELETE FROM link WHERE token = ?", told.changed.token);
    case change::kind::found:
        break;
    }
    auto made = database_->prepare("INSERT INTO content VALUES (?, ?, 0) ON CONFLICT DO NOTHING");
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    return made->bind(1, hexadecimal(told.changed.hash))
        .bind(2, static_cast<std::int64_t>(told.changed.bytes))
        .run();
}

result<void> catalogue::put_row(const link& row) {
    // A content of revoked links only may be gone: then it has no row.
    const std::string hash = hexadecimal(row.hash);
    if (row.revoked_unix_s == 0) {
        auto made =
            database_->prepare("INSERT INTO content VALUES (?, ?, 0) ON CONFLICT DO NOTHING");
        if (!made) {
            return std::unexpected(std::move(made.error()));
        }
        if (auto done = made->bind(1, hash).bind(2, static_cast<std::int64_t>(row.bytes)).run();
            !done) {
            return done;
        }
    }
    if (!put_) {
        auto made = database_->prepare(
            "INSERT INTO link (token, tenant, created, expires, revoked, content, changing, record)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT (token) DO UPDATE SET "
            "expires = excluded.expires, revoked = excluded.revoked, record = excluded.record, "
            "changing = 0");
        if (!made) {
            return std::unexpected(std::move(made.error()));
        }
        put_ = std::move(*made);
    }
    return put_->bind(1, row.token)
        .bind(2, row.tenant)
        .bind(3, row.created_unix_s)
        .bind(4, row.expires_unix_s)
        .bind(5, row.revoked_unix_s)
        .bind(6, hash)
        .bind(7, to_record(row))
        .run();
}

result<void> catalogue::announce(std::string_view token) {
    const std::scoped_lock locked(lock_);
    if (auto settled = settle(); !settled) {
        return settled;
    }
    return run(*database_, "UPDATE link SET changing = 1 WHERE token = ?", token);
}

result<std::string> catalogue::close() {
    const std::scoped_lock locked(lock_);
    std::string mark = make_token();
    if (mark.empty()) {
        return fail(failure_kind::io, "catalogue: no randomness for its mark");
    }
    if (auto settled = settle(); !settled) {
        return std::unexpected(std::move(settled.error()));
    }
    if (auto cleared = database_->execute("DELETE FROM mark"); !cleared) {
        return std::unexpected(std::move(cleared.error()));
    }
    if (auto written = run(*database_, "INSERT INTO mark VALUES (?)", mark); !written) {
        return std::unexpected(std::move(written.error()));
    }
    put_.reset();
    database_.reset();
    return mark;
}

} // namespace ebbgate::blob
