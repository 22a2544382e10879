// What a reload would change, for people: one line a change, names but never a password's hash.
//
// Input   The snapshot in force and the one that would replace it.
// Output  Lines such as: tenant "acme": senders: 2 added ("@a.example", "b@c.example").
// Owner   A value.
// Fails   Never.
// Bounds  difference_lines_max lines, the last one says how many more; difference_names_max names
//         a line.

#pragma once

#include "stage/policy/snapshot.h"

#include <string>
#include <vector>

namespace ebbgate::policy {

inline constexpr std::size_t difference_lines_max = 100;
inline constexpr std::size_t difference_names_max = 5;

// Empty: nothing would change.
[[nodiscard]] std::vector<std::string> diff(const snapshot& before, const snapshot& after);

} // namespace ebbgate::policy
