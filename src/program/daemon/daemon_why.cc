// `why`: the rule that decides about a sender, an address or a message, and where it stands.

#include "codec/json/writer.h"
#include "program/daemon/daemon.h"
#include "relay/message_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

namespace ebbgate::program {

namespace {

constexpr std::size_t recipients_shown_max = 20;
constexpr std::size_t accounts_shown_max = 20;

std::int64_t seconds_of(limits::time_point at) {
    return std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
}

void write_place(json::writer& out, const policy::rule_place& place) {
    out.key("rule").begin_object();
    out.member("file",
               place.file.empty() ? std::string_view("(by command, or built in)")
                                  : std::string_view(place.file));
    out.member("pointer", place.pointer);
    out.member("text", place.text).end_object();
}

std::string_view reason_of(policy::sender_refusal refusal) {
    switch (refusal) {
    case policy::sender_refusal::none:
        return "authorised";
    case policy::sender_refusal::malformed:
        return "not an address that could be authorised";
    case policy::sender_refusal::null_sender:
        return "the null sender is not allowed here";
    case policy::sender_refusal::tenant:
        return "not among the tenant's authorized_senders";
    case policy::sender_refusal::account:
        return "not among the account's own authorized_senders";
    }
    return "";
}

constexpr bool counts_accounts(policy::rate_rule rule) noexcept {
    return rule == policy::rate_rule::messages_per_account ||
           rule == policy::rate_rule::recipients_per_account;
}

// A limit that counts, or that an account takes away, and where it stands.
struct limit_seen {
    policy::rate_rule rule = policy::rate_rule::messages_per_sender;
    std::string_view subject;
    limits::standing now;

    [[nodiscard]] bool is_used_up() const noexcept {
        return !now.rate.is_unlimited() && now.used >= now.rate.count;
    }
};

// Reads counters, takes nothing.
struct limit_reader {
    const policy::snapshot& policy;
    const limits::limiter& limiter;
    limits::time_point now;
    std::string sender; // As the counters know it.

    // What counts the sender whoever logs in; with an account what counts that one, and what it
    // says itself of its senders.
    [[nodiscard]] std::vector<limit_seen> read(const policy::tenant& tenant,
                                               const policy::account* account) const {
        const policy::limit_settings& settings =
            account == nullptr ? tenant.limits : policy.limits_of(*account);
        std::vector<limit_seen> seen;
        for (std::size_t index = 0; index < policy::rate_rules; ++index) {
            const auto rule = static_cast<policy::rate_rule>(index);
            const std::string_view subject = relay::subject_of(rule, tenant, account, sender);
            const bool is_own = settings.levels[index] == policy::setting_level::account;
            const bool is_counted = account == nullptr || is_own || counts_accounts(rule);
            if (subject.empty() || !is_counted ||
                (settings.rates[index].is_unlimited() && !is_own && !limiter.has_overrides())) {
                continue;
            }
            const limits::rule asked{policy::name_of(rule),
                                     policy::counts_recipients(rule) ? limits::unit::recipients
                                                                     : limits::unit::messages,
                                     settings.rates[index]};
            const limit_seen one{rule, subject, limiter.read(asked, subject, now)};
            const bool is_taken_away = is_own && !tenant.limits.rates[index].is_unlimited();
            if (!one.now.rate.is_unlimited() || is_taken_away) {
                seen.push_back(one);
            }
        }
        return seen;
    }

    void write(json::writer& out, const policy::tenant& tenant, const policy::account* account) {
        out.key("limits").begin_array();
        for (const limit_seen& one : read(tenant, account)) {
            out.begin_object().member("limit", policy::name_of(one.rule));
            out.member("subject", one.subject).member("rate", config::to_text(one.now.rate));
            out.key("used").number(one.now.used);
            out.member("used_up", one.is_used_up());
            if (one.now.ends) {
                out.key("frees").number(seconds_of(*one.now.ends));
            }
            if (one.now.raised_until) {
                out.member("by_command", true);
            } else {
                const auto key = static_cast<policy::limit_key>(one.rule);
                write_place(out, policy.place_of_limit(tenant, account, key));
            }
            out.end_object();
        }
        out.end_array();
    }
};

// Those that may use the sender and have a limit; first those that have reached one.
std::vector<const policy::account*> limited_accounts(const limit_reader& limits,
                                                     const policy::tenant& tenant,
                                                     std::string_view sender) {
    std::vector<const policy::account*> reached;
    std::vector<const policy::account*> others;
    for (const policy::account& account : tenant.accounts) {
        // Without a list of its own it may what the tenant may.
        if (account.senders_owner != policy::no_index &&
            !limits.policy.may_send(account, sender).allowed) {
            continue;
        }
        const std::vector<limit_seen> seen = limits.read(tenant, &account);
        if (!seen.empty()) {
            const bool is_reached = std::any_of(
                seen.begin(), seen.end(), [](const limit_seen& one) { return one.is_used_up(); });
            (is_reached ? reached : others).push_back(&account);
        }
    }
    reached.insert(reached.end(), others.begin(), others.end());
    return reached;
}

std::string_view reason_of(const relay::recipient_standing& standing, const policy::route* route) {
    if (standing.is_tried_now) {
        return "is being tried now";
    }
    if (!standing.is_held) {
        return "waits for delivery";
    }
    if (route == nullptr) {
        return "held: no route matches";
    }
    return route->relay == policy::relay_kind::hold ? "held by its route until it is released"
                                                    : "held until it is released";
}

void write_recipient(json::writer& out,
                     const policy::snapshot& policy,
                     std::string_view address,
                     const relay::recipient_standing& standing) {
    const std::string domain = relay::domain_of(address);
    const policy::route* route = policy.route_for(domain);
    if (!standing.is_held && route != nullptr && route->relay == policy::relay_kind::hold) {
        route = policy.route_past_hold_for(domain); // It was released.
    }
    out.begin_object().member("recipient", address);
    out.member("why", reason_of(standing, route));
    if (!standing.destination.empty()) {
        out.member("destination", standing.destination);
    }
    out.key("attempts").number(standing.attempts);
    if (standing.next_unix_ms != 0) {
        out.key("next_try").number(standing.next_unix_ms / 1000);
    }
    if (!standing.last_reply.empty()) {
        out.member("last_reply", standing.last_reply);
    }
    if (!standing.lane.empty()) {
        out.member("lane", standing.lane);
        if (standing.lane_until_unix_s != 0) {
            out.member("lane_until", standing.lane_until_unix_s);
        }
    }
    if (!standing.destination_fault.empty()) {
        out.member("destination_fault", standing.destination_fault);
    }
    if (route != nullptr) {
        write_place(out,
                    {policy.files().front(),
                     fmt::format("/routes/{}", route - policy.routes().data()),
                     route->match});
    }
    out.end_object();
}

} // namespace

std::string daemon::why(const admin::request& asked) {
    const std::string_view subject = asked.text("subject");
    if (const auto address = config::parse_ip_address(subject)) {
        return why_address(*address);
    }
    if (subject.find('@') != std::string_view::npos) {
        return why_sender(subject);
    }
    if (const auto id = message::from_text(subject)) {
        return why_message(*id);
    }
    return admin::refusal(admin::refusal_reason::usage,
                          "expected a sender, an IP address or a message's id");
}

std::string daemon::why_address(const config::ip_address& address) {
    std::optional<bans::ban> found;
    bans::strike_count counted;
    bans::settings settings;
    std::vector<config::ip_network> by_command;
    bans_->ask([&](bans::ban_keeper& keeper, std::int64_t now_us) {
        if (const bans::ban* one = keeper.find(address)) {
            found = *one;
        }
        counted = keeper.strikes_of(address, now_us);
        settings = keeper.settings_in_force();
        by_command = keeper.run_time_ignore();
    });
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).member("address", config::to_text(address));
    out.member("banned", found.has_value());
    const std::string& file = policy_->files().front();
    const policy::rule_place rule{file,
                                  "/bans/max_retry",
                                  fmt::format("{} strikes within {}",
                                              settings.max_retry,
                                              config::period_text(settings.find_time))};
    if (found) {
        out.member("cause", bans::to_text(found->cause));
        out.key("since").number(found->since_us / 1'000'000);
        if (found->until_us != bans::never_ends) {
            out.key("frees").number(found->until_us / 1'000'000);
        }
        out.key("times").number(found->count);
        write_place(out,
                    found->cause == bans::strike_cause::manual
                        ? policy::rule_place{"", "", "banned by command"}
                        : rule);
    } else {
        out.key("strikes").number(counted.strikes);
        if (counted.strikes > 0) {
            out.key("frees").number(counted.frees_us / 1'000'000);
            write_place(out, rule);
        }
    }
    const auto listed = [&](const std::vector<config::ip_network>& networks,
                            std::string_view where) {
        for (const config::ip_network& one : networks) {
            if (one.holds(address)) {
                out.member("white_listed", fmt::format("{} ({})", config::to_text(one), where));
                return true;
            }
        }
        return false;
    };
    (void)(listed(by_command, "by command") || listed(settings.ignore, "/bans/ignore") ||
           listed(settings.never, "relay_hosts"));
    if (const policy::tenant* tenant = policy_->tenant_for_address(address)) {
        out.member("tenant", tenant->name);
    }
    out.end_object();
    return text;
}

std::string daemon::why_sender(std::string_view sender) {
    policy::sender_text parsed;
    const bool valid = parsed.set_address(sender);
    const policy::tenant* tenant = valid ? policy_->tenant_of_domain(parsed.domain()) : nullptr;
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).member("sender", sender);
    if (tenant == nullptr) {
        out.member("allowed", false);
        out.member("why", valid ? "no tenant has this domain" : "not an address").end_object();
        return text;
    }
    const policy::sender_verdict verdict = policy_->may_send(*tenant, sender);
    out.member("tenant", tenant->name).member("allowed", verdict.allowed);
    out.member("why", reason_of(verdict.refusal));
    write_place(out,
                verdict.rule == policy::no_index ? policy_->place_of(*tenant)
                                                 : policy_->place_of_sender(verdict.rule));
    limit_reader limits{*policy_, *limiter_, limit_clock_.now(), relay::sender_subject(sender)};
    limits.write(out, *tenant, nullptr);
    const std::vector<const policy::account*> accounts =
        verdict.allowed ? limited_accounts(limits, *tenant, sender)
                        : std::vector<const policy::account*>();
    const std::size_t shown = std::min(accounts.size(), accounts_shown_max);
    out.key("accounts").begin_array();
    for (std::size_t index = 0; index < shown; ++index) {
        out.begin_object().member("account", accounts[index]->login);
        limits.write(out, *tenant, accounts[index]);
        out.end_object();
    }
    out.end_array().key("more_accounts").number(accounts.size() - shown).end_object();
    return text;
}

std::string daemon::why_message(std::uint64_t id) {
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true);
    const std::string refused = write_message(out, id, recipients_shown_max, false);
    if (!refused.empty()) {
        return refused;
    }
    out.end_object();
    return text;
}

std::string daemon::write_message(json::writer& out,
                                  std::uint64_t id,
                                  std::size_t recipients_max,
                                  bool is_whole) {
    struct found_message {
        message::envelope envelope;
        std::vector<relay::recipient_standing> standing;
        std::uint64_t bytes = 0;
    };

    struct search {
        std::mutex lock;
        std::optional<found_message> found;
    };

    const auto searched = std::make_shared<search>();
    const bool is_done = ask_each_shard([&](relay::shard& shard, std::function<void()> done) {
        shard.queue().messages().with(id,
                                      [searched, &shard, recipients_max, done = std::move(done)](
                                          const relay::queued_message* one, auto) {
                                          if (one != nullptr) {
                                              const std::lock_guard hold(searched->lock);
                                              searched->found.emplace(
                                                  one->envelope,
                                                  shard.queue().standing_of(*one, recipients_max),
                                                  one->bytes());
                                          }
                                          done();
                                      });
    });
    const std::lock_guard hold(searched->lock);
    const std::optional<found_message>& found = searched->found;
    if (!found && !is_done) {
        return admin::refusal(admin::refusal_reason::failed, "the spool does not answer in time");
    }
    if (!found) {
        return admin::refusal(admin::refusal_reason::not_found,
                              "no message with this id waits here; events.jsonl tells of those "
                              "that have ended");
    }
    const message::envelope& envelope = found->envelope;
    out.member("id", message::to_text(id));
    out.member("sender", envelope.sender).member("tenant", envelope.tenant);
    out.member("account", envelope.account);
    out.member("received", envelope.received_unix_ms / 1000);
    if (is_whole) {
        out.member("bytes", found->bytes).member("client", envelope.client_address);
        out.member("helo", envelope.client_helo);
        if (!envelope.envelope_id.empty()) {
            out.member("envelope_id", envelope.envelope_id);
        }
        out.member("recipients_total", envelope.recipients.size());
    }
    out.key("recipients").begin_array();
    for (const relay::recipient_standing& one : found->standing) {
        write_recipient(out, *policy_, envelope.recipients[one.recipient].address, one);
    }
    out.end_array();
    return {};
}

} // namespace ebbgate::program
