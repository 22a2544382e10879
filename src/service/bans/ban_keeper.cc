#include "service/bans/ban_keeper.h"

#include <span>
#include <utility>

namespace ebbgate::bans {

namespace {

net::source_network source_of(const config::ip_network& network) {
    return {network.address.bytes, network.prefix_bits};
}

std::vector<net::source_network> sources_of(const std::vector<config::ip_network>& networks) {
    std::vector<net::source_network> sources;
    sources.reserve(networks.size());
    for (const config::ip_network& network : networks) {
        sources.push_back(source_of(network));
    }
    return sources;
}

} // namespace

ban_keeper::ban_keeper(parts parts)
    : parts_(std::move(parts)), table_(*this, parts_.capacity), log_(parts_.pid) {}

ban_keeper::~ban_keeper() {
    (void)flush();
}

result<void> ban_keeper::start(settings settings, std::int64_t now_us) {
    now_us_ = now_us;
    table_.configure(std::move(settings), now_us);
    const result<void> told = parts_.store ? restore(*parts_.store) : result<void>();
    give_lines();
    return told;
}

// This thread reads, a second one has the table, the set and the log, a third one fills the
// kernel's map. Until they have ended nobody else uses any of it.
result<void> ban_keeper::restore(ban_store& store) {
    auto ignore = store.read_ignore();
    if (!ignore) {
        return std::unexpected(std::move(ignore.error()));
    }
    const auto count = store.count_rows();
    if (!count) {
        return std::unexpected(count.error());
    }
    set_.reserve(*count);
    table_.begin_restore(*count, std::move(*ignore));
    result<void> done;
    {
        block_worker<net::source_network> kernel(
            [this](std::span<const net::source_network> sources) {
                note_kernel(parts_.refusal->refuse(sources));
            });
        block_worker<ban> table(
            [this, &kernel](std::span<const ban> rows) { restore_block(rows, kernel); });
        done = store.read_rows(*count > table_.bans_max() ? ban_store::row_order::last_to_end_first
                                                          : ban_store::row_order::any,
                               [&table](const ban& row) { table.give(row); });
        table.finish();
        kernel.finish();
    }
    table_.end_restore(now_us_);
    if (store.unreadable() > 0) {
        last_fault_ = std::to_string(store.unreadable()) + " stored bans are unreadable";
    }
    return done;
}

void ban_keeper::restore_block(std::span<const ban> rows,
                               block_worker<net::source_network>& kernel) {
    for (const ban& row : rows) {
        table_.restore(row, now_us_);
    }
    for (const ban* one : restored_) {
        set_.add(one->network);
        if (parts_.refusal != nullptr) {
            kernel.give(source_of(one->network));
        }
    }
    log_.append_restore(lines_, now_us_, restored_);
    restored_.clear();
    if (lines_.size() >= log_block_bytes) {
        give_lines_to(parts_.log_restored ? parts_.log_restored : parts_.log);
    }
}

void ban_keeper::configure(settings settings, std::int64_t now_us) {
    now_us_ = now_us;
    table_.configure(std::move(settings), now_us);
    finish_change();
}

result<void> ban_keeper::attach(int listening_fd) {
    if (parts_.refusal == nullptr) {
        return {};
    }
    auto attached = parts_.refusal->attach(listening_fd);
    note_kernel(attached);
    return attached;
}

verdict
ban_keeper::strike(const config::ip_address& address, strike_cause cause, std::int64_t now_us) {
    now_us_ = now_us;
    table_.expire(now_us); // Its lines come before ours.
    if (table_.white_list().holds(address)) {
        ++ignored_;
        log_.append_ignore(lines_, now_us, address);
    } else {
        ++found_;
        log_.append_found(lines_, now_us, address, now_us);
    }
    const verdict told = table_.strike(address, cause, now_us);
    if (told.kind == verdict_kind::already_banned) {
        log_.append_already_banned(lines_, now_us, told.ban);
    }
    finish_change();
    return told;
}

void ban_keeper::tick(std::int64_t now_us) {
    now_us_ = now_us;
    table_.expire(now_us);
    give_lines();
    (void)flush();
}

bool ban_keeper::flush() {
    if (!parts_.store) {
        return true;
    }
    ban_store& store = *parts_.store;
    const auto outcome =
        store.is_behind()
            ? store.replace_all(
                  [this](const ban_store::give_row& give) { table_.for_each_row(give); },
                  table_.run_time_ignore())
            : store.flush();
    note_store(outcome);
    store_failed_ = !outcome.has_value();
    return !store_failed_;
}

ban_outcome ban_keeper::ban_by_hand(const config::ip_network& network,
                                    const config::ip_address& address,
                                    std::optional<std::chrono::seconds> duration,
                                    std::int64_t now_us) {
    now_us_ = now_us;
    const ban_outcome outcome = table_.ban_by_hand(network, address, duration, now_us);
    finish_change();
    return outcome;
}

std::size_t ban_keeper::unban(const config::ip_network& network, std::int64_t now_us) {
    now_us_ = now_us;
    const std::size_t lifted = table_.unban(network);
    finish_change();
    return lifted;
}

std::size_t ban_keeper::unban_all(std::int64_t now_us) {
    now_us_ = now_us;
    const std::size_t lifted = table_.unban_all();
    finish_change();
    return lifted;
}

bool ban_keeper::add_ignore(const config::ip_network& network, std::int64_t now_us) {
    now_us_ = now_us;
    if (!table_.add_ignore(network)) {
        return false;
    }
    if (parts_.store) {
        parts_.store->put_ignore(network);
    }
    finish_change();
    return true;
}

bool ban_keeper::remove_ignore(const config::ip_network& network, std::int64_t now_us) {
    now_us_ = now_us;
    if (!table_.remove_ignore(network)) {
        return false;
    }
    if (parts_.store) {
        parts_.store->erase_ignore(network);
    }
    finish_change();
    return true;
}

ban_keeper::status_values ban_keeper::status() const {
    status_values values;
    values.refused_by_kernel = parts_.refusal != nullptr;
    values.why_reset = parts_.refusal != nullptr ? "" : parts_.why_reset;
    values.bans = table_.ban_count();
    values.strikers = table_.striker_count();
    values.history = table_.history_count();
    values.white_listed = table_.white_list().members().size();
    values.found = found_;
    values.ignored = ignored_;
    values.banned = banned_;
    values.displaced_bans = table_.displaced_bans();
    values.displaced_strikers = table_.displaced_strikers();
    if (parts_.store) {
        values.not_yet_durable =
            parts_.store->is_behind() ? table_.ban_count() : parts_.store->pending();
    }
    values.kernel_faults = kernel_faults_;
    values.store_faults = store_faults_;
    values.last_fault = last_fault_;
    return values;
}

void ban_keeper::on_banned(const ban& ban, bool restored) {
    if (restored) {
        restored_.push_back(&ban);
        return;
    }
    set_.add(ban.network);
    ++banned_;
    if (parts_.refusal != nullptr) {
        const net::source_network source = source_of(ban.network);
        note_kernel(parts_.refusal->refuse({&source, 1}));
    }
    log_.append_ban(lines_, now_us_, ban);
    if (ban.cause != strike_cause::manual && ban.count > 1 &&
        ban.until_us != end_of(ban.since_us, table_.settings().ban_time)) {
        log_.append_increase(lines_, now_us_, ban);
    }
    if (parts_.store) {
        parts_.store->put(ban);
    }
    if (parts_.cut) {
        parts_.cut(ban.network, table_.white_list().within(ban.network));
    }
}

void ban_keeper::on_changed(const ban& ban) {
    if (parts_.store) {
        parts_.store->put(ban);
    }
}

void ban_keeper::on_unbanned(const ban& ban, ban_end why) {
    set_.remove(ban.network);
    if (parts_.refusal != nullptr) {
        const net::source_network source = source_of(ban.network);
        note_kernel(parts_.refusal->forget({&source, 1}));
    }
    log_.append_unban(lines_, now_us_, ban);
    // A row whose end has passed is what counts for the next ban.
    if (parts_.store && why == ban_end::lifted) {
        parts_.store->erase(ban.network);
    } else if (parts_.store && why == ban_end::displaced) {
        parts_.store->put(ban);
    }
    if (lines_.size() >= log_block_bytes) {
        give_lines();
    }
}

void ban_keeper::on_forgotten(const config::ip_network& network) {
    if (parts_.store) {
        parts_.store->erase(network);
    }
}

void ban_keeper::on_white_list(const std::vector<config::ip_network>& added,
                               const std::vector<config::ip_network>& removed) {
    set_.set_white_list(table_.white_list());
    if (parts_.refusal != nullptr) {
        note_kernel(parts_.refusal->forget(sources_of(removed)));
        note_kernel(parts_.refusal->let_through(sources_of(added)));
    }
}

void ban_keeper::finish_change() {
    give_lines();
    if (parts_.store && parts_.store->pending() >= pending_before_flush && !store_failed_) {
        (void)flush();
    }
}

void ban_keeper::give_lines() {
    give_lines_to(parts_.log);
}

void ban_keeper::give_lines_to(const write_lines& log) {
    if (!lines_.empty() && log) {
        log(std::move(lines_));
    }
    lines_.clear();
}

void ban_keeper::note_kernel(const result<void>& outcome) {
    if (!outcome) {
        ++kernel_faults_;
        last_fault_ = outcome.error().detail;
    }
}

void ban_keeper::note_store(const result<void>& outcome) {
    if (!outcome) {
        ++store_faults_;
        last_fault_ = outcome.error().detail;
    }
}

} // namespace ebbgate::bans
