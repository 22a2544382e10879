// The commands that change the overlay or show it: account, sender, token, limit, audit, policy.
//
// Output  Entries for the dispatcher; what each takes and answers is in docs/control.md.
// Owner   The management thread. The store and the functions outlive the dispatcher.
// Fails   Each refusal of a change is audited; a change that is stored but cannot be in force yet
//         (the policy file has a fault) is answered with "in_force": false and why.
// Bounds  Lists come in pages of page_rows_max; one import is import_accounts_max accounts.

#pragma once

#include "codec/json/writer.h"
#include "service/admin/audit.h"
#include "service/admin/command.h"
#include "service/overlay/overlay_store.h"
#include "stage/policy/snapshot.h"

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::overlay {

inline constexpr std::size_t import_accounts_max = 1000;

// What the commands ask of the policy; all of it belongs to the program.
struct policy_access {
    std::function<policy::snapshot_pointer()> in_force;
    // The file as it is, without the overlay: asked when an entry was changed by command before,
    // to tell whether a removal needs a row. Null: it has a fault; what is in force is taken then.
    std::function<policy::snapshot_pointer()> file;
    // Whether the last reload was refused. May be empty.
    std::function<bool()> is_behind;
    // Whether so many policies are still kept by messages that tenants have to wait. May be empty.
    std::function<bool()> is_crowded;
    // Reads file and overlay and puts them in force. Empty: done; else why not.
    std::function<std::optional<std::string>()> changed;
};

// All of them.
void add_commands(admin::dispatcher& to, overlay_store& store, policy_access access);
// Of those the ones that only show, in list_commands.cc.
void add_list_commands(admin::dispatcher& to,
                       overlay_store& store,
                       std::function<policy::snapshot_pointer()> in_force);

// For the dispatcher: whose token it is, and the note of what it was denied.
[[nodiscard]] admin::dispatcher::token_check token_check_of(overlay_store& store);
[[nodiscard]] admin::dispatcher::denial_note denial_note_of(overlay_store& store);

// For commands of others, which note what they did; `on_fault` is told when it could not be noted.
[[nodiscard]] admin::audit audit_of(overlay_store& store,
                                    std::function<void(const std::string& why)> on_fault);

[[nodiscard]] change by(const admin::request& asked);
[[nodiscard]] audit_row audit_row_of(const admin::request& asked, const admin::change_note& done);

// Of the policy, in policy_show.cc: `after` counts tenants.
void show_policy(json::writer& out,
                 const policy::snapshot& shown,
                 std::string_view tenant,
                 std::int64_t after,
                 std::int64_t rows_max);

} // namespace ebbgate::overlay
