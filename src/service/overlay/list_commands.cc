// The commands that only show: what is in force, and what the overlay holds.

#include "service/admin/arguments.h"
#include "service/admin/command_group.h"
#include "service/overlay/commands.h"

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

namespace ebbgate::overlay {

namespace {

using admin::after_argument;
using admin::argument;
using admin::argument_kind;
using admin::optional_tenant;
using admin::permission;
using admin::refusal;
using admin::refusal_reason;
using admin::request;
using admin::rows_argument;

constexpr argument changes_argument{"changes", argument_kind::flag, false};

std::int64_t rows_of(const request& asked) {
    return admin::rows_of(asked, page_rows_max);
}

std::string failed(const failure& fault) {
    return refusal(refusal_reason::failed, fault.detail);
}

class list_handlers {
public:
    list_handlers(overlay_store& store, std::function<policy::snapshot_pointer()> in_force)
        : store_(store), in_force_(std::move(in_force)) {}

    std::string list_accounts(const request& asked);
    std::string list_senders(const request& asked);
    std::string list_tokens(const request& asked);
    std::string list_limits(const request& asked);
    std::string list_audit(const request& asked);
    std::string show(const request& asked);

private:
    // Each returns where the next page begins; 0: there is none.
    [[nodiscard]] std::int64_t write_senders(json::writer& out, const request& asked) const;
    [[nodiscard]] std::int64_t write_accounts(json::writer& out, const request& asked) const;

    overlay_store& store_;
    std::function<policy::snapshot_pointer()> in_force_;
};

// `after` counts the accounts before, in the order of the policy.
std::int64_t list_handlers::write_accounts(json::writer& out, const request& asked) const {
    const policy::snapshot_pointer now = in_force_();
    const std::string_view tenant = asked.text("tenant");
    std::int64_t passed = 0;
    std::int64_t left = rows_of(asked);
    for (const policy::tenant& one : now->tenants()) {
        if (!tenant.empty() && one.name != tenant) {
            continue;
        }
        const auto count = static_cast<std::int64_t>(one.accounts.size());
        const auto skip = std::clamp<std::int64_t>(asked.number("after") - passed, 0, count);
        for (std::int64_t index = skip; index < count; ++index) {
            if (left-- == 0) {
                return passed + index;
            }
            const policy::account& account = one.accounts[static_cast<std::size_t>(index)];
            out.begin_object().member("login", account.login).member("tenant", one.name);
            out.member("source",
                       std::string_view(account.position == policy::no_index ? "command" : "file"));
            out.end_object();
        }
        passed += count;
    }
    return 0;
}

std::string list_handlers::list_accounts(const request& asked) {
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true).key("accounts").begin_array();
    const policy::snapshot_pointer now = in_force_();
    const std::string_view tenant = asked.text("tenant");
    std::int64_t next = 0;
    if (asked.flag("changes")) {
        const auto read = store_.accounts(tenant, asked.number("after"), rows_of(asked));
        if (!read) {
            return failed(read.error());
        }
        for (const policy::overlay_account& row : read->rows) {
            const policy::account* found = now->find_account(row.login);
            const bool there = found != nullptr && now->tenant_of(*found).name == row.tenant;
            out.begin_object().member("login", row.login).member("tenant", row.tenant);
            out.member("change", row.removed ? "removed" : "added");
            out.member("in_force", there != row.removed).end_object();
        }
        next = read->next;
    } else {
        next = write_accounts(out, asked);
    }
    out.end_array().member("next", next).end_object();
    return text;
}

// `after` is a place in the snapshot's table, where a tenant's stand together and those by command
// at the end.
std::int64_t list_handlers::write_senders(json::writer& out, const request& asked) const {
    const policy::snapshot_pointer now = in_force_();
    const std::string_view name = asked.text("tenant");
    const policy::tenant* only = name.empty() ? nullptr : now->find_tenant(name);
    if (!name.empty() && only == nullptr) {
        return 0;
    }
    const auto& entries = now->senders().entries();
    std::int64_t left = rows_of(asked);
    for (auto at = static_cast<std::size_t>(asked.number("after")); at < entries.size(); ++at) {
        const policy::sender_table::entry& one = entries[at];
        if (one.owner >= now->tenants().size() || (only != nullptr && one.owner != only->index)) {
            continue;
        }
        if (left-- == 0) {
            return static_cast<std::int64_t>(at);
        }
        out.begin_object().member("pattern", now->senders().text_of(one));
        out.member("tenant", now->tenants()[one.owner].name);
        out.member("source",
                   std::string_view(one.position == policy::sender_table::by_command ? "command"
                                                                                     : "file"));
        out.end_object();
    }
    return 0;
}

std::string list_handlers::list_senders(const request& asked) {
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true).key("senders").begin_array();
    std::int64_t next = 0;
    if (asked.flag("changes")) {
        const auto read =
            store_.senders(asked.text("tenant"), asked.number("after"), rows_of(asked));
        if (!read) {
            return failed(read.error());
        }
        for (const policy::overlay_sender& row : read->rows) {
            out.begin_object().member("pattern", row.pattern).member("tenant", row.tenant);
            out.member("change", row.removed ? "removed" : "added").end_object();
        }
        next = read->next;
    } else {
        next = write_senders(out, asked);
    }
    out.end_array().member("next", next).end_object();
    return text;
}

std::string list_handlers::list_tokens(const request& asked) {
    const auto read = store_.tokens(asked.text("tenant"), asked.number("after"), rows_of(asked));
    if (!read) {
        return failed(read.error());
    }
    const std::int64_t now = std::time(nullptr);
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true).key("tokens").begin_array();
    for (const token& row : read->rows) {
        out.begin_object().member("label", row.label).member("tenant", row.tenant);
        out.member("rights", row.rights);
        out.member("created", row.created_unix_s).member("expires", row.expires_unix_s);
        out.member("expired", row.expires_unix_s != 0 && row.expires_unix_s <= now).end_object();
    }
    out.end_array().member("next", read->next).end_object();
    return text;
}

std::string list_handlers::list_limits(const request& asked) {
    const auto read = store_.limits(asked.number("after"), rows_of(asked));
    if (!read) {
        return failed(read.error());
    }
    const std::int64_t now = std::time(nullptr);
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true).key("limits").begin_array();
    for (const policy::overlay_limit& row : read->rows) {
        out.begin_object().member("rule", row.rule).member("subject", row.subject);
        out.member("rate", row.rate).member("expires", row.expires_unix_s);
        out.member("expired", row.expires_unix_s != 0 && row.expires_unix_s <= now).end_object();
    }
    out.end_array().member("next", read->next).end_object();
    return text;
}

std::string list_handlers::list_audit(const request& asked) {
    const auto read = store_.audit(asked.text("tenant"), asked.number("after"), rows_of(asked));
    if (!read) {
        return failed(read.error());
    }
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true).key("audit").begin_array();
    for (const audit_row& row : read->rows) {
        out.begin_object().member("id", row.id).member("time_ms", row.unix_ms);
        out.member("by", row.who.token_label.empty() ? "operator" : "token");
        out.member("uid", row.who.uid).member("token", row.who.token_label);
        out.member("token_tenant", row.who.token_tenant);
        out.member("command", row.what).member("tenant", row.tenant);
        out.member("subject", row.subject).member("before", row.before);
        out.member("after", row.after).member("result", row.result).end_object();
    }
    out.end_array().member("next", read->next).end_object();
    return text;
}

std::string list_handlers::show(const request& asked) {
    const policy::snapshot_pointer now = in_force_();
    const std::string_view tenant = asked.text("tenant");
    if (!tenant.empty() && now->find_tenant(tenant) == nullptr) {
        return refusal(refusal_reason::not_found, "no such tenant");
    }
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true);
    show_policy(out, *now, tenant, asked.number("after"), rows_of(asked));
    out.end_object();
    return text;
}

} // namespace

void add_list_commands(admin::dispatcher& to,
                       overlay_store& store,
                       std::function<policy::snapshot_pointer()> in_force) {
    admin::command_group group(
        to, permission::operators, std::make_shared<list_handlers>(store, std::move(in_force)));
    group.add("account list",
              &list_handlers::list_accounts,
              {optional_tenant, changes_argument, after_argument, rows_argument});
    group.add("sender list",
              &list_handlers::list_senders,
              {optional_tenant, changes_argument, after_argument, rows_argument},
              permission::tenants);
    group.add("token list",
              &list_handlers::list_tokens,
              {optional_tenant, after_argument, rows_argument});
    group.add("limit list", &list_handlers::list_limits, {after_argument, rows_argument});
    group.add(
        "audit", &list_handlers::list_audit, {optional_tenant, after_argument, rows_argument});
    group.add(
        "policy show", &list_handlers::show, {optional_tenant, after_argument, rows_argument});
}

} // namespace ebbgate::overlay
