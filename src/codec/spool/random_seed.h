// Random bytes a remote sender cannot predict.

#pragma once

#include <cstddef>

namespace ebbgate::spool {

// False when the kernel has none to give.
[[nodiscard]] bool fill_random(void* out, std::size_t bytes) noexcept;

} // namespace ebbgate::spool
