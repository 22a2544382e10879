// Whether the servers pass DNSSEC records on. Many a provider's resolver drops them; with a trust
// anchor every answer would then fail, and all mail would wait.
//
// Input   Settings with a trust anchor, and a name that it covers and that is signed: "." for the
//         anchor of the root.
// Output  What became of one question, within `wait_max`. For the start of the daemon, when nobody
//         chose the trust anchor; it blocks.
// Fails   As `unknown`: no answer, or settings that cannot be used.

#pragma once

#include "runtime/resolve/unbound_context.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace ebbgate::dns {

enum class dnssec_support : std::uint8_t { passed, dropped, unknown };

[[nodiscard]] dnssec_support probe_dnssec(const context_settings& settings,
                                          const std::string& name,
                                          std::chrono::milliseconds wait_max);

} // namespace ebbgate::dns
