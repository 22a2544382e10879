// The tables of a file, and whose file it is.
//
// Fails   With bad_input for a file of another program or version, which is left as it is.
// Specs   sqlite.org/pragma.html: application_id, user_version.

#pragma once

#include "store/database.h"

#include <cstdint>
#include <string_view>

namespace ebbgate::store {

struct schema {
    std::int64_t application_id = 0;
    std::int64_t version = 0;
    std::string_view tables;        // What makes them.
    std::string_view from_previous; // And out of those of the version before; may be empty.
};

// Makes the tables, all or none, of an empty file or of the version before; checks the marks of any
// other.
[[nodiscard]] result<void> make_or_check(database& opened, const schema& of);

} // namespace ebbgate::store
