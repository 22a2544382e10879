// The commands about suppressed recipients: suppression list, add, remove.
//
// Output  Entries for the dispatcher; what each takes and answers is in docs/control.md.
// Owner   The management thread. The list outlives the dispatcher.
// Fails   Changes that were asked for and not made are audited too.
// Bounds  page_rows_max a page.

#pragma once

#include "service/admin/audit.h"
#include "service/admin/command.h"
#include "service/suppression/suppression_list.h"

#include <functional>
#include <string_view>

namespace ebbgate::suppression {

// The audit's subject is the address.
void add_commands(admin::dispatcher& to,
                  suppression_list& list,
                  admin::audit kept,
                  std::function<bool(std::string_view tenant)> is_tenant);

} // namespace ebbgate::suppression
