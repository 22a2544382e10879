#include "stage/policy/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace ebbgate::policy {

namespace {

// Counts all, names the first few.
class name_list {
public:
    void add(std::string_view name) {
        if (count_++ < difference_names_max) {
            shown_ += fmt::format("{}\"{}\"", shown_.empty() ? "" : ", ", name);
        }
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }

    [[nodiscard]] std::string text(std::string_view what) const {
        return fmt::format(
            "{} {} ({}{})", count_, what, shown_, count_ > difference_names_max ? ", ..." : "");
    }

private:
    std::string shown_;
    std::size_t count_ = 0;
};

class comparison {
public:
    comparison(const snapshot& before, const snapshot& after) : before_(before), after_(after) {}

    std::vector<std::string> run();

private:
    void tell(std::string line);
    void tell_lists(std::string_view of,
                    std::string_view what,
                    const name_list& added,
                    const name_list& removed,
                    const name_list& changed);
    void compare_settings();
    void compare_routes();
    void compare_tenants();
    void compare_tenant(const tenant& before, const tenant& after);
    void compare_accounts(std::string_view of, const tenant& before, const tenant& after);
    void compare_senders(std::string_view of, const tenant& before, const tenant& after);
    void gather_senders();
    [[nodiscard]] bool same_account(const account& before, const account& after) const;

    const snapshot& before_;
    const snapshot& after_;
    std::vector<std::string> lines_;
    std::size_t untold_ = 0;
    // By the tenant's index.
    std::vector<name_list> senders_added_;
    std::vector<name_list> senders_removed_;
};

void comparison::tell(std::string line) {
    if (lines_.size() < difference_lines_max) {
        lines_.push_back(std::move(line));
    } else {
        ++untold_;
    }
}

void comparison::tell_lists(std::string_view of,
                            std::string_view what,
                            const name_list& added,
                            const name_list& removed,
                            const name_list& changed) {
    std::vector<std::string> parts;
    if (added.count() > 0) {
        parts.push_back(added.text("added"));
    }
    if (removed.count() > 0) {
        parts.push_back(removed.text("removed"));
    }
    if (changed.count() > 0) {
        parts.push_back(changed.text("changed"));
    }
    if (!parts.empty()) {
        tell(fmt::format("{}{}: {}", of, what, fmt::join(parts, ", ")));
    }
}

bool same_settings(const limit_settings& left, const limit_settings& right) {
    return left.upload_bytes == right.upload_bytes && left.message_bytes == right.message_bytes &&
           left.recipients_per_message == right.recipients_per_message &&
           left.connections == right.connections && left.rates == right.rates &&
           *left.reply == *right.reply;
}

template <typename settings>
bool same_content(const std::shared_ptr<const settings>& left,
                  const std::shared_ptr<const settings>& right) {
    return left == right || (left && right && *left == *right);
}

bool same_route(const route& left, const route& right) {
    // The destination names relay, host, port, tls and source.
    return left.match == right.match && left.destination == right.destination;
}

std::vector<std::string> comparison::run() {
    compare_settings();
    compare_routes();
    gather_senders();
    compare_tenants();
    if (untold_ > 0) {
        lines_.push_back(fmt::format("and {} more", untold_));
    }
    return std::move(lines_);
}

void comparison::compare_settings() {
    const auto change = [this](std::string_view name, const auto& before, const auto& after) {
        if (before != after) {
            tell(fmt::format("{} changed", name));
        }
    };
    const delivery_settings& old = before_.delivery();
    const delivery_settings& now = after_.delivery();
    change("delivery/retry/first", old.retry.first, now.retry.first);
    change("delivery/retry/factor", old.retry.factor, now.retry.factor);
    change("delivery/retry/max", old.retry.max, now.retry.max);
    change("delivery/retry/max_age", old.retry.max_age, now.retry.max_age);
    change("delivery/connections_per_destination",
           old.connections_per_destination,
           now.connections_per_destination);
    change("delivery/messages_per_connection",
           old.messages_per_connection,
           now.messages_per_connection);
    change("delivery/idle_timeout", old.idle_timeout, now.idle_timeout);
    change("delivery/retry/delay_notice", old.retry.delay_notice, now.retry.delay_notice);
    change("delivery/bounce_rules", old.bounce_rules, now.bounce_rules);
    change("delivery/mx_port", old.mx_port, now.mx_port);
    change("delivery/max_connections", old.connections_max, now.connections_max);
    change("delivery/max_message_rate", old.message_rate, now.message_rate);
    change("delivery/max_connection_rate", old.connection_rate, now.connection_rate);
    change("delivery/shaping", old.shaping, now.shaping);
    change("delivery/timeouts", old.timeouts, now.timeouts);
    change("delivery/chunking", old.chunking, now.chunking);
    change("delivery/eight_bit", old.eight_bit, now.eight_bit);
    const ban_settings& bans = before_.bans();
    const ban_settings& bans_now = after_.bans();
    change("bans/max_retry", bans.max_retry, bans_now.max_retry);
    change("bans/find_time", bans.find_time, bans_now.find_time);
    change("bans/ban_time", bans.ban_time, bans_now.ban_time);
    change("bans/ban_time_max", bans.ban_time_max, bans_now.ban_time_max);
    change("bans/ban_time_increment", bans.ban_time_increment, bans_now.ban_time_increment);
    change("bans/ignore", bans.ignore, bans_now.ignore);
    change("bans/log", bans.log, bans_now.log);
}

void comparison::compare_routes() {
    // A match stands once in each list.
    std::unordered_map<std::string_view, const route*> old;
    for (const route& one : before_.routes()) {
        old.emplace(one.match, &one);
    }
    name_list added;
    name_list removed;
    name_list changed;
    std::vector<const route*> kept;
    for (const route& one : after_.routes()) {
        const auto found = old.find(one.match);
        if (found == old.end()) {
            added.add(one.match);
            continue;
        }
        if (!same_route(*found->second, one)) {
            changed.add(one.match);
        }
        kept.push_back(found->second);
        found->second = nullptr;
    }
    for (const route& one : before_.routes()) {
        if (old.find(one.match)->second != nullptr) {
            removed.add(one.match);
        }
    }
    tell_lists("", "routes", added, removed, changed);
    if (!std::is_sorted(kept.begin(), kept.end())) {
        tell("routes: the order changed");
    }
}

// One pass over each table, whatever the number of tenants.
void comparison::gather_senders() {
    senders_added_.resize(after_.tenants().size());
    senders_removed_.resize(before_.tenants().size());
    const auto gather = [](const snapshot& in, const snapshot& other, auto& lists) {
        std::vector<const tenant*> same;
        for (const tenant& one : in.tenants()) {
            same.push_back(other.find_tenant(one.name));
        }
        for (const sender_table::entry& entry : in.senders().entries()) {
            if (entry.owner >= same.size() || same[entry.owner] == nullptr) {
                continue; // Removed, of an account, or of a tenant that is new or gone.
            }
            const std::string_view text = in.senders().text_of(entry);
            if (other.senders().find(same[entry.owner]->index, text) == sender_table::none) {
                lists[entry.owner].add(text);
            }
        }
    };
    gather(after_, before_, senders_added_);
    gather(before_, after_, senders_removed_);
}

void comparison::compare_tenants() {
    name_list added;
    name_list removed;
    for (const tenant& now : after_.tenants()) {
        if (before_.find_tenant(now.name) == nullptr) {
            added.add(now.name);
        }
    }
    for (const tenant& old : before_.tenants()) {
        if (after_.find_tenant(old.name) == nullptr) {
            removed.add(old.name);
        }
    }
    tell_lists("", "tenants", added, removed, {});
    for (const tenant& now : after_.tenants()) {
        if (const tenant* old = before_.find_tenant(now.name)) {
            compare_tenant(*old, now);
        }
    }
}

void comparison::compare_tenant(const tenant& before, const tenant& after) {
    const std::string of = fmt::format("tenant \"{}\": ", after.name);
    const auto change = [&](std::string_view name, bool same) {
        if (!same) {
            tell(fmt::format("{}{} changed", of, name));
        }
    };
    change("company", before.company == after.company);
    change("hostname", before.hostname == after.hostname);
    change("tls", before.tls == after.tls);
    change("domains", before.domains == after.domains);
    change("relay_hosts", before.relay_hosts == after.relay_hosts);
    change("null_sender", before.null_sender == after.null_sender);
    change("egress", before.egress == after.egress);
    change("class", before.mail_class == after.mail_class);
    change("suppression", before.suppression_keep == after.suppression_keep);
    change("check_header_from", before.check_header_from == after.check_header_from);
    change("limits", same_settings(before.limits, after.limits));
    change("attachments", same_content(before.attachments, after.attachments));
    change("filelink", same_content(before.filelink, after.filelink));
    change("dkim", before.dkim == after.dkim);
    change("unsigned", before.unsigned_mail == after.unsigned_mail);
    compare_accounts(of, before, after);
    tell_lists(of, "senders", senders_added_[after.index], senders_removed_[before.index], {});
}

bool comparison::same_account(const account& before, const account& after) const {
    const bool narrowed = before.senders_owner != no_index;
    // Without limits of its own, the line of the tenant says it.
    const bool own_limits = before.own_limits != no_index || after.own_limits != no_index;
    return before.password_hash == after.password_hash && before.null_sender == after.null_sender &&
           narrowed == (after.senders_owner != no_index) &&
           (!own_limits || same_settings(before_.limits_of(before), after_.limits_of(after))) &&
           (!narrowed || before_.own_senders_of(before) == after_.own_senders_of(after));
}

void comparison::compare_accounts(std::string_view of, const tenant& before, const tenant& after) {
    name_list added;
    name_list removed;
    name_list changed;
    const auto same_tenant = [](const snapshot& in, const account* found, const tenant& tenant) {
        return found != nullptr && in.tenant_of(*found).index == tenant.index;
    };
    for (const account& now : after.accounts) {
        const account* old = before_.find_account(now.login);
        if (!same_tenant(before_, old, before)) {
            added.add(now.login);
        } else if (!same_account(*old, now)) {
            changed.add(now.login);
        }
    }
    for (const account& old : before.accounts) {
        if (!same_tenant(after_, after_.find_account(old.login), after)) {
            removed.add(old.login);
        }
    }
    tell_lists(of, "accounts", added, removed, changed);
}

} // namespace

std::vector<std::string> diff(const snapshot& before, const snapshot& after) {
    return comparison(before, after).run();
}

} // namespace ebbgate::policy
