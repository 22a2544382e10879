// The commands about suppressed recipients: suppression list, add, remove.
//
// Output  Entries for the dispatcher; what each takes and answers is in docs/control.md.
// Owner   The management thread. The list outlives the dispatcher.
// Fails   Changes that were asked for and not made are audited too.
// Bounds  page_rows_max a page.

#pragma once

#include "service/admin/command.h"
#include "service/suppression/suppression_list.h"

#include <functional>
#include <string>
#include <string_view>

namespace ebbgate::suppression {

// What the audit keeps of a change, or of one that was not made.
struct change_note {
    std::string tenant;
    std::string subject; // The address.
    std::string after;   // "suppressed until 1795535813", or empty.
    std::string result;  // "done", or why not.
};

struct hooks {
    std::function<bool(std::string_view tenant)> is_tenant;
    std::function<void(const admin::request& asked, const change_note& done)> note;
    // False: this token's holder asks for too much. May be empty: everybody may.
    std::function<bool(const admin::request& asked)> may_change;
};

void add_commands(admin::dispatcher& to, suppression_list& list, hooks given);

} // namespace ebbgate::suppression
