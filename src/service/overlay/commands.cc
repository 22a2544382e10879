#include "service/overlay/commands.h"

#include "crypto/token.h"
#include "service/admin/arguments.h"
#include "service/admin/command_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

namespace ebbgate::overlay {

namespace {

using admin::argument;
using admin::argument_kind;
using admin::optional_tenant;
using admin::permission;
using admin::refusal;
using admin::refusal_reason;
using admin::request;
using admin::tenant_argument;

constexpr argument login_argument{"login", argument_kind::text, true, 255};
constexpr argument hash_argument{"hash", argument_kind::text, true, 384};
constexpr argument pattern_argument{"pattern", argument_kind::text, true, 320};
constexpr argument rule_argument{"rule", argument_kind::text, true, 64};
constexpr argument subject_argument{"subject", argument_kind::text, true, 320};

std::string failed(const failure& fault) {
    return refusal(refusal_reason::failed, fault.detail);
}

// The pattern as it is compared, or why the tenant may not have it.
std::expected<std::string, std::string>
judge_sender(const policy::snapshot& now, const policy::tenant& tenant, std::string_view pattern) {
    policy::sender_text text;
    if (const std::string_view expected = text.set_pattern(pattern); !expected.empty()) {
        return std::unexpected(fmt::format("expected {}", expected));
    }
    if (now.tenant_of_domain(text.domain()) != &tenant) {
        return std::unexpected(
            fmt::format("{} is not among the domains of {}", text.domain(), tenant.name));
    }
    return std::string(text.text());
}

class handlers {
public:
    handlers(overlay_store& store, policy_access access)
        : store_(store), access_(std::move(access)) {}

    std::string add_account(const request& asked);
    std::string change_password(const request& asked);
    std::string import_accounts(const request& asked);
    std::string remove_account(const request& asked);
    std::string add_sender(const request& asked);
    std::string remove_sender(const request& asked);
    std::string add_token(const request& asked);
    std::string revoke_token(const request& asked);
    std::string set_limit(const request& asked);
    std::string reset_limit(const request& asked);

private:
    // The answer to a change; `reload` when it has a part in the policy.
    std::string answer(const result<outcome>& done, bool reload = true);
    // The same, for what was refused before the store saw it.
    std::string refuse(const request& asked, std::string_view subject, std::string why);
    [[nodiscard]] policy::snapshot_pointer file_for(row_state state) const;
    // Whether the file declares it, whatever was changed by command.
    [[nodiscard]] result<bool> file_has_sender(std::string_view tenant, std::string_view pattern);
    [[nodiscard]] result<bool> file_has_account(std::string_view tenant, std::string_view login);
    std::string put_account(const request& asked, std::string_view tenant);
    // Why a token's holder may not change anything now; neither done nor audited.
    std::optional<std::string> hold_back(const request& asked);

    overlay_store& store_;
    policy_access access_;
};

std::string handlers::answer(const result<outcome>& done, bool reload) {
    if (!done) {
        return failed(done.error());
    }
    if (done->verdict == verdict::refused || done->verdict == verdict::not_found) {
        return refusal(done->verdict == verdict::refused ? refusal_reason::refused
                                                         : refusal_reason::not_found,
                       done->why);
    }
    const bool changed = done->verdict == verdict::changed;
    std::optional<std::string> why;
    // What was stored while the file had a fault is unchanged when it is asked for again.
    if (reload && (changed || (access_.is_behind && access_.is_behind()))) {
        why = access_.changed();
    }
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(true);
    out.member("changed", changed);
    out.member("in_force", !why && (reload || !changed));
    if (why) {
        out.member("why", *why);
    }
    out.end_object();
    return text;
}

std::string handlers::refuse(const request& asked, std::string_view subject, std::string why) {
    const admin::change_note note{.tenant = std::string(asked.text("tenant")),
                                  .subject = std::string(subject),
                                  .result = std::move(why)};
    if (const auto noted = store_.note(audit_row_of(asked, note)); !noted) {
        return failed(noted.error());
    }
    return refusal(refusal_reason::refused, note.result);
}

// Reading the file costs as much as a reload: without a row, what is in force is the file's.
policy::snapshot_pointer handlers::file_for(row_state state) const {
    policy::snapshot_pointer file = state == row_state::none ? nullptr : access_.file();
    return file == nullptr ? access_.in_force() : file;
}

result<bool> handlers::file_has_sender(std::string_view tenant, std::string_view pattern) {
    const result<row_state> state = store_.sender_state(tenant, pattern);
    if (!state) {
        return std::unexpected(state.error());
    }
    const policy::snapshot_pointer asked = file_for(*state);
    const policy::tenant* found = asked->find_tenant(tenant);
    return found != nullptr &&
           asked->senders().find(found->index, pattern) != policy::sender_table::none;
}

result<bool> handlers::file_has_account(std::string_view tenant, std::string_view login) {
    const result<row_state> state = store_.account_state(tenant, login);
    if (!state) {
        return std::unexpected(state.error());
    }
    const policy::snapshot_pointer asked = file_for(*state);
    const policy::account* found = asked->find_account(login);
    return found != nullptr && asked->tenant_of(*found).name == tenant;
}

std::optional<std::string> handlers::hold_back(const request& asked) {
    if (asked.administrator() != nullptr && access_.is_crowded && access_.is_crowded()) {
        return refusal(refusal_reason::refused,
                       "messages that are still coming in keep older policies; try again later");
    }
    const auto may = store_.may_change(by(asked).who);
    if (!may) {
        return failed(may.error());
    }
    return *may ? std::nullopt : std::optional<std::string>(admin::too_many_changes());
}

std::string handlers::put_account(const request& asked, std::string_view tenant) {
    const policy::overlay_account added{
        std::string(tenant), std::string(asked.text("login")), std::string(asked.text("hash"))};
    return answer(store_.put_accounts(by(asked), tenant, {&added, 1}));
}

std::string handlers::add_account(const request& asked) {
    const policy::snapshot_pointer now = access_.in_force();
    if (now->find_tenant(asked.text("tenant")) == nullptr) {
        return refuse(asked, asked.text("login"), "no such tenant");
    }
    if (now->find_account(asked.text("login")) != nullptr) {
        return refuse(asked, asked.text("login"), "the login exists already");
    }
    return put_account(asked, asked.text("tenant"));
}

std::string handlers::change_password(const request& asked) {
    const policy::snapshot_pointer now = access_.in_force();
    const policy::account* found = now->find_account(asked.text("login"));
    if (found == nullptr) {
        return refusal(refusal_reason::not_found, "no such account");
    }
    return put_account(asked, now->tenant_of(*found).name);
}

std::string handlers::import_accounts(const request& asked) {
    const policy::snapshot_pointer now = access_.in_force();
    const std::string_view tenant = asked.text("tenant");
    if (now->find_tenant(tenant) == nullptr) {
        return refuse(asked, "", "no such tenant");
    }
    std::vector<policy::overlay_account> added;
    for (const json::value& item : asked.objects("accounts")) {
        const json::value* login = item.find("login");
        const json::value* hash = item.find("hash");
        if (item.children().size() != 2 || login == nullptr || hash == nullptr) {
            return refusal(refusal_reason::usage, "an account is {\"login\": ..., \"hash\": ...}");
        }
        const policy::account* there = now->find_account(login->text());
        if (there != nullptr && (now->tenant_of(*there).name != tenant || !asked.flag("replace"))) {
            return refuse(
                asked, login->text(), fmt::format("the login {} exists already", login->text()));
        }
        added.push_back(
            {std::string(tenant), std::string(login->text()), std::string(hash->text())});
    }
    return answer(store_.put_accounts(by(asked), tenant, added), !asked.flag("more"));
}

std::string handlers::remove_account(const request& asked) {
    const std::string_view login = asked.text("login");
    const policy::snapshot_pointer now = access_.in_force();
    std::string tenant(asked.text("tenant"));
    if (tenant.empty()) {
        const policy::account* found = now->find_account(login);
        if (found == nullptr) {
            return refusal(refusal_reason::not_found, "no such account");
        }
        tenant = now->tenant_of(*found).name;
    }
    const auto in_file = file_has_account(tenant, login);
    return in_file ? answer(store_.remove_account(by(asked), tenant, login, *in_file))
                   : failed(in_file.error());
}

std::string handlers::add_sender(const request& asked) {
    if (auto held = hold_back(asked)) {
        return *held;
    }
    const std::string_view tenant = asked.text("tenant");
    const policy::snapshot_pointer now = access_.in_force();
    const policy::tenant* found = now->find_tenant(tenant);
    if (found == nullptr) {
        return refuse(asked, asked.text("pattern"), "no such tenant");
    }
    const auto pattern = judge_sender(*now, *found, asked.text("pattern"));
    if (!pattern) {
        return refuse(asked, asked.text("pattern"), pattern.error());
    }
    const auto in_file = file_has_sender(tenant, *pattern);
    return in_file ? answer(store_.add_sender(by(asked), tenant, *pattern, *in_file))
                   : failed(in_file.error());
}

std::string handlers::remove_sender(const request& asked) {
    if (auto held = hold_back(asked)) {
        return *held;
    }
    const std::string_view tenant = asked.text("tenant");
    std::string pattern(asked.text("pattern"));
    const policy::snapshot_pointer now = access_.in_force();
    // One that lies in no domain of the tenant any more can still be removed, as it is written.
    if (const policy::tenant* found = now->find_tenant(tenant)) {
        pattern = judge_sender(*now, *found, pattern).value_or(pattern);
    }
    const auto in_file = file_has_sender(tenant, pattern);
    return in_file ? answer(store_.remove_sender(by(asked), tenant, pattern, *in_file))
                   : failed(in_file.error());
}

std::string handlers::add_token(const request& asked) {
    const std::string_view tenant = asked.text("tenant");
    if (access_.in_force()->find_tenant(tenant) == nullptr) {
        return refuse(asked, asked.text("label"), "no such tenant");
    }
    if (!crypto::is_token_digest(asked.text("digest"))) {
        return refusal(refusal_reason::usage, "\"digest\": expected a SHA-256 in 64 digits");
    }
    token added;
    added.tenant = tenant;
    added.label = asked.text("label");
    added.created_unix_s = std::time(nullptr);
    added.expires_unix_s = asked.number("expires");
    if (asked.has("expires") && added.expires_unix_s <= added.created_unix_s) {
        return refuse(asked, added.label, "the token would have expired already");
    }
    auto done = store_.add_token(by(asked), added, asked.text("digest"));
    if (done && done->verdict == verdict::changed) {
        return admin::change_answer(true); // Looked up at each use.
    }
    return answer(done, false);
}

std::string handlers::revoke_token(const request& asked) {
    auto done = store_.revoke_token(by(asked), asked.text("tenant"), asked.text("label"));
    if (done && done->verdict == verdict::changed) {
        return admin::change_answer(true);
    }
    return answer(done, false);
}

std::string handlers::set_limit(const request& asked) {
    policy::overlay_limit limit;
    limit.rule = asked.text("rule");
    limit.subject = asked.text("subject");
    limit.rate = asked.text("rate");
    limit.expires_unix_s = asked.number("expires");
    const std::string subject = limit.rule + " " + limit.subject;
    if (asked.has("expires") && limit.expires_unix_s <= std::time(nullptr)) {
        return refuse(asked, subject, "the override would have expired already");
    }
    if (auto judged = access_.in_force()->judge_override(limit); !judged) {
        return refuse(asked, subject, std::move(judged.error()));
    }
    return answer(store_.set_limit(by(asked), limit));
}

std::string handlers::reset_limit(const request& asked) {
    return answer(store_.reset_limit(by(asked), asked.text("rule"), asked.text("subject")));
}

} // namespace

void add_commands(admin::dispatcher& to, overlay_store& store, policy_access access) {
    add_list_commands(to, store, access.in_force);
    admin::command_group group(
        to, permission::operators, std::make_shared<handlers>(store, std::move(access)));
    group.add(
        "account add", &handlers::add_account, {tenant_argument, login_argument, hash_argument});
    group.add("account passwd", &handlers::change_password, {login_argument, hash_argument});
    group.add("account remove", &handlers::remove_account, {login_argument, optional_tenant});
    group.add("account import",
              &handlers::import_accounts,
              {tenant_argument,
               {"accounts", argument_kind::objects, true, import_accounts_max},
               {"replace", argument_kind::flag, false},
               {"more", argument_kind::flag, false}});
    group.add("sender add",
              &handlers::add_sender,
              {tenant_argument, pattern_argument},
              permission::tenants);
    group.add("sender remove",
              &handlers::remove_sender,
              {tenant_argument, pattern_argument},
              permission::tenants);
    group.add("token add",
              &handlers::add_token,
              {tenant_argument,
               {"label", argument_kind::text, true, 64},
               {"digest", argument_kind::text, true, 64},
               admin::expires_argument});
    group.add("token revoke",
              &handlers::revoke_token,
              {tenant_argument, {"label", argument_kind::text, true, 64}});
    group.add("limit set",
              &handlers::set_limit,
              {rule_argument,
               subject_argument,
               {"rate", argument_kind::text, true, 64},
               admin::expires_argument});
    group.add("limit reset", &handlers::reset_limit, {rule_argument, subject_argument});
}

} // namespace ebbgate::overlay
