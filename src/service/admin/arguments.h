// Arguments that many commands take, so that they mean and bound the same everywhere.

#pragma once

#include "service/admin/command.h"

#include <algorithm>
#include <cstdint>

namespace ebbgate::admin {

inline constexpr argument tenant_argument{"tenant", argument_kind::text, true, 64};
inline constexpr argument optional_tenant{"tenant", argument_kind::text, false, 64};
inline constexpr argument expires_argument{"expires", argument_kind::number, false}; // Unix time.
inline constexpr argument keep_argument{"keep", argument_kind::text, false, 64};     // "30 days".
// Of a list in pages: where the page before ended, and how many rows at most.
inline constexpr argument after_argument{"after", argument_kind::number, false};
inline constexpr argument rows_argument{"rows", argument_kind::number, false};

// What rows_argument says, within the page's bound, which it is unless given.
[[nodiscard]] inline std::int64_t rows_of(const request& asked, std::int64_t page_rows_max) {
    return asked.has("rows") ? std::clamp<std::int64_t>(asked.number("rows"), 1, page_rows_max)
                             : page_rows_max;
}

} // namespace ebbgate::admin
