#include "config/password_hash.h"
#include "stage/policy/builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::policy {

// Each merge_ returns why the entry is left out, or nothing. Entries come in the order in which
// they were made, so a later one finds what an earlier one did.

void snapshot_builder::merge(const overlay& changes) {
    constexpr std::size_t notes_max = 1000;
    const auto note = [this](std::string what, const std::string& why) {
        if (!why.empty() && notes_.size() < notes_max) {
            what += ": left out, " + why;
            // They go to a log: an entry may hold anything, a line end for instance.
            std::replace_if(
                what.begin(),
                what.end(),
                [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; },
                '?');
            notes_.push_back(std::move(what));
        }
    };
    for (const overlay_account& change : changes.accounts) {
        note(fmt::format("account \"{}\" of tenant \"{}\"", change.login, change.tenant),
             merge_account(change));
    }
    drop_removed_accounts();
    for (const overlay_sender& change : changes.senders) {
        note(fmt::format("sender \"{}\" of tenant \"{}\"", change.pattern, change.tenant),
             merge_sender(change));
    }
    for (const overlay_limit& change : changes.limits) {
        note(fmt::format("{} of \"{}\"", change.rule, change.subject), merge_limit(change));
    }
}

std::string snapshot_builder::merge_account(const overlay_account& change) {
    const tenant* named = built_->find_tenant(change.tenant);
    if (named == nullptr) {
        return "there is no such tenant";
    }
    auto& logins = built_->accounts_by_login_;
    const auto found = logins.find(change.login);
    if (found != logins.end() && found->second.tenant != named->index) {
        return "the login is another tenant's";
    }
    if (change.removed) {
        if (found == logins.end()) {
            return "there is no such account to take away";
        }
        removed_.emplace(named->index, found->second.account);
        logins.erase(found);
        --accounts_;
        return "";
    }
    if (!is_login(change.login)) {
        return fmt::format("expected a login of 1 to {} bytes without control characters",
                           login_bytes_max);
    }
    if (!config::is_password_hash(change.password_hash)) {
        return "expected a crypt(3) hash"; // Never shown.
    }
    std::vector<account>& accounts = built_->tenants_[named->index].accounts;
    if (found != logins.end()) {
        accounts[found->second.account].password_hash = change.password_hash;
        return "";
    }
    if (++accounts_ > accounts_max) {
        --accounts_;
        return fmt::format("there are {} accounts already", accounts_max);
    }
    const auto place = static_cast<std::uint32_t>(accounts.size());
    account made;
    made.login = change.login;
    made.password_hash = change.password_hash;
    made.tenant = named->index;
    made.position = no_index;
    accounts.push_back(std::move(made));
    logins.emplace(change.login, snapshot::account_place{named->index, place});
    return "";
}

void snapshot_builder::drop_removed_accounts() {
    // The accounts behind a removed one move up; their places are written anew.
    for (auto at = removed_.begin(); at != removed_.end();) {
        const std::uint32_t tenant = at->first;
        std::vector<account>& accounts = built_->tenants_[tenant].accounts;
        std::vector<account> kept;
        kept.reserve(accounts.size());
        for (std::uint32_t place = 0; place < accounts.size(); ++place) {
            if (at != removed_.end() && *at == std::pair(tenant, place)) {
                ++at;
                continue;
            }
            built_->accounts_by_login_.find(accounts[place].login)->second.account =
                static_cast<std::uint32_t>(kept.size());
            kept.push_back(std::move(accounts[place]));
        }
        accounts = std::move(kept);
    }
    removed_.clear();
}

std::string snapshot_builder::merge_sender(const overlay_sender& change) {
    const tenant* named = built_->find_tenant(change.tenant);
    if (named == nullptr) {
        return "there is no such tenant";
    }
    sender_text sender;
    if (const std::string_view expected = sender.set_pattern(change.pattern); !expected.empty()) {
        return fmt::format("expected {}", expected);
    }
    if (change.removed) {
        return built_->senders_.remove(named->index, sender.text())
                   ? ""
                   : "there is no such sender to take away";
    }
    if (!covers(named->index, sender.domain())) {
        return fmt::format("\"{}\" is not in the tenant's domains", sender.domain());
    }
    if (built_->senders_.entries().size() >= senders_max) {
        return fmt::format("there are {} senders already", senders_max);
    }
    return built_->senders_.add(named->index, sender.text(), sender_table::by_command)
               ? ""
               : "the policy file has it";
}

std::string snapshot_builder::merge_limit(const overlay_limit& change) {
    auto made = built_->judge_override(change);
    if (!made) {
        return std::move(made.error());
    }
    overrides_.push_back(std::move(*made));
    return "";
}

std::expected<rate_override, std::string>
snapshot::judge_override(const overlay_limit& given) const {
    const auto rule = rate_rule_named(given.rule);
    if (!rule) {
        return std::unexpected("there is no such rule");
    }
    const auto rate = config::parse_rate(given.rate);
    if (!rate) {
        return std::unexpected(
            fmt::format("expected a rate such as \"500/day\", found \"{}\"", given.rate));
    }
    rate_override made{*rule, given.subject, *rate, given.expires_unix_s};
    switch (*rule) {
    case rate_rule::messages_per_sender:
    case rate_rule::recipients_per_sender: {
        sender_text sender;
        if (!sender.set_address(made.subject) || tenant_of_domain(sender.domain()) == nullptr) {
            return std::unexpected("the sender is in no tenant's domains");
        }
        made.subject = sender.text();
        break;
    }
    case rate_rule::messages_per_account:
    case rate_rule::recipients_per_account:
        if (find_account(made.subject) == nullptr) {
            return std::unexpected("there is no such account");
        }
        break;
    case rate_rule::messages_per_tenant:
    case rate_rule::recipients_per_tenant:
        if (find_tenant(made.subject) == nullptr) {
            return std::unexpected("there is no such tenant");
        }
        break;
    }
    return made;
}

} // namespace ebbgate::policy
