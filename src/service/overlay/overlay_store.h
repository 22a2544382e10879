// What operators and tenants changed by command, kept in an SQLite file, and the audit of it.
//
// Input   Changes that were judged by the policy already; syntax and bounds are checked here.
// Output  policy::overlay, to be laid over the policy file; pages of rows for lists.
// Owner   The management thread.
// Fails   A change is refused with its reason, or fails with the disk's. When a change returns, it
//         and its audit row are durable, both or neither; nothing is half done.
// Bounds  Each *_max below; the audit as described at `audit_bounds`.
// Specs   docs/control.md; the file carries schema_version and an id of ours, and a file of
//         another version or program is refused, never changed.

#pragma once

#include "ebbgate/base/result.h"

#include "stage/policy/overlay.h"
#include "store/database.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::overlay {

class sql;

inline constexpr std::int64_t schema_version = 1;
inline constexpr std::int64_t accounts_max = 1'000'000;
inline constexpr std::int64_t senders_per_tenant_max = 100'000;
inline constexpr std::int64_t senders_max = 2'000'000;
inline constexpr std::int64_t limits_max = 100'000;
inline constexpr std::int64_t tokens_per_tenant_max = 100;
inline constexpr std::int64_t tokens_max = 100'000;
inline constexpr std::int64_t suspensions_max = 1000;
inline constexpr std::int64_t page_rows_max = 1000;
// Of one tenant's tokens: each costs a commit and a reload of the policy.
inline constexpr std::int64_t token_changes_per_minute_max = 300;

// What is older or more is dropped, oldest first, at every `prune_every`th row. A tenant's rows
// push out its own only: no token holder can make what operators or other tenants did disappear.
struct audit_bounds {
    std::int64_t age_s_max = 400LL * 86'400;
    std::int64_t operator_rows_max = 500'000;
    std::int64_t rows_per_tenant_max = 10'000;
    std::int64_t tenant_rows_max = 500'000; // Of all tenants together.
    std::int64_t prune_every = 256;
};

// Who asks for a change.
struct actor {
    std::uint32_t uid = 0;
    std::string token_label;  // Empty: an operator, over the socket.
    std::string token_tenant; // With a token only.
};

enum class verdict : std::uint8_t {
    changed,
    unchanged, // It was so already.
    not_found,
    refused,
};

struct outcome {
    overlay::verdict verdict = verdict::changed;
    std::string why; // Why it was refused or what was not found.
};

// What the database has of a login or a sender.
enum class row_state : std::uint8_t { none, added, removed };

struct token {
    std::string tenant;
    std::string label;
    std::string rights = "senders"; // What it may do: so far only this.
    std::int64_t created_unix_s = 0;
    std::int64_t expires_unix_s = 0; // 0: never.
};

// Mail that an operator wants to wait: of a tenant, to a destination, or both.
struct suspension {
    std::string domain; // Empty: to every one.
    std::string tenant; // Empty: of every one.
    std::string reason;
    std::int64_t created_unix_s = 0;
    std::int64_t until_unix_s = 0;
};

struct audit_row {
    std::int64_t id = 0;
    std::int64_t unix_ms = 0;
    actor who;
    std::string what;    // The command: "sender add".
    std::string tenant;  // Whose; empty: nobody's in particular.
    std::string subject; // The login, the pattern, the label...
    std::string before;
    std::string after;
    std::string result; // "done", or why not.
};

template <typename row>
struct page {
    std::vector<row> rows;
    std::int64_t next = 0; // 0: this was the last one.
};

// Who changes something, and by which command.
struct change {
    actor who;
    std::string_view command;
};

class overlay_store {
public:
    [[nodiscard]] static result<std::unique_ptr<overlay_store>>
    open(const std::string& path, const audit_bounds& bounds = {});

    // All that is in force at this time: limits that have expired are left out.
    [[nodiscard]] result<policy::overlay> read(std::int64_t now_unix_s);

    // All of them or none; one audit row each. An account that is there gets the new hash.
    [[nodiscard]] result<outcome> put_accounts(const change& by,
                                               std::string_view tenant,
                                               std::span<const policy::overlay_account> accounts);
    // `in_file`: the policy file has it, so that a row must take it away.
    [[nodiscard]] result<outcome>
    remove_account(const change& by, std::string_view tenant, std::string_view login, bool in_file);

    [[nodiscard]] result<outcome>
    add_sender(const change& by, std::string_view tenant, std::string_view pattern, bool in_file);
    [[nodiscard]] result<outcome> remove_sender(const change& by,
                                                std::string_view tenant,
                                                std::string_view pattern,
                                                bool in_file);

    [[nodiscard]] result<outcome> set_limit(const change& by, const policy::overlay_limit& limit);
    [[nodiscard]] result<outcome>
    reset_limit(const change& by, std::string_view rule, std::string_view subject);

    // The digest is crypto::token_digest's; the token itself is never here.
    [[nodiscard]] result<outcome>
    add_token(const change& by, const token& added, std::string_view digest);
    [[nodiscard]] result<outcome>
    revoke_token(const change& by, std::string_view tenant, std::string_view label);
    // Empty: none has it, or it has expired.
    [[nodiscard]] result<std::optional<token>> find_token(std::string_view digest,
                                                          std::int64_t now_unix_s);

    // In the place of one of the same domain and tenant.
    [[nodiscard]] result<outcome> suspend(const change& by, const suspension& added);
    // Those of the domain, of the tenant, or of both as they were made; `all`: every one.
    [[nodiscard]] result<outcome>
    resume(const change& by, std::string_view domain, std::string_view tenant, bool all);
    // That have not ended; in the order in which they were made.
    [[nodiscard]] result<std::vector<suspension>> suspensions(std::int64_t now_unix_s);

    // False: the tenant's tokens asked for too much within the last minute. Operators always may.
    [[nodiscard]] result<bool> may_change(const actor& who);

    // For what was refused before it came here, or changed elsewhere (a ban): only the audit row,
    // whose id and time are filled in.
    [[nodiscard]] result<void> note(const audit_row& row);

    [[nodiscard]] result<row_state> account_state(std::string_view tenant, std::string_view login);
    [[nodiscard]] result<row_state> sender_state(std::string_view tenant, std::string_view pattern);

    // Pages of at most page_rows_max rows, `after` being the `next` of the one before, at first 0.
    // An empty tenant: of all.
    [[nodiscard]] result<page<policy::overlay_account>>
    accounts(std::string_view tenant, std::int64_t after, std::int64_t rows_max);
    [[nodiscard]] result<page<policy::overlay_sender>>
    senders(std::string_view tenant, std::int64_t after, std::int64_t rows_max);
    [[nodiscard]] result<page<policy::overlay_limit>> limits(std::int64_t after,
                                                             std::int64_t rows_max);
    [[nodiscard]] result<page<token>>
    tokens(std::string_view tenant, std::int64_t after, std::int64_t rows_max);
    // The newest first.
    [[nodiscard]] result<page<audit_row>>
    audit(std::string_view tenant, std::int64_t after, std::int64_t rows_max);

private:
    using work = std::function<outcome(sql& run, audit_row& row)>;

    overlay_store(store::database opened, const audit_bounds& bounds)
        : database_(std::move(opened)), bounds_(bounds) {}

    // One transaction: the work and its audit row. What was not done is only noted.
    [[nodiscard]] result<outcome> apply(audit_row row, const work& done);
    void write_audit(sql& run, const audit_row& row) const;
    [[nodiscard]] static outcome put_account(sql& run,
                                             std::string_view tenant,
                                             const policy::overlay_account& added,
                                             audit_row& row);

    store::database database_;
    audit_bounds bounds_;
};

} // namespace ebbgate::overlay
