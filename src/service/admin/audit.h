// What a command tells the audit of its change, and what the audit has to say to it.
//
// Owner   The management thread.

#pragma once

#include "service/admin/command.h"

#include <functional>
#include <string>

namespace ebbgate::admin {

// Of a change, or of one that was asked for and not made.
struct change_note {
    std::string tenant; // Whose mail, link or address it is about.
    std::string subject;
    std::string before;
    std::string after;
    std::string result; // "done", or why not.
};

struct audit {
    std::function<void(const request& asked, const change_note& done)> note;
    // False: this token's holder asks for too much. May be empty: everybody may.
    std::function<bool(const request& asked)> may_change;
};

// The answer to who asks for too much.
[[nodiscard]] inline std::string too_many_changes() {
    return refusal(refusal_reason::refused, "too many changes; try again in a minute");
}

} // namespace ebbgate::admin
