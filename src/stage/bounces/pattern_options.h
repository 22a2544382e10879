// How patterns are read, alone and as a set.

#pragma once

#include "ebbgate/base/bytes.h"

#include <re2/re2.h>

namespace ebbgate::bounces {

// The automaton of a set grows as texts come, at most to this; what it forgot it makes anew.
inline constexpr std::int64_t set_bytes_max = 64 * mib;

[[nodiscard]] inline RE2::Options pattern_options() {
    RE2::Options options;
    options.set_case_sensitive(false);
    options.set_encoding(RE2::Options::EncodingLatin1); // Peers' texts are bytes.
    options.set_log_errors(false);
    options.set_never_capture(true);
    options.set_max_mem(set_bytes_max);
    return options;
}

} // namespace ebbgate::bounces
