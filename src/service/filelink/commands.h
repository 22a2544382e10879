// The commands about links: filelink list, show, revoke, extend.
//
// Output  Entries for the dispatcher; what each takes and answers is in docs/control.md.
// Owner   The management thread. The store outlives the dispatcher.
// Fails   Changes that were asked for and not made are audited too. With a tenant's token, another
//         tenant's link is answered exactly like one that does not exist.
// Bounds  list_rows_max a page; extend_seconds_max from now.

#pragma once

#include "config/units.h"
#include "service/admin/audit.h"
#include "service/admin/command.h"
#include "store/blob/blob_store.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace ebbgate::filelink {

inline constexpr std::int64_t list_rows_max = 250; // Of a few KB each, at worst.
// No token's holder can have the gateway keep a file for ever.
inline constexpr std::int64_t extend_seconds_max = 10 * 365 * config::day;

// The audit's subject is a link's short_form(), its tenant whose link it is; the asked one's when
// there is none.
void add_commands(admin::dispatcher& to, blob::blob_store& store, admin::audit kept);

// "e1eb36...", "e1eb36....pdf" or a URL that ends with either; empty: it is none.
[[nodiscard]] std::string_view token_in(std::string_view text) noexcept;

// Enough to find a link again, too little to fetch its file: the audit is read by people.
[[nodiscard]] std::string short_form(std::string_view token);

} // namespace ebbgate::filelink
