// The changes of overlay_store: each judges, writes its row, and says what was before and after.

#include "config/address.h"
#include "config/password_hash.h"
#include "service/overlay/overlay_store.h"
#include "service/overlay/sql.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ebbgate::overlay {

namespace {

constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t login_bytes_max = 255;
constexpr std::size_t subject_bytes_max = 320; // An address: RFC 5321 4.5.3.1, and some.
constexpr std::size_t rate_bytes_max = 64;

bool is_one_line(std::string_view text, std::size_t bytes_max) {
    return !text.empty() && text.size() <= bytes_max &&
           std::none_of(text.begin(), text.end(), [](char c) {
               return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
           });
}

// Tenants, labels and rules.
bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= name_bytes_max &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
           });
}

// The canonical form only: the domain in lower case, as A-labels.
bool is_sender_pattern(std::string_view text) {
    const std::size_t at = text.rfind('@');
    if (at == std::string_view::npos || !is_one_line(text, subject_bytes_max)) {
        return false;
    }
    std::string_view domain = text.substr(at + 1);
    if (at == 0 && domain.starts_with("*.")) {
        domain.remove_prefix(2);
    }
    return config::is_host_name(domain) && config::lower_ascii(domain) == domain;
}

outcome refused(std::string why) {
    return {verdict::refused, std::move(why)};
}

outcome not_found(std::string why) {
    return {verdict::not_found, std::move(why)};
}

audit_row row_of(const change& by, std::string_view tenant, std::string_view subject) {
    audit_row row;
    row.who = by.who;
    row.what = by.command;
    row.tenant = tenant;
    row.subject = subject;
    return row;
}

std::string_view state_of(std::optional<std::int64_t> removed) {
    return !removed ? "" : *removed != 0 ? "removed" : "added";
}

std::string limit_text(std::string_view rate, std::int64_t expires_unix_s) {
    return expires_unix_s == 0 ? std::string(rate)
                               : fmt::format("{} until {}", rate, expires_unix_s);
}

std::int64_t total(sql& run, std::string_view of) {
    return run.number("SELECT count FROM total WHERE name = ?", {of}).value_or(0);
}

// Why the tenant may not have one row more; nothing: it may.
std::optional<outcome> no_room_for_sender(sql& run, std::string_view tenant) {
    const auto own =
        run.number("SELECT COUNT(*) FROM sender WHERE tenant = ?", {tenant}).value_or(0);
    if (own < senders_per_tenant_max && total(run, "sender") < senders_max) {
        return std::nullopt;
    }
    return refused(fmt::format("there are {} changed senders already", own));
}

} // namespace

outcome overlay_store::put_account(sql& run,
                                   std::string_view tenant,
                                   const policy::overlay_account& added,
                                   audit_row& row) {
    if (!is_name(tenant) || !is_one_line(added.login, login_bytes_max)) {
        return refused("expected a login of at most 255 bytes without control characters");
    }
    if (!config::is_password_hash(added.password_hash)) {
        return refused("expected a crypt(3) hash: yescrypt, bcrypt, sha512crypt");
    }
    const auto elsewhere =
        run.number("SELECT 1 FROM account WHERE login = ? AND removed = 0 AND tenant <> ?",
                   {added.login, tenant});
    if (elsewhere) {
        return refused(fmt::format("the login {} is another tenant's", added.login));
    }
    const auto before = run.number("SELECT removed FROM account WHERE tenant = ? AND login = ?",
                                   {tenant, added.login});
    if (!before && total(run, "account") >= accounts_max) {
        return refused(fmt::format("there are {} changed accounts already", accounts_max));
    }
    run.run("INSERT INTO account (tenant, login, password, removed) VALUES (?, ?, ?, 0) "
            "ON CONFLICT (tenant, login) DO UPDATE SET password = excluded.password, removed = 0",
            {tenant, added.login, added.password_hash});
    row.before = state_of(before);
    row.after = fmt::format("added, {}", config::hash_method(added.password_hash));
    return {};
}

result<outcome> overlay_store::put_accounts(const change& by,
                                            std::string_view tenant,
                                            std::span<const policy::overlay_account> accounts) {
    if (accounts.empty()) {
        return outcome{verdict::unchanged, {}};
    }
    return apply(row_of(by, tenant, ""), [&](sql& run, audit_row& row) -> outcome {
        for (const policy::overlay_account& added : accounts) {
            if (&added != &accounts.front()) {
                row.result = "done";
                write_audit(run, row); // Of the one before; apply() writes the last one's.
            }
            row.subject = added.login;
            row.before.clear();
            row.after.clear();
            if (outcome done = put_account(run, tenant, added, row);
                done.verdict != verdict::changed || run.failed()) {
                return done;
            }
        }
        return {};
    });
}

result<outcome> overlay_store::remove_account(const change& by,
                                              std::string_view tenant,
                                              std::string_view login,
                                              bool in_file) {
    return apply(row_of(by, tenant, login), [&](sql& run, audit_row& row) -> outcome {
        if (!is_name(tenant) || !is_one_line(login, login_bytes_max)) {
            return not_found("no such account");
        }
        const auto before = run.number("SELECT removed FROM account WHERE tenant = ? AND login = ?",
                                       {tenant, login});
        row.before = before ? state_of(before) : in_file ? "file" : "";
        row.after = "removed";
        if (!before && !in_file) {
            return not_found("no such account");
        }
        if (in_file && before == 1) {
            return {verdict::unchanged, {}};
        }
        if (in_file) {
            if (!before && total(run, "account") >= accounts_max) {
                return refused(fmt::format("there are {} changed accounts already", accounts_max));
            }
            run.run("INSERT INTO account (tenant, login, password, removed) VALUES (?, ?, '', 1) "
                    "ON CONFLICT (tenant, login) DO UPDATE SET password = '', removed = 1",
                    {tenant, login});
        } else {
            run.run("DELETE FROM account WHERE tenant = ? AND login = ?", {tenant, login});
        }
        return {};
    });
}

result<outcome> overlay_store::add_sender(const change& by,
                                          std::string_view tenant,
                                          std::string_view pattern,
                                          bool in_file) {
    return apply(row_of(by, tenant, pattern), [&](sql& run, audit_row& row) -> outcome {
        if (!is_name(tenant) || !is_sender_pattern(pattern)) {
            return refused("expected user@domain, @domain or @*.domain");
        }
        const auto before = run.number(
            "SELECT removed FROM sender WHERE tenant = ? AND pattern = ?", {tenant, pattern});
        row.before = state_of(before);
        row.after = "added";
        if (before == 0 || (!before && in_file)) {
            return {verdict::unchanged, {}};
        }
        if (before && in_file) { // What took it away goes, and the file's is in force again.
            run.run("DELETE FROM sender WHERE tenant = ? AND pattern = ?", {tenant, pattern});
            return {};
        }
        if (!before) {
            if (auto full = no_room_for_sender(run, tenant)) {
                return *full;
            }
        }
        run.run("INSERT INTO sender (tenant, pattern, removed) VALUES (?, ?, 0) "
                "ON CONFLICT (tenant, pattern) DO UPDATE SET removed = 0",
                {tenant, pattern});
        return {};
    });
}

result<outcome> overlay_store::remove_sender(const change& by,
                                             std::string_view tenant,
                                             std::string_view pattern,
                                             bool in_file) {
    return apply(row_of(by, tenant, pattern), [&](sql& run, audit_row& row) -> outcome {
        if (!is_name(tenant) || !is_sender_pattern(pattern)) {
            return not_found("no such sender");
        }
        const auto before = run.number(
            "SELECT removed FROM sender WHERE tenant = ? AND pattern = ?", {tenant, pattern});
        row.before = before ? state_of(before) : in_file ? "file" : "";
        row.after = "removed";
        if (!before && !in_file) {
            return not_found("no such sender");
        }
        if (in_file && before == 1) {
            return {verdict::unchanged, {}};
        }
        if (!in_file) {
            run.run("DELETE FROM sender WHERE tenant = ? AND pattern = ?", {tenant, pattern});
            return {};
        }
        if (!before) {
            if (auto full = no_room_for_sender(run, tenant)) {
                return *full;
            }
        }
        run.run("INSERT INTO sender (tenant, pattern, removed) VALUES (?, ?, 1) "
                "ON CONFLICT (tenant, pattern) DO UPDATE SET removed = 1",
                {tenant, pattern});
        return {};
    });
}

result<outcome> overlay_store::set_limit(const change& by, const policy::overlay_limit& limit) {
    return apply(
        row_of(by, "", limit.rule + " " + limit.subject), [&](sql& run, audit_row& row) -> outcome {
            if (!is_name(limit.rule) || !is_one_line(limit.subject, subject_bytes_max) ||
                !is_one_line(limit.rate, rate_bytes_max)) {
                return refused("expected a rule, a subject and a rate such as 500/day");
            }
            std::optional<std::string> before;
            run.rows("SELECT rate, expires_s FROM limit_override "
                     "WHERE rule = ? AND subject = ?",
                     {limit.rule, limit.subject},
                     [&before](const store::statement& found) {
                         before = limit_text(found.text(0), found.number(1));
                     });
            row.before = before.value_or("");
            row.after = limit_text(limit.rate, limit.expires_unix_s);
            if (before == row.after) {
                return {verdict::unchanged, {}};
            }
            const auto count = run.number("SELECT COUNT(*) FROM limit_override", {}).value_or(0);
            if (!before && count >= limits_max) {
                return refused(fmt::format("there are {} overrides already", count));
            }
            run.run("INSERT INTO limit_override (rule, subject, rate, expires_s) "
                    "VALUES (?, ?, ?, ?) ON CONFLICT (rule, subject) DO UPDATE SET "
                    "rate = excluded.rate, expires_s = excluded.expires_s",
                    {limit.rule, limit.subject, limit.rate, limit.expires_unix_s});
            return {};
        });
}

result<outcome>
overlay_store::reset_limit(const change& by, std::string_view rule, std::string_view subject) {
    return apply(row_of(by, "", fmt::format("{} {}", rule, subject)),
                 [&](sql& run, audit_row& row) -> outcome {
                     run.rows("SELECT rate, expires_s FROM limit_override "
                              "WHERE rule = ? AND subject = ?",
                              {rule, subject},
                              [&row](const store::statement& found) {
                                  row.before = limit_text(found.text(0), found.number(1));
                              });
                     if (run.run("DELETE FROM limit_override WHERE rule = ? AND subject = ?",
                                 {rule, subject}) == 0) {
                         return not_found("no such override");
                     }
                     return {};
                 });
}

result<outcome>
overlay_store::add_token(const change& by, const token& added, std::string_view digest) {
    return apply(row_of(by, added.tenant, added.label), [&](sql& run, audit_row& row) -> outcome {
        if (!is_name(added.tenant) || !is_name(added.label) || added.rights != "senders") {
            return refused("expected a label of at most 64 letters, digits, - _ .");
        }
        // An expired one makes room for its successor of the same label.
        run.run("DELETE FROM token WHERE tenant = ? AND label = ? AND expires_s <> 0 "
                "AND expires_s <= ?",
                {added.tenant, added.label, added.created_unix_s});
        if (run.number("SELECT 1 FROM token WHERE digest = ?1 OR (tenant = ?2 AND label = ?3)",
                       {digest, added.tenant, added.label})) {
            return refused("there is a token of this label; revoke it first");
        }
        const auto own =
            run.number("SELECT COUNT(*) FROM token WHERE tenant = ?", {added.tenant}).value_or(0);
        const auto all = run.number("SELECT COUNT(*) FROM token", {}).value_or(0);
        if (own >= tokens_per_tenant_max || all >= tokens_max) {
            return refused(fmt::format("there are {} tokens of this tenant already", own));
        }
        row.after = limit_text(added.rights, added.expires_unix_s);
        run.run("INSERT INTO token (tenant, label, digest, rights, created_s, expires_s) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                {added.tenant,
                 added.label,
                 digest,
                 added.rights,
                 added.created_unix_s,
                 added.expires_unix_s});
        return {};
    });
}

result<outcome>
overlay_store::revoke_token(const change& by, std::string_view tenant, std::string_view label) {
    return apply(row_of(by, tenant, label), [&](sql& run, audit_row& row) -> outcome {
        row.after = "revoked";
        if (run.run("DELETE FROM token WHERE tenant = ? AND label = ?", {tenant, label}) == 0) {
            return not_found("no such token");
        }
        return {};
    });
}

result<std::optional<token>> overlay_store::find_token(std::string_view digest,
                                                       std::int64_t now_unix_s) {
    std::optional<token> found;
    sql run(database_);
    run.rows("SELECT tenant, label, rights, created_s, expires_s FROM token "
             "WHERE digest = ? AND (expires_s = 0 OR expires_s > ?)",
             {digest, now_unix_s},
             [&found](const store::statement& row) {
                 found = token{std::string(row.text(0)),
                               std::string(row.text(1)),
                               std::string(row.text(2)),
                               row.number(3),
                               row.number(4)};
             });
    if (run.failed()) {
        return std::unexpected(run.take_fault());
    }
    return found;
}

} // namespace ebbgate::overlay
