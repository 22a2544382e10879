// The catalogue against the folders: after a crash, and when changes were lost.

#include "store/blob/catalogue.h"
#include "store/blob/link_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace ebbgate::blob {

namespace {

// Keys that begin with ab, each with the number beside it.
using key_map = std::map<std::string, std::int64_t>;

result<key_map> keys(store::database& database, std::string_view query, const std::string& ab) {
    auto made = database.prepare(query);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    // 'g' comes after every hex digit.
    made->bind(1, ab).bind(2, ab + "g");
    key_map found;
    auto read = made->each(
        [&found](const store::statement& row) { found.emplace(row.text(0), row.number(1)); });
    if (!read) {
        return std::unexpected(std::move(read.error()));
    }
    return found;
}

result<void> remove_all(store::database& database, std::string_view query, const key_map& removed) {
    if (removed.empty()) {
        return {};
    }
    auto made = database.prepare(query);
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    for (const auto& [key, number] : removed) {
        if (auto done = made->bind(1, key).run(); !done) {
            return done;
        }
    }
    return {};
}

} // namespace

result<void> catalogue::compare() {
    is_behind_ = true;
    for (unsigned first = 0; first < 256; ++first) {
        if (auto done = compare_folder(fmt::format("{:02x}", first)); !done) {
            return done;
        }
    }
    is_behind_ = false;
    return {};
}

// One transaction a folder: what stands in memory is one of 256 parts.
result<void> catalogue::compare_folder(const std::string& ab) {
    auto begun = store::transaction::begin(*database_);
    if (!begun) {
        return std::unexpected(std::move(begun.error()));
    }
    if (auto done = compare_links(ab); !done) {
        return done;
    }
    if (auto done = compare_contents(ab); !done) {
        return done;
    }
    return begun->commit();
}

result<void> catalogue::compare_links(const std::string& ab) {
    auto rows =
        keys(*database_, "SELECT token, changing FROM link WHERE token > ? AND token < ?", ab);
    const auto there = folders_.records(ab);
    if (!rows || !there) {
        return std::unexpected(!rows ? rows.error() : there.error());
    }
    for (const std::string& token : *there) {
        const auto row = rows->find(token);
        const bool is_current = row != rows->end() && row->second == 0;
        if (row != rows->end()) {
            rows->erase(row);
        }
        if (is_current) {
            continue;
        }
        const auto read = folders_.read_record(token);
        if (!read && read.error().kind != failure_kind::corrupt) {
            return std::unexpected(read.error());
        }
        if (!read || !*read) {
            continue; // Of a record that is none, nothing can be said.
        }
        if (auto done = put_row(**read); !done) {
            return done;
        }
    }
    return remove_all(*database_, "DELETE FROM link WHERE token = ?", *rows);
}

result<void> catalogue::compare_contents(const std::string& ab) {
    auto rows =
        keys(*database_, "SELECT hash, needed FROM content WHERE hash > ? AND hash < ?", ab);
    const auto there = folders_.contents(ab);
    if (!rows || !there) {
        return std::unexpected(!rows ? rows.error() : there.error());
    }
    for (const std::string& name : *there) {
        if (rows->erase(name) != 0) {
            continue;
        }
        change told{change::kind::found, {}};
        if (!read_hash(name, told.changed.hash)) {
            continue;
        }
        const auto bytes = folders_.content_bytes(told.changed.hash);
        if (!bytes) {
            continue; // Removed since it was listed.
        }
        told.changed.bytes = *bytes;
        if (auto done = write(told); !done) {
            return done;
        }
    }
    // A row whose links are waiting for a content that is lost stays, and says so when it is asked.
    std::erase_if(*rows, [](const auto& row) { return row.second > 0; });
    return remove_all(*database_, "DELETE FROM content WHERE hash = ?", *rows);
}

} // namespace ebbgate::blob
