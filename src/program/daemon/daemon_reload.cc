// Policy, certificates and overrides: read anew, judged as a whole, put in force together.

#include "codec/json/writer.h"
#include "program/daemon/daemon.h"
#include "relay/identities.h"
#include "stage/policy/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace ebbgate::program {

namespace {

constexpr std::chrono::seconds counters_flush_interval{5};
constexpr int idle_wait_ms = 1000;

} // namespace

std::expected<policy::loaded, std::string> daemon::load_policy(bool is_overlay) {
    const auto changes = overlay_->read(std::time(nullptr));
    if (!changes) {
        return std::unexpected(changes.error().detail);
    }
    auto loaded = policy::load(server_.policy, *changes);
    if (!loaded) {
        return std::unexpected(config::to_text(loaded.error()));
    }
    config::faults faults = relay::listener_faults(server_, *loaded->policy);
    if (!is_overlay) { // An address that went away later must not keep commands from coming in
                       // force.
        const config::faults sources = relay::source_faults(*loaded->policy);
        faults.insert(faults.end(), sources.begin(), sources.end());
    }
    if (!faults.empty()) {
        return std::unexpected(config::to_text(faults));
    }
    return std::move(*loaded);
}

std::expected<std::shared_ptr<const bounces::classifier>, std::string>
daemon::load_bounce_rules(const policy::snapshot& policy) {
    const std::string& path = policy.delivery().bounce_rules;
    if (path.empty()) {
        return bounces::classifier::make_default();
    }
    auto rules = bounces::load_rules(path);
    if (!rules) {
        return std::unexpected(config::to_text(rules.error()));
    }
    auto made = bounces::classifier::make(std::move(*rules));
    if (!made) {
        return std::unexpected(path + ": " + made.error());
    }
    return std::shared_ptr<const bounces::classifier>(std::move(*made));
}

std::string daemon::refuse_reload(const std::string& why) {
    policy_is_stale_ = true;
    policy_fault_ = why;
    ++reloads_refused_;
    note("nothing reloaded, what was in force stays:\n" + why);
    return admin::refusal(admin::refusal_reason::failed, why);
}

std::string daemon::reload(reload_kind kind) {
    const bool dry_run = kind == reload_kind::dry_run;
    const auto reading_since = std::chrono::system_clock::now();
    // What else changed in the files has to pass whole, certificates and all.
    const bool is_overlay =
        kind == reload_kind::overlay && !policy_is_stale_ && !watch_.is_changed();
    if (!dry_run && !is_overlay) {
        watch_.note(); // What changes from here on is another change.
    }
    // The shards go on, and go first.
    std::expected<policy::loaded, std::string> loaded;
    background_.run([this, &loaded, is_overlay] { loaded = load_policy(is_overlay); });
    if (is_overlay && watch_.is_changed()) {
        return reload(reload_kind::silent);
    }
    if (!loaded) {
        return dry_run ? admin::refusal(admin::refusal_reason::failed, loaded.error())
                       : refuse_reload(loaded.error());
    }
    // All of it is loaded before any of it is in force.
    std::shared_ptr<const bounces::classifier> bounce_rules = bounce_rules_;
    auto keys = relay::signing_keys::load(*loaded->policy, keys_.get());
    if (!keys) {
        if (!dry_run && !is_overlay) {
            watch_files(*loaded->policy, reading_since); // Until its keys are there.
        }
        const std::string why = config::to_text(keys.error());
        return dry_run ? admin::refusal(admin::refusal_reason::failed, why) : refuse_reload(why);
    }
    if (!is_overlay) {
        auto rules = load_bounce_rules(*loaded->policy);
        if (!rules) {
            return dry_run ? admin::refusal(admin::refusal_reason::failed, rules.error())
                           : refuse_reload(rules.error());
        }
        bounce_rules = std::move(*rules);
    }
    // A context belongs to one thread: a shard's, or that of the files.
    std::vector<std::shared_ptr<const tls::server_identities>> identities;
    // An overlay has no certificates; what the files changed meanwhile has its own reload.
    const std::size_t threads = shards_.size() + (files_ != nullptr ? 1 : 0);
    while (!is_overlay && identities.size() < threads) {
        auto made = relay::load_identities(server_, *loaded->policy);
        if (!made) {
            if (!dry_run) {
                watch_files(*loaded->policy, reading_since); // Until its certificates are there.
            }
            const std::string why = config::to_text(made.error());
            return dry_run ? admin::refusal(admin::refusal_reason::failed, why)
                           : refuse_reload(why);
        }
        identities.push_back(std::move(*made));
    }
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true);
    out.member("fingerprint", fmt::format("{:016x}", loaded->policy->fingerprint()));
    out.key("changes").begin_array();
    if (dry_run || kind == reload_kind::told) {
        for (const std::string& line : policy::diff(*policy_, *loaded->policy)) {
            out.string(line);
        }
    }
    out.end_array().key("left_out").begin_array();
    for (const std::string& line : loaded->notes) {
        out.string(line);
    }
    out.end_array().end_object();
    if (dry_run) {
        return text;
    }
    if (const auto applied = apply_overrides(loaded->overrides); !applied) {
        return refuse_reload(applied.error().detail);
    }
    for (const std::string& line : loaded->notes) {
        note(line);
    }
    bounce_rules_ = std::move(bounce_rules);
    put_in_force(std::move(loaded->policy), std::move(*keys));
    if (!is_overlay) {
        credentials_.clear();
        on_each_shard([&](relay::shard& shard) { shard.set_tls(identities[shard.index()]); });
        if (files_ != nullptr) {
            files_->set_tls(std::move(identities.back()));
        }
        watch_files(*policy_, reading_since);
        note("policy reloaded");
    }
    return text;
}

void daemon::put_in_force(policy::snapshot_pointer policy,
                          std::shared_ptr<const relay::signing_keys> keys) {
    policy_is_stale_ = false;
    policy_fault_.clear();
    ++reloads_;
    retired_.push_back(std::exchange(policy_, std::move(policy)));
    keys_ = std::move(keys);
    on_each_shard([&](relay::shard& shard) { shard.set_policy(policy_, keys_, bounce_rules_); });
    bans_->ask([settings = ban_settings_of(*policy_, server_)](bans::ban_keeper& keeper,
                                                               std::int64_t now_us) {
        keeper.configure(settings, now_us);
    });
    free_retired();
    if (retired_.size() > retired_max) {
        on_each_shard([](relay::shard& shard) { shard.let_go_of_old_policies(); });
    }
}

// What no shard and no session uses any more is freed in the background, not on the shard that let
// go last.
void daemon::free_retired() {
    std::erase_if(retired_, [this](policy::snapshot_pointer& old) {
        if (old.use_count() > 1) {
            return false;
        }
        background_.post([old = std::move(old)]() mutable { old.reset(); });
        return true;
    });
}

result<void> daemon::apply_overrides(const std::vector<policy::rate_override>& overrides) {
    const limits::time_point now = limit_clock_.now();
    std::vector<limits::raised> wanted;
    for (const policy::rate_override& one : overrides) {
        wanted.push_back({std::string(policy::name_of(one.rule)),
                          one.subject,
                          one.rate,
                          one.expires_unix_s == 0
                              ? limits::time_point::max()
                              : limits::time_point(std::chrono::seconds(one.expires_unix_s))});
    }
    return limiter_->replace(std::move(wanted), now);
}

void daemon::watch_files(const policy::snapshot& policy,
                         std::chrono::system_clock::time_point reading_since) {
    std::vector<std::string> paths = relay::identity_files(server_, policy);
    paths.push_back(server_.policy);
    watch_.watch(std::move(paths), reading_since);
}

int daemon::tend(bool files_stirred) {
    const auto now = std::chrono::steady_clock::now();
    if (watch_.look(files_stirred, now)) {
        (void)reload(reload_kind::silent);
    }
    if (now >= counters_flush_) {
        counters_flush_ = now + counters_flush_interval;
        if (const auto flushed = counters_->flush(); !flushed) {
            note("sending limits: " + flushed.error().detail);
        }
    }
    flush_tls_sessions();
    links_->tend(now);
    free_retired();
    return std::min(watch_.wait_ms(now), idle_wait_ms);
}

bans::settings ban_settings_of(const policy::snapshot& policy, const config::server& server) {
    const policy::ban_settings& given = policy.bans();
    bans::settings settings;
    settings.max_retry = given.max_retry;
    settings.find_time = given.find_time;
    settings.ban_time = given.ban_time;
    settings.ban_time_increment = given.ban_time_increment;
    settings.ban_time_max = given.ban_time_max;
    settings.ignore = given.ignore;
    for (const policy::tenant& tenant : policy.tenants()) {
        settings.never.insert(
            settings.never.end(), tenant.relay_hosts.begin(), tenant.relay_hosts.end());
    }
    for (const config::listener& listener : server.listeners) {
        settings.never.insert(
            settings.never.end(), listener.proxies.begin(), listener.proxies.end());
    }
    return settings;
}

} // namespace ebbgate::program
