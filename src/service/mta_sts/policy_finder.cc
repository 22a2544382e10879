#include "service/mta_sts/policy_finder.h"

#include <algorithm>
#include <ctime>
#include <iterator>
#include <utility>

namespace ebbgate::mta_sts {

namespace {

constexpr std::size_t domain_bytes_max = 253 - sizeof "_mta-sts.";

// It becomes part of a url.
bool is_host_name(const std::string& domain) {
    return !domain.empty() && domain.size() <= domain_bytes_max && domain.front() != '.' &&
           domain.back() != '.' && domain.find("..") == std::string::npos &&
           std::all_of(domain.begin(), domain.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
           });
}

std::string key_of(const std::string& domain) {
    std::string key = domain;
    for (char& c : key) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return key;
}

} // namespace

policy_finder::policy_finder(finder_settings settings,
                             policy_store store,
                             shard::worker_pool& workers,
                             policy_source& source)
    : settings_(std::move(settings)), workers_(workers), source_(source), store_(std::move(store)) {
}

result<std::unique_ptr<policy_finder>>
policy_finder::open(finder_settings settings, shard::worker_pool& workers, policy_source& source) {
    auto store = policy_store::open(settings.path, settings.rows_max);
    if (!store) {
        return std::unexpected(std::move(store.error()));
    }
    std::unique_ptr<policy_finder> made(
        new policy_finder(std::move(settings), std::move(*store), workers, source));
    const std::int64_t now = made->now_s();
    auto rows = made->store_.read(now);
    if (!rows) {
        return std::unexpected(std::move(rows.error()));
    }
    made->written_s_ = now;
    for (stored_policy& row : *rows) {
        if (made->entries_.size() >= made->settings_.domains_max) {
            made->disk_has_more_ = true;
            break;
        }
        const auto at = made->entries_.try_emplace(row.domain).first;
        entry& one = at->second;
        one.place = made->by_use_.insert(made->by_use_.end(), &at->first);
        one.id = std::move(row.id);
        one.fetched_s = row.fetched_s;
        one.known.policy = std::make_shared<const policy>(std::move(row.policy));
    }
    return made;
}

std::int64_t policy_finder::now_s() const {
    return settings_.now_s ? settings_.now_s() : std::time(nullptr);
}

std::size_t policy_finder::size() const {
    const std::lock_guard held(lock_);
    return entries_.size();
}

// What goes is still on the disk, unless that is full as well.
void policy_finder::make_room() {
    for (std::size_t looked_at = by_use_.size();
         looked_at > 0 && entries_.size() >= settings_.domains_max;
         --looked_at) {
        const auto last = std::prev(by_use_.end());
        const auto at = entries_.find(**last);
        if (at->second.busy) {
            by_use_.splice(by_use_.begin(), by_use_, last); // It is in use.
            continue;
        }
        disk_has_more_ = disk_has_more_ || at->second.known.policy != nullptr;
        by_use_.erase(last);
        entries_.erase(at);
    }
}

policy_finder::entry& policy_finder::entry_of(const std::string& key) {
    auto at = entries_.find(key);
    if (at == entries_.end()) {
        make_room();
        at = entries_.try_emplace(key).first;
        at->second.place = by_use_.insert(by_use_.begin(), &at->first);
        at->second.is_unread = disk_has_more_;
    } else {
        by_use_.splice(by_use_.begin(), by_use_, at->second.place);
    }
    return at->second;
}

// A policy that is short-lived is looked at before its end, so that the next one is there by then.
bool policy_finder::is_fresh(const entry& one, std::int64_t now_s) const {
    const std::int64_t age_s = now_s - one.checked_s;
    const std::int64_t age_s_max =
        one.known.policy == nullptr
            ? settings_.recheck_s
            : std::min(settings_.recheck_s, one.known.policy->max_age_s / 2);
    return age_s >= 0 && age_s < age_s_max;
}

std::optional<found_policy> policy_finder::known_or_wait(const std::string& key,
                                                         task::reactor& reactor,
                                                         const found& done,
                                                         next_step& next,
                                                         bool& must_write) {
    const std::lock_guard held(lock_);
    const std::int64_t now = now_s();
    entry& one = entry_of(key);
    if (one.known.policy != nullptr && one.is_over(now)) {
        // That it was looked at lately tells what held then, not what holds now.
        one.known = {};
        one.id.clear();
        one.checked_s = 0;
    }
    const bool holds = one.known.policy != nullptr;
    if (holds) {
        note_use(key, one, now);
    }
    const bool is_early = now >= written_s_ && now - written_s_ < note_s;
    must_write = !notes_.empty() && !is_early;
    if (!one.busy && is_fresh(one, now)) {
        return one.known;
    }
    if (holds) {
        next = std::exchange(one.busy, true) ? next_step::nothing : next_step::ask;
        return one.known;
    }
    if (waiting_ >= waiting_max) {
        found_policy unknown;
        unknown.is_unknown = true;
        return unknown;
    }
    ++waiting_;
    one.waiting.push_back({&reactor, done});
    if (!std::exchange(one.busy, true)) {
        next = one.is_unread ? next_step::read : next_step::ask;
    }
    return std::nullopt;
}

void policy_finder::find(const std::string& domain,
                         task::reactor& reactor,
                         const ask_txt& ask,
                         const found& done) {
    const std::string key = key_of(domain);
    if (!is_host_name(key)) {
        done({});
        return;
    }
    next_step next = next_step::nothing;
    bool must_write = false;
    const auto known = known_or_wait(key, reactor, done, next, must_write);
    if (must_write) {
        begin_writing(reactor);
    }
    if (next == next_step::ask) {
        ask_record(key, reactor, ask);
    } else if (next == next_step::read) {
        read(key, reactor, ask);
    }
    if (known) {
        done(*known);
    }
}

void policy_finder::ask_record(const std::string& domain, task::reactor& home, const ask_txt& ask) {
    ask("_mta-sts." + domain,
        [this, domain, &home](const txt_answer& answer) { on_record(domain, home, answer); });
}

void policy_finder::read(const std::string& domain, task::reactor& home, const ask_txt& ask) {
    const auto row = std::make_shared<std::optional<stored_policy>>();
    const auto work = [this, domain, row] {
        const std::lock_guard held(store_lock_);
        if (auto found = store_.find(domain, now_s())) {
            *row = std::move(*found);
        }
    };
    const auto end = [this, domain, row, &home, ask] {
        on_read(domain, std::move(*row));
        ask_record(domain, home, ask);
    };
    if (!workers_.submit(home, work, end)) {
        finish_unknown(domain);
    }
}

// Whoever waits goes on if there was one; the record is looked at all the same.
void policy_finder::on_read(const std::string& domain, std::optional<stored_policy> row) {
    std::vector<waiter> waiting;
    found_policy known;
    {
        const std::lock_guard held(lock_);
        entry& one = entries_.at(domain); // Busy ones stay.
        one.is_unread = false;
        if (!row) {
            return;
        }
        one.id = std::move(row->id);
        one.fetched_s = row->fetched_s;
        one.known.policy = std::make_shared<const policy>(std::move(row->policy));
        note_use(domain, one, now_s());
        known = one.known;
        waiting = take_waiting(one);
    }
    answer(std::move(waiting), known);
}

void policy_finder::on_record(const std::string& domain,
                              task::reactor& home,
                              const txt_answer& answer) {
    const auto id = answer.failed ? std::nullopt : find_id(answer.records);
    bool must_fetch = false;
    if (id) {
        const std::lock_guard held(lock_);
        const entry& one = entries_.at(domain);
        must_fetch = one.known.policy == nullptr || one.id != *id ||
                     now_s() - one.fetched_s >= one.known.policy->max_age_s / 2;
    }
    if (must_fetch) {
        fetch(domain, *id, home);
        return;
    }
    // Without a record, too, a policy that was found holds to its end (RFC 8461 5.1).
    finish(domain, [](entry& one) {
        one.known.fault.reset();
        one.known.detail.clear();
    });
}

void policy_finder::fetch(const std::string& domain, const std::string& id, task::reactor& home) {
    source_.fetch(domain, [this, domain, id, &home](fetch_answer answer) {
        if (!answer) {
            finish_unknown(domain);
        } else if (*answer) {
            keep({domain, id, now_s(), std::move(**answer)}, home);
        } else {
            finish(domain, [&](entry& one) {
                one.known.fault = answer->error().type;
                one.known.detail = answer->error().detail;
            });
        }
    });
}

// On the disk first: what is told is there after a restart.
void policy_finder::keep(stored_policy row, task::reactor& home) {
    {
        const std::lock_guard held(lock_);
        unsaved_.push_back(std::move(row));
    }
    begin_writing(home);
}

// One job for all that comes meanwhile: one wait for the disk, however many there are.
void policy_finder::begin_writing(task::reactor& home) {
    {
        const std::lock_guard held(lock_);
        written_s_ = now_s();
        if (std::exchange(write_due_, true)) {
            return;
        }
    }
    if (!workers_.submit(home, [this] { write_all(); }, [] {})) {
        ++save_failures_;
        std::vector<stored_policy> rows;
        {
            const std::lock_guard held(lock_);
            rows.swap(unsaved_);
            write_due_ = false;
        }
        finish_fetched(std::move(rows));
    }
}

void policy_finder::write_all() {
    std::vector<stored_policy> rows;
    policy_store::uses notes;
    {
        const std::lock_guard held(lock_);
        rows.swap(unsaved_);
        notes.swap(notes_);
        write_due_ = false;
    }
    {
        const std::lock_guard held(store_lock_);
        // A disk that fails costs a fetch after the next start, no mail.
        if (!store_.write(rows, notes, now_s())) {
            ++save_failures_;
        }
    }
    finish_fetched(std::move(rows));
}

void policy_finder::finish_fetched(std::vector<stored_policy> rows) {
    for (stored_policy& row : rows) {
        finish(row.domain, [&row](entry& one) {
            one.id = std::move(row.id);
            one.fetched_s = row.fetched_s;
            one.noted_s = row.fetched_s;
            one.known = {
                std::make_shared<const policy>(std::move(row.policy)), std::nullopt, {}, false};
        });
    }
}

void policy_finder::finish(const std::string& domain, const std::function<void(entry&)>& change) {
    std::vector<waiter> waiting;
    found_policy known;
    {
        const std::lock_guard held(lock_);
        entry& one = entries_.at(domain); // Busy ones stay.
        change(one);
        one.checked_s = now_s();
        one.busy = false;
        waiting = take_waiting(one);
        known = one.known;
    }
    answer(std::move(waiting), known);
}

// Nothing was learned. Where there is a policy it holds, and is looked at again in a while; else by
// whoever asks next.
void policy_finder::finish_unknown(const std::string& domain) {
    std::vector<waiter> waiting;
    found_policy known;
    {
        const std::lock_guard held(lock_);
        entry& one = entries_.at(domain);
        one.checked_s = one.known.policy == nullptr ? 0 : now_s();
        one.busy = false;
        waiting = take_waiting(one);
        known = one.known;
        known.is_unknown = known.policy == nullptr;
    }
    answer(std::move(waiting), known);
}

std::vector<policy_finder::waiter> policy_finder::take_waiting(entry& one) {
    waiting_ -= one.waiting.size();
    return std::exchange(one.waiting, {});
}

void policy_finder::answer(std::vector<waiter> waiting, const found_policy& known) {
    for (waiter& each : waiting) {
        each.reactor->post([done = std::move(each.done), known] { done(known); });
    }
}

void policy_finder::note_use(const std::string& key, entry& one, std::int64_t now_s) {
    const bool is_early = now_s >= one.noted_s && now_s - one.noted_s < note_s;
    if (!is_early && notes_.size() < settings_.domains_max) {
        one.noted_s = now_s;
        notes_.emplace_back(key, now_s);
    }
}

} // namespace ebbgate::mta_sts
