#include "service/mta_sts/policy_finder.h"

#include <algorithm>
#include <ctime>
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
                             shard::worker_pool& workers)
    : settings_(std::move(settings)), workers_(workers), store_(std::move(store)) {}

result<std::unique_ptr<policy_finder>> policy_finder::open(finder_settings settings,
                                                           shard::worker_pool& workers) {
    auto store = policy_store::open(settings.path);
    if (!store) {
        return std::unexpected(std::move(store.error()));
    }
    std::unique_ptr<policy_finder> made(
        new policy_finder(std::move(settings), std::move(*store), workers));
    auto rows = made->store_.read(made->now_s());
    if (!rows) {
        return std::unexpected(std::move(rows.error()));
    }
    for (stored_policy& row : *rows) {
        entry& one = made->entries_[row.domain];
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

void policy_finder::make_room(std::int64_t now_s) {
    if (entries_.size() < domains_max) {
        return;
    }
    std::erase_if(entries_, [now_s](const auto& one) {
        return !one.second.busy && one.second.is_over(now_s);
    });
    for (auto one = entries_.begin(); one != entries_.end() && entries_.size() >= domains_max;) {
        // It is still on disk, and is fetched again when it is needed.
        one = one->second.busy ? std::next(one) : entries_.erase(one);
    }
}

std::optional<found_policy> policy_finder::known_or_wait(const std::string& key,
                                                         task::reactor& reactor,
                                                         const found& done,
                                                         bool& must_ask) {
    const std::lock_guard held(lock_);
    const std::int64_t now = now_s();
    auto place = entries_.find(key);
    if (place == entries_.end()) {
        make_room(now);
        place = entries_.try_emplace(key).first;
    }
    entry& one = place->second;
    if (one.is_over(now)) {
        one.known.policy = nullptr;
        one.id.clear();
    }
    const std::int64_t age_s = now - one.checked_s;
    const bool is_fresh = !one.busy && age_s >= 0 && age_s < settings_.recheck_s;
    if (is_fresh || waiting_ >= waiting_max) {
        return one.known;
    }
    ++waiting_;
    one.waiting.push_back({&reactor, done});
    must_ask = !std::exchange(one.busy, true);
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
    bool must_ask = false;
    if (const auto known = known_or_wait(key, reactor, done, must_ask)) {
        done(*known);
    } else if (must_ask) {
        ask("_mta-sts." + key, [this, key, home = &reactor](const txt_answer& answer) {
            on_record(key, *home, answer);
        });
    }
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
    const auto answer = std::make_shared<std::expected<policy, fetch_fault>>();
    const auto work = [this, domain, id, answer] {
        *answer = fetch_policy(settings_.fetch, domain);
        if (*answer) {
            save({domain, id, now_s(), **answer});
        }
    };
    const auto end = [this, domain, id, answer] {
        finish(domain, [&](entry& one) {
            if (*answer) {
                one.id = id;
                one.fetched_s = now_s();
                one.known = {std::make_shared<const policy>(std::move(**answer)), std::nullopt, {}};
            } else {
                one.known.fault = answer->error().type;
                one.known.detail = answer->error().detail;
            }
        });
    };
    if (!workers_.submit(home, work, end)) {
        finish(domain, [](entry& one) {
            one.known.fault = tls_report::result_type::sts_policy_fetch_error;
            one.known.detail = "too busy to fetch the policy";
        });
    }
}

void policy_finder::save(const stored_policy& row) {
    const std::lock_guard held(store_lock_);
    // A disk that fails costs a fetch after the next start, no mail.
    if (!store_.save(row, row.fetched_s)) {
        ++save_failures_;
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
        waiting = std::exchange(one.waiting, {});
        waiting_ -= waiting.size();
        known = one.known;
    }
    for (waiter& each : waiting) {
        each.reactor->post([done = std::move(each.done), known] { done(known); });
    }
}

} // namespace ebbgate::mta_sts
