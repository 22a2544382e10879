// What operators and tenants ask of the running gateway.

#include "codec/json/writer.h"
#include "config/units.h"
#include "program/daemon/daemon.h"
#include "service/admin/status_report.h"
#include "service/overlay/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <span>
#include <utility>

namespace ebbgate::program {

namespace {

using admin::argument_kind;
using admin::request;

constexpr std::size_t address_bytes_max = 64;
// Of one page of `banned`; there may be millions.
constexpr std::size_t banned_rows_max = 1000;
constexpr std::size_t ignore_rows_max = 1000;

std::string answer(bool good, std::string_view key, std::uint64_t count) {
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(good).key(key).number(count).end_object();
    return text;
}

std::string not_an_address(std::string_view text) {
    return admin::refusal(
        admin::refusal_reason::usage,
        fmt::format("expected an address or a network such as 192.0.2.0/24, found \"{}\"", text));
}

struct banned_subject {
    config::ip_network network;
    config::ip_address address; // As it was asked for: for the log.
};

// What is counted together is banned together: a single IPv6 address means its /64.
std::optional<banned_subject> subject_of(std::string_view text) {
    if (const auto address = config::parse_ip_address(text)) {
        return banned_subject{bans::counted_network(*address), *address};
    }
    if (const auto network = config::parse_ip_network(text)) {
        return banned_subject{*network, network->address};
    }
    return std::nullopt;
}

// Answers after the change is on the disk.
std::string durable(bool is_changed, bool is_durable) {
    return is_durable ? admin::change_answer(is_changed)
                      : admin::refusal(admin::refusal_reason::failed,
                                       "in force, but not on the disk: see status");
}

void write_ban(json::writer& out, const bans::ban& ban) {
    out.begin_object().member("address", bans::name_of(ban));
    out.member("network", config::to_text(ban.network));
    out.member("cause", bans::to_text(ban.cause));
    out.key("since").number(ban.since_us / 1'000'000);
    out.key("until");
    if (ban.until_us == bans::never_ends) {
        out.null();
    } else {
        out.number(ban.until_us / 1'000'000);
    }
    out.key("count").number(ban.count).end_object();
}

} // namespace

std::string daemon::status() {
    std::vector<relay::shard_status> all;
    const admin::daemon_facts facts = gather(all);
    return admin::status_json(facts, all);
}

admin::daemon_facts daemon::gather(std::vector<relay::shard_status>& all) {
    std::mutex lock;
    on_each_shard([&](relay::shard& shard) {
        relay::shard_status one = shard.status();
        const std::lock_guard hold(lock);
        all.push_back(one);
    });
    admin::daemon_facts facts;
    facts.version = EBBGATE_VERSION;
    facts.hostname = server_.hostname;
    facts.uptime_seconds =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                       std::chrono::steady_clock::now() - started_)
                                       .count());
    facts.policy_fingerprint = policy_->fingerprint();
    facts.policy_is_stale = policy_is_stale_;
    facts.policy_fault = policy_fault_;
    facts.policy_reloads = reloads_;
    facts.policy_reloads_refused = reloads_refused_;
    facts.tenants = policy_->tenants().size();
    facts.bans = bans_->ask([](bans::ban_keeper& keeper, std::int64_t) { return keeper.status(); });
    facts.durable_by = shared_->durable_by == stage_spool::durable_by::dsync ? "dsync" : "fsync";
    facts.log_blocks_dropped = events_->dropped_blocks() + text_->dropped_blocks();
    facts.log_bytes_unwritten = events_->unwritten_bytes() + text_->unwritten_bytes();
    for (const config::listener& listener : server_.listeners) {
        facts.listener_names.push_back(listener.name);
        facts.listener_kinds.emplace_back(config::name_of(listener.kind));
    }
    facts.ports = ports_;
    facts.http_port = http_ ? http_->port() : 0;
    facts.files = gather_files();
    return facts;
}

std::string daemon::release(std::string_view id_text) {
    const auto id = message::from_text(id_text);
    if (!id_text.empty() && !id) {
        return answer(false, "released", 0);
    }
    const auto count = std::make_shared<std::atomic<std::uint64_t>>(0);
    // What is not through in time goes on; the count is then of those that are.
    (void)ask_each_shard([&](relay::shard& shard, std::function<void()> done) {
        shard.queue().release(id, [count, done = std::move(done)](std::size_t released) {
            *count += released;
            done();
        });
    });
    return answer(true, "released", *count);
}

void daemon::add_commands() {
    commands_ = std::make_unique<admin::dispatcher>(overlay::token_check_of(*overlay_),
                                                    overlay::denial_note_of(*overlay_));
    audit_ = overlay::audit_of(*overlay_, [](const std::string& why) { note(why); });
    const auto operators = admin::permission::operators;
    commands_->add({"status", {}, operators, [this](const request&) { return status(); }, true});
    commands_->add({"reload",
                    {{"dry_run", argument_kind::flag, false}},
                    operators,
                    [this](const request& asked) {
                        if (asked.flag("dry_run")) {
                            return reload(reload_kind::dry_run);
                        }
                        reload_names();
                        return reload(reload_kind::told);
                    },
                    true});
    commands_->add({"release",
                    {{"id", argument_kind::text, false, 64}},
                    operators,
                    [this](const request& asked) { return release(asked.text("id")); },
                    true});
    commands_->add({"why",
                    {{"subject", argument_kind::text, true, 512}},
                    operators,
                    [this](const request& asked) { return why(asked); },
                    true});
    add_queue_commands();
    add_suspension_commands();
    add_ban_commands();
    overlay::policy_access access;
    access.in_force = [this] { return policy_; };
    access.file = [this] { return policy::load(server_.policy).value_or(nullptr); };
    access.is_crowded = [this] {
        free_retired();
        return retired_.size() > retired_max;
    };
    access.is_behind = [this] { return policy_is_stale_; };
    access.changed = [this]() -> std::optional<std::string> {
        (void)reload(reload_kind::overlay);
        return policy_is_stale_ ? std::optional(policy_fault_) : std::nullopt;
    };
    overlay::add_commands(*commands_, *overlay_, std::move(access));
    add_link_commands();
    add_suppression_commands();
    add_tls_commands();
}

void daemon::add_ban_commands() {
    const auto operators = admin::permission::operators;
    commands_->add({"ban",
                    {{"address", argument_kind::text, true, address_bytes_max},
                     {"seconds", argument_kind::number, false}},
                    operators,
                    [this](const request& asked) { return ban(asked); }});
    commands_->add({"unban",
                    {{"address", argument_kind::text, false, address_bytes_max},
                     {"all", argument_kind::flag, false}},
                    operators,
                    [this](const request& asked) { return unban(asked); }});
    commands_->add({"banned",
                    {{"address", argument_kind::text, false, address_bytes_max},
                     {"after", argument_kind::number, false}},
                    operators,
                    [this](const request& asked) { return banned(asked); }});
    for (const bool adds : {true, false}) {
        commands_->add({adds ? "ignore add" : "ignore remove",
                        {{"network", argument_kind::text, true, address_bytes_max}},
                        operators,
                        [this, adds](const request& asked) { return ignore(asked, adds); }});
    }
    commands_->add({"ignore list",
                    {{"after", argument_kind::number, false}},
                    operators,
                    [this](const request&) { return ignore_list(); }});
}

std::string daemon::ban(const admin::request& asked) {
    const auto subject = subject_of(asked.text("address"));
    if (!subject) {
        return not_an_address(asked.text("address"));
    }
    const std::int64_t seconds = asked.number("seconds");
    if (seconds < 0 || seconds > bans::settings::time_max.count()) {
        return admin::refusal(admin::refusal_reason::usage, "expected at most a hundred years");
    }
    const auto [outcome, is_durable] =
        bans_->ask([&](bans::ban_keeper& keeper, std::int64_t now_us) {
            const auto made = keeper.ban_by_hand(
                subject->network,
                subject->address,
                seconds == 0 ? std::nullopt : std::optional(std::chrono::seconds(seconds)),
                now_us);
            return std::pair(made, keeper.flush());
        });
    switch (outcome) {
    case bans::ban_outcome::banned:
    case bans::ban_outcome::changed:
        break;
    case bans::ban_outcome::white_listed:
        return admin::refusal(admin::refusal_reason::refused,
                              "it is on the white list (ignore) and is never banned");
    case bans::ban_outcome::holds_all_v4:
        return admin::refusal(admin::refusal_reason::refused, "the network holds all of IPv4");
    case bans::ban_outcome::full:
        return admin::refusal(admin::refusal_reason::failed, "there are as many bans as can be");
    }
    audit_.note(asked,
                {.subject = config::to_text(subject->network),
                 .after = seconds == 0 ? "" : fmt::format("{} s", seconds),
                 .result = "done"});
    return durable(true, is_durable);
}

std::string daemon::unban(const admin::request& asked) {
    const bool all = asked.flag("all");
    const auto subject = subject_of(asked.text("address"));
    if (!all && !subject) {
        return not_an_address(asked.text("address"));
    }
    const auto [lifted, is_durable] =
        bans_->ask([&](bans::ban_keeper& keeper, std::int64_t now_us) {
            const std::size_t count =
                all ? keeper.unban_all(now_us) : keeper.unban(subject->network, now_us);
            return std::pair(count, keeper.flush());
        });
    audit_.note(asked,
                {.subject = all ? "all" : config::to_text(subject->network),
                 .after = fmt::format("{} lifted", lifted),
                 .result = "done"});
    return durable(lifted > 0, is_durable);
}

std::string daemon::banned(const admin::request& asked) {
    std::vector<bans::ban> found;
    std::size_t count = 0;
    std::size_t next = 0; // Where the next page begins.
    if (const std::string_view text = asked.text("address"); !text.empty()) {
        const auto address = config::parse_ip_address(text);
        if (!address) {
            return not_an_address(text);
        }
        bans_->ask([&](bans::ban_keeper& keeper, std::int64_t) {
            if (const bans::ban* one = keeper.find(*address)) {
                found.push_back(*one);
            }
        });
        count = found.size();
    } else {
        const auto after =
            static_cast<std::size_t>(std::max<std::int64_t>(asked.number("after"), 0));
        bans_->ask([&](bans::ban_keeper& keeper, std::int64_t) {
            count = keeper.status().bans;
            if (after < count) {
                found = keeper.banned(after + banned_rows_max);
            }
        });
        found.erase(found.begin(),
                    found.begin() + static_cast<std::ptrdiff_t>(std::min(after, found.size())));
        next = after + found.size() < count ? after + found.size() : 0;
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("count").number(count).key("banned").begin_array();
    for (const bans::ban& one : found) {
        write_ban(out, one);
    }
    out.end_array().key("next").number(next).end_object();
    return text;
}

std::string daemon::ignore(const admin::request& asked, bool add) {
    const auto network = config::parse_ip_network(asked.text("network"));
    if (!network) {
        return not_an_address(asked.text("network"));
    }
    const auto& of_file = policy_->bans().ignore;
    if (!add && std::find(of_file.begin(), of_file.end(), *network) != of_file.end()) {
        return admin::refusal(admin::refusal_reason::refused,
                              "it stands in the policy's bans.ignore and stays in force");
    }
    const auto [done, is_durable] = bans_->ask([&](bans::ban_keeper& keeper, std::int64_t now_us) {
        const bool is_changed =
            add ? keeper.add_ignore(*network, now_us) : keeper.remove_ignore(*network, now_us);
        return std::pair(is_changed, keeper.flush());
    });
    audit_.note(
        asked,
        {.subject = config::to_text(*network), .result = done ? "done" : "nothing to change"});
    return durable(done, is_durable);
}

std::string daemon::ignore_list() {
    std::vector<config::ip_network> by_command;
    bans::settings settings;
    bans_->ask([&](bans::ban_keeper& keeper, std::int64_t) {
        by_command = keeper.run_time_ignore();
        settings = keeper.settings_in_force();
    });
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("ignore").begin_array();
    const auto list = [&out](const std::vector<config::ip_network>& networks,
                             std::string_view source) {
        for (const config::ip_network& one :
             std::span(networks).first(std::min(networks.size(), ignore_rows_max))) {
            out.begin_object().member("network", config::to_text(one));
            out.member("source", source).end_object();
        }
    };
    list(by_command, "command");
    list(settings.ignore, "file");
    list(settings.never, "relay_hosts");
    out.end_array();
    // All of them: of each source only the first ones are listed.
    out.key("count").number(by_command.size() + settings.ignore.size() + settings.never.size());
    out.end_object();
    return text;
}

} // namespace ebbgate::program
