// What the catalogue is asked.

#include "store/blob/catalogue.h"
#include "store/blob/link_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace ebbgate::blob {

namespace {

// The place of a link in the order of the list.
struct place {
    std::int64_t created_unix_s = std::numeric_limits<std::int64_t>::max();
    std::string token;
};

std::string text_of(const link& last) {
    return fmt::format("{}-{}", last.created_unix_s, last.token);
}

bool read_place(std::string_view text, place& into) {
    if (text.empty()) {
        return true;
    }
    const std::size_t dash = text.find('-');
    const auto [end, error] = std::from_chars(
        text.data(), text.data() + std::min(dash, text.size()), into.created_unix_s);
    if (dash == std::string_view::npos || error != std::errc() || end != text.data() + dash) {
        return false;
    }
    into.token = text.substr(dash + 1);
    return is_token(into.token);
}

std::int64_t limit_of(std::size_t rows_max) {
    return static_cast<std::int64_t>(std::min<std::size_t>(rows_max, 1'000'000));
}

} // namespace

result<link_page>
catalogue::list(std::string_view tenant, std::string_view after, std::size_t links_max) {
    place from;
    if (!read_place(after, from)) {
        return fail(failure_kind::bad_input, "list: expected what the page before said is next");
    }
    const std::size_t rows = std::clamp<std::size_t>(links_max, 1, page_links_max);
    const std::scoped_lock locked(lock_);
    if (auto settled = settle(); !settled) {
        return std::unexpected(std::move(settled.error()));
    }
    auto made = database_->prepare(
        fmt::format("SELECT record FROM link WHERE {}(created, token) < (?1, ?2) "
                    "ORDER BY created DESC, token DESC LIMIT ?3",
                    tenant.empty() ? "" : "tenant = ?4 AND "));
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    // One more than the page has: it tells whether there is a next one.
    made->bind(1, from.created_unix_s).bind(2, from.token).bind(3, limit_of(rows + 1));
    if (!tenant.empty()) {
        made->bind(4, tenant);
    }
    link_page page;
    auto read = made->each([&](const store::statement& row) -> result<void> {
        auto one = from_record(row.text(0));
        if (!one) {
            return std::unexpected(std::move(one.error()));
        }
        page.links.push_back(std::move(*one));
        return {};
    });
    if (!read) {
        return std::unexpected(std::move(read.error()));
    }
    if (page.links.size() > rows) {
        page.links.pop_back();
        page.next = text_of(page.links.back());
    }
    return page;
}

result<blob::totals> catalogue::totals() {
    const std::scoped_lock locked(lock_);
    if (auto settled = settle(); !settled) {
        return std::unexpected(std::move(settled.error()));
    }
    auto made = database_->prepare("SELECT links, contents, bytes FROM total");
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    blob::totals sums;
    auto read = made->each([&](const store::statement& row) -> result<void> {
        sums = {static_cast<std::uint64_t>(row.number(0)),
                static_cast<std::uint64_t>(row.number(1)),
                static_cast<std::uint64_t>(row.number(2))};
        return {};
    });
    return read ? result<blob::totals>(sums) : std::unexpected(std::move(read.error()));
}

result<std::vector<expired_row>> catalogue::expired(std::int64_t now_unix_s, std::size_t rows_max) {
    const std::scoped_lock locked(lock_);
    if (auto settled = settle(); !settled) {
        return std::unexpected(std::move(settled.error()));
    }
    auto made = database_->prepare(
        "SELECT token, content FROM link WHERE expires <= ? ORDER BY expires LIMIT ?");
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    made->bind(1, now_unix_s).bind(2, limit_of(rows_max));
    std::vector<expired_row> rows;
    auto read = made->each([&](const store::statement& row) -> result<void> {
        expired_row one;
        one.token = row.text(0);
        if (!is_token(one.token) || !read_hash(row.text(1), one.hash)) {
            return fail(failure_kind::corrupt, "catalogue: not a token or hash");
        }
        rows.push_back(std::move(one));
        return {};
    });
    return read ? result<std::vector<expired_row>>(std::move(rows))
                : std::unexpected(std::move(read.error()));
}

result<std::vector<content_row>> catalogue::unneeded(std::size_t rows_max) {
    const std::scoped_lock locked(lock_);
    if (auto settled = settle(); !settled) {
        return std::unexpected(std::move(settled.error()));
    }
    auto made = database_->prepare("SELECT hash, bytes FROM content WHERE needed <= 0 LIMIT ?");
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    made->bind(1, limit_of(rows_max));
    std::vector<content_row> rows;
    auto read = made->each([&](const store::statement& row) -> result<void> {
        content_row one;
        one.bytes = static_cast<std::uint64_t>(row.number(1));
        if (!read_hash(row.text(0), one.hash)) {
            return fail(failure_kind::corrupt, "catalogue: not a hash");
        }
        rows.push_back(one);
        return {};
    });
    return read ? result<std::vector<content_row>>(std::move(rows))
                : std::unexpected(std::move(read.error()));
}

result<bool> catalogue::is_needed(const content_hash& hash) {
    const std::scoped_lock locked(lock_);
    {
        // Without this a sweep of many contents would write the queue once for each.
        const std::scoped_lock queue_locked(queue_lock_);
        if (std::ranges::any_of(queue_, [&](const change& told) {
                return told.what == change::kind::put && told.changed.hash == hash &&
                       told.changed.revoked_unix_s == 0;
            })) {
            return true;
        }
        if (lost_changes_) {
            return true; // Until it was compared, nothing can be told.
        }
    }
    if (database_ == nullptr || is_behind_) {
        return true;
    }
    auto made = database_->prepare("SELECT needed FROM content WHERE hash = ? AND needed > 0");
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    return made->bind(1, hexadecimal(hash)).step();
}

result<void> catalogue::forget(const std::vector<content_row>& removed) {
    if (removed.empty()) {
        return {};
    }
    const std::scoped_lock locked(lock_);
    if (database_ == nullptr) {
        return fail(failure_kind::unavailable, "catalogue: it is not open");
    }
    auto begun = store::transaction::begin(*database_);
    if (!begun) {
        return std::unexpected(std::move(begun.error()));
    }
    // Not one that was published again meanwhile.
    auto made = database_->prepare("DELETE FROM content WHERE hash = ? AND needed <= 0");
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    for (const content_row& row : removed) {
        if (auto done = made->bind(1, hexadecimal(row.hash)).run(); !done) {
            return done;
        }
    }
    return begun->commit();
}

} // namespace ebbgate::blob
