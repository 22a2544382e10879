// EBBGATE_ASSERT: for what only our own bug can cause, active in every build.
// Nothing a peer, a disk, a file or a clock can cause may be asserted; that is handled.

#pragma once

namespace ebbgate {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

} // namespace ebbgate

#define EBBGATE_ASSERT(expression)                                                                 \
    (static_cast<bool>(expression) ? static_cast<void>(0)                                          \
                                   : ::ebbgate::assertion_failed(#expression, __FILE__, __LINE__))
