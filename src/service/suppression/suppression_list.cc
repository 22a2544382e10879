#include "service/suppression/suppression_list.h"

#include "base/text.h"
#include "store/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

namespace ebbgate::suppression {

namespace {

constexpr std::chrono::milliseconds pause_after_fault(5'000);
constexpr std::int64_t application_id = 0x45625370; // "EbSp"

constexpr const char* schema = R"(
CREATE TABLE suppressed (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL,
    address TEXT NOT NULL, class TEXT NOT NULL, reply TEXT NOT NULL, created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL, UNIQUE (tenant, address)) STRICT;
CREATE INDEX suppressed_tenant ON suppressed (tenant, id);
CREATE INDEX suppressed_expires ON suppressed (expires_s) WHERE expires_s > 0;
)";

entry entry_of(const store::statement& row) {
    return {row.number(0),
            std::string(row.text(1)),
            std::string(row.text(2)),
            std::string(row.text(3)),
            std::string(row.text(4)),
            row.number(5),
            row.number(6)};
}

} // namespace

result<std::unique_ptr<suppression_list>>
suppression_list::open(const std::string& path,
                       const list_bounds& bounds,
                       std::function<void(const std::string& why)> on_fault) {
    auto opened = store::database::open(path);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    const store::schema ours{application_id, schema_version, schema};
    if (auto checked = store::make_or_check(*opened, ours); !checked) {
        return fail(checked.error().kind, path + ": " + checked.error().detail);
    }
    std::unique_ptr<suppression_list> made(
        new suppression_list(std::move(*opened), bounds, std::move(on_fault)));
    if (auto swept = made->sweep(std::time(nullptr)); !swept) {
        return std::unexpected(std::move(swept.error()));
    }
    if (auto read = made->read_all(); !read) {
        return std::unexpected(std::move(read.error()));
    }
    made->writer_ = std::thread([list = made.get()] { list->write_for_ever(); });
    return made;
}

suppression_list::suppression_list(store::database opened,
                                   const list_bounds& bounds,
                                   std::function<void(const std::string& why)> on_fault)
    : bounds_(bounds), on_fault_(std::move(on_fault)), known_(bounds.entries_max),
      database_(std::move(opened)) {}

suppression_list::~suppression_list() {
    if (writer_.joinable()) {
        {
            const std::lock_guard held(queue_lock_);
            stopping_ = true;
        }
        queue_changed_.notify_all();
        writer_.join();
    }
}

result<void> suppression_list::read_all() {
    auto asked = database_.prepare("SELECT tenant, address FROM suppressed");
    if (!asked) {
        return std::unexpected(std::move(asked.error()));
    }
    return asked->each([this](const store::statement& row) {
        (void)known_.insert(row.text(0), row.text(1));
        ++counts_[std::string(row.text(0))];
    });
}

void suppression_list::note_bounce(const bounces::hard_bounce& bounce) {
    entry made{0,
               std::string(bounce.tenant),
               bounces::suppressed_form(bounce.address),
               std::string(bounce.name),
               std::string(bounce.reply.substr(0, reply_bytes_max)),
               bounce.unix_s,
               bounce.expires_unix_s};
    const std::lock_guard held(queue_lock_);
    if (made.address.empty() || waiting_.size() >= waiting_max ||
        !known_.insert(made.tenant, made.address)) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    waiting_.push_back(std::move(made));
    if (waiting_.size() == 1) {
        queue_changed_.notify_one();
    }
}

void suppression_list::write_for_ever() {
    const std::chrono::milliseconds batch(bounds_.batch_ms);
    const std::chrono::milliseconds between_sweeps(bounds_.sweep_ms);
    auto next_sweep = std::chrono::steady_clock::now() + between_sweeps;
    bool stopping = false;
    auto pause = batch;
    while (!stopping) {
        {
            std::unique_lock held(queue_lock_);
            queue_changed_.wait_until(
                held, next_sweep, [this] { return stopping_ || !waiting_.empty(); });
            queue_changed_.wait_for(held, pause, [this] { return stopping_; });
            stopping = stopping_;
        }
        const std::lock_guard held(file_lock_);
        auto done = store_waiting();
        if (done && std::chrono::steady_clock::now() >= next_sweep) {
            next_sweep = std::chrono::steady_clock::now() + between_sweeps;
            done = sweep(std::time(nullptr));
        }
        pause = done ? batch : std::max(batch, pause_after_fault);
        if (!done && on_fault_) {
            on_fault_(done.error().detail);
        }
    }
}

result<void> suppression_list::store_waiting() {
    std::vector<entry> taken;
    {
        const std::lock_guard held(queue_lock_);
        taken.swap(waiting_);
    }
    if (taken.empty()) {
        return {};
    }
    const auto counts_before = counts_;
    const auto keep_for_later = [&](failure why) -> result<void> {
        counts_ = counts_before;
        const std::lock_guard held(queue_lock_);
        taken.insert(taken.end(),
                     std::make_move_iterator(waiting_.begin()),
                     std::make_move_iterator(waiting_.end()));
        waiting_ = std::move(taken);
        return std::unexpected(std::move(why));
    };
    std::vector<const entry*> refused;
    {
        auto change = store::transaction::begin(database_);
        if (!change) {
            return keep_for_later(std::move(change.error()));
        }
        for (const entry& one : taken) {
            const auto kept = put(one, false);
            if (!kept) {
                return keep_for_later(kept.error());
            }
            if (!*kept) {
                refused.push_back(&one);
            }
        }
        if (auto done = change->commit(); !done) {
            return keep_for_later(std::move(done.error()));
        }
    }
    // Once more: a command or the sweep may have taken one away since it was told.
    for (const entry& one : taken) {
        (void)known_.insert(one.tenant, one.address);
    }
    for (const entry* one : refused) {
        known_.erase(one->tenant, one->address);
        dropped_.fetch_add(1, std::memory_order_relaxed);
    }
    return {};
}

bool suppression_list::has_room_for(const std::string& tenant) const {
    const auto found = counts_.find(tenant);
    return found == counts_.end() || found->second < bounds_.per_tenant_max;
}

// False: the tenant has too many. What a bounce says never shortens what a command set.
result<bool> suppression_list::put(const entry& one, bool by_command) {
    auto there =
        database_.prepare("SELECT class FROM suppressed WHERE tenant = ?1 AND address = ?2");
    if (!there) {
        return std::unexpected(std::move(there.error()));
    }
    const auto row = there->bind(1, one.tenant).bind(2, one.address).step();
    if (!row) {
        return std::unexpected(row.error());
    }
    if (!*row && !has_room_for(one.tenant)) {
        return false;
    }
    if (*row && !by_command && there->text(0).empty()) {
        return true;
    }
    auto put = database_.prepare(
        "INSERT INTO suppressed (tenant, address, class, reply, created_s, expires_s) VALUES "
        "(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (tenant, address) DO UPDATE SET class = ?3, reply = "
        "?4, "
        "created_s = ?5, expires_s = ?6");
    if (!put) {
        return std::unexpected(std::move(put.error()));
    }
    put->bind(1, one.tenant).bind(2, one.address).bind(3, one.name).bind(4, one.reply);
    put->bind(5, one.created_unix_s).bind(6, one.expires_unix_s);
    if (auto done = put->run(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    if (!*row) {
        ++counts_[one.tenant];
    }
    return true;
}

result<addition> suppression_list::add(const entry& added) {
    entry one = added;
    one.address = bounces::suppressed_form(added.address);
    one.reply.resize(std::min(one.reply.size(), reply_bytes_max));
    const std::lock_guard held(file_lock_);
    if (auto stored = store_waiting(); !stored) {
        return std::unexpected(std::move(stored.error()));
    }
    const bool was_there = known_.contains(one.tenant, one.address);
    if (!was_there && (!has_room_for(one.tenant) || !known_.insert(one.tenant, one.address))) {
        return addition::full;
    }
    const auto done = put(one, true);
    if (!done || !*done) {
        if (!was_there) {
            known_.erase(one.tenant, one.address);
        }
        return done ? result<addition>(addition::full) : std::unexpected(done.error());
    }
    return was_there ? addition::unchanged : addition::added;
}

void suppression_list::forget(std::string_view tenant, std::string_view address) {
    known_.erase(tenant, address);
    if (const auto found = counts_.find(tenant); found != counts_.end() && --found->second == 0) {
        counts_.erase(found);
    }
}

result<bool> suppression_list::remove(std::string_view tenant, std::string_view address) {
    const std::string form = bounces::suppressed_form(address);
    const std::lock_guard held(file_lock_);
    if (auto stored = store_waiting(); !stored) {
        return std::unexpected(std::move(stored.error()));
    }
    auto removed = database_.prepare("DELETE FROM suppressed WHERE tenant = ?1 AND address = ?2");
    if (!removed) {
        return std::unexpected(std::move(removed.error()));
    }
    if (auto done = removed->bind(1, tenant).bind(2, form).run(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    if (database_.changes() == 0) {
        return false;
    }
    forget(tenant, form);
    return true;
}

result<void> suppression_list::sweep(std::int64_t now_unix_s) {
    std::vector<std::pair<std::string, std::string>> gone;
    auto swept = database_.prepare("DELETE FROM suppressed WHERE expires_s > 0 AND expires_s <= ?1 "
                                   "RETURNING tenant, address");
    if (!swept) {
        return std::unexpected(std::move(swept.error()));
    }
    swept->bind(1, now_unix_s);
    auto done = swept->each(
        [&gone](const store::statement& row) { gone.emplace_back(row.text(0), row.text(1)); });
    if (!done) {
        return done;
    }
    for (const auto& [tenant, address] : gone) {
        forget(tenant, address);
    }
    return {};
}

result<page>
suppression_list::list(std::string_view tenant, std::int64_t after, std::int64_t rows_max) {
    const std::int64_t rows = std::clamp<std::int64_t>(rows_max, 1, page_rows_max);
    const std::lock_guard held(file_lock_);
    if (auto stored = store_waiting(); !stored) {
        return std::unexpected(std::move(stored.error()));
    }
    auto asked = database_.prepare(fmt::format(
        "SELECT id, tenant, address, class, reply, created_s, expires_s FROM suppressed "
        "WHERE {} id > ?2 ORDER BY id LIMIT ?3",
        tenant.empty() ? "?1 = '' AND" : "tenant = ?1 AND"));
    if (!asked) {
        return std::unexpected(std::move(asked.error()));
    }
    asked->bind(1, tenant).bind(2, after).bind(3, rows + 1);
    page made;
    auto read =
        asked->each([&made](const store::statement& row) { made.rows.push_back(entry_of(row)); });
    if (!read) {
        return std::unexpected(std::move(read.error()));
    }
    if (static_cast<std::int64_t>(made.rows.size()) > rows) {
        made.rows.pop_back();
        made.next = made.rows.back().id;
    }
    return made;
}

result<void> suppression_list::flush() {
    const std::lock_guard held(file_lock_);
    return store_waiting();
}

} // namespace ebbgate::suppression
