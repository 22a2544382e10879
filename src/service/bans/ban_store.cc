#include "service/bans/ban_store.h"

#include <algorithm>
#include <utility>

namespace ebbgate::bans {

namespace {

constexpr std::int64_t schema_version = 1;

constexpr const char* schema =
    "CREATE TABLE IF NOT EXISTS bans ("
    " network TEXT PRIMARY KEY NOT NULL, address TEXT NOT NULL, since_us INTEGER NOT NULL,"
    " until_us INTEGER NOT NULL, count INTEGER NOT NULL, cause TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS ignored (network TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

result<void> make_schema(store::database& database) {
    const auto version = database.number("PRAGMA user_version");
    if (!version) {
        return std::unexpected(version.error());
    }
    if (*version > schema_version) {
        return fail(failure_kind::bad_input, "written by a newer version of this program");
    }
    return database.execute(schema);
}

std::optional<ban> read_ban(const store::statement& row) {
    const auto network = config::parse_ip_network(row.text(0));
    const auto address = config::parse_ip_address(row.text(1));
    const auto cause = parse_cause(row.text(5));
    const std::int64_t count = row.number(4);
    if (!network || !address || !cause || count < 1 || count > UINT32_MAX ||
        !holds(*network, *address)) {
        return std::nullopt;
    }
    return ban{*network,
               *address,
               row.number(2),
               row.number(3),
               static_cast<std::uint32_t>(count),
               *cause};
}

} // namespace

ban_store::ban_store(store::database database, statements statements)
    : database_(std::move(database)), statements_(std::move(statements)) {}

result<ban_store> ban_store::open(const std::string& path) {
    auto database = store::database::open(path);
    if (!database) {
        return std::unexpected(std::move(database.error()));
    }
    auto made = make_schema(*database);
    if (!made) {
        made.error().detail = path + ": " + made.error().detail;
        return std::unexpected(std::move(made.error()));
    }
    auto put = database->prepare("INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?, ?, ?)");
    auto erase = database->prepare("DELETE FROM bans WHERE network = ?");
    auto put_ignore = database->prepare("INSERT OR REPLACE INTO ignored VALUES (?)");
    auto erase_ignore = database->prepare("DELETE FROM ignored WHERE network = ?");
    for (const auto* prepared : {&put, &erase, &put_ignore, &erase_ignore}) {
        if (!*prepared) {
            return fail(prepared->error().kind, path + ": " + prepared->error().detail);
        }
    }
    return ban_store(
        std::move(*database),
        {std::move(*put), std::move(*erase), std::move(*put_ignore), std::move(*erase_ignore)});
}

result<void> ban_store::read(const std::string& query,
                             const std::function<bool(const store::statement&)>& take) {
    auto rows = database_.prepare(query);
    if (!rows) {
        return std::unexpected(std::move(rows.error()));
    }
    return rows->each([&](const store::statement& row) { unreadable_ += take(row) ? 0 : 1; });
}

result<std::size_t> ban_store::count_rows() {
    std::size_t count = 0;
    auto done = read("SELECT count(*) FROM bans", [&count](const store::statement& row) {
        count = static_cast<std::size_t>(row.number(0));
        return true;
    });
    return done ? result<std::size_t>(count) : std::unexpected(std::move(done.error()));
}

result<void> ban_store::read_rows(row_order order, const give_row& give) {
    std::string query = "SELECT network, address, since_us, until_us, count, cause FROM bans";
    if (order == row_order::last_to_end_first) {
        query += " ORDER BY until_us DESC";
    }
    return read(query, [&give](const store::statement& row) {
        const auto found = read_ban(row);
        if (found) {
            give(*found);
        }
        return found.has_value();
    });
}

result<std::vector<config::ip_network>> ban_store::read_ignore() {
    std::vector<config::ip_network> ignore;
    auto done = read("SELECT network FROM ignored", [&ignore](const store::statement& row) {
        const auto network = config::parse_ip_network(row.text(0));
        if (network) {
            ignore.push_back(*network);
        }
        return network.has_value();
    });
    return done ? result<std::vector<config::ip_network>>(std::move(ignore))
                : std::unexpected(std::move(done.error()));
}

void ban_store::put(const ban& ban) {
    note(ban.network, ban);
}

void ban_store::erase(const config::ip_network& network) {
    note(network, std::nullopt);
}

void ban_store::put_ignore(const config::ip_network& network) {
    note_ignore(network, true);
}

void ban_store::erase_ignore(const config::ip_network& network) {
    note_ignore(network, false);
}

void ban_store::note(const config::ip_network& network, std::optional<ban> change) {
    if (behind_) {
        return; // replace_all() writes it.
    }
    bans_.insert_or_assign(network, change);
    if (pending() > pending_max) {
        behind_ = true;
        bans_.clear();
        ignore_.clear();
    }
}

void ban_store::note_ignore(const config::ip_network& network, bool listed) {
    if (!behind_) {
        ignore_.insert_or_assign(network, listed);
    }
}

void ban_store::bind(const ban& ban) {
    statements_.put.bind(1, config::to_text(ban.network))
        .bind(2, config::to_text(ban.address))
        .bind(3, ban.since_us)
        .bind(4, ban.until_us)
        .bind(5, std::int64_t{ban.count})
        .bind(6, to_text(ban.cause));
}

result<void> ban_store::write_pending() {
    for (const auto& [network, change] : bans_) {
        if (change) {
            bind(*change);
        } else {
            statements_.erase.bind(1, config::to_text(network));
        }
        if (auto done = change ? statements_.put.run() : statements_.erase.run(); !done) {
            return done;
        }
    }
    for (const auto& [network, listed] : ignore_) {
        store::statement& change = listed ? statements_.put_ignore : statements_.erase_ignore;
        if (auto done = change.bind(1, config::to_text(network)).run(); !done) {
            return done;
        }
    }
    return {};
}

result<void> ban_store::flush() {
    if (pending() == 0) {
        return {};
    }
    auto all = store::transaction::begin(database_);
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    if (auto written = write_pending(); !written) {
        return written;
    }
    if (auto committed = all->commit(); !committed) {
        return committed;
    }
    bans_.clear();
    ignore_.clear();
    return {};
}

result<void> ban_store::replace_all(const std::function<void(const give_row&)>& give_all,
                                    const std::vector<config::ip_network>& ignore) {
    auto all = store::transaction::begin(database_);
    if (!all) {
        return std::unexpected(std::move(all.error()));
    }
    result<void> done = database_.execute("DELETE FROM bans; DELETE FROM ignored;");
    if (done) {
        give_all([this, &done](const ban& row) {
            if (done) {
                bind(row);
                done = statements_.put.run();
            }
        });
    }
    for (const config::ip_network& network : ignore) {
        if (done) {
            done = statements_.put_ignore.bind(1, config::to_text(network)).run();
        }
    }
    if (done) {
        done = all->commit();
    }
    if (done) {
        bans_.clear();
        ignore_.clear();
        behind_ = false;
    }
    return done;
}

} // namespace ebbgate::bans
