// Bytes as the codecs see them: views that never own, in chunks of any size.
//
// Owner   Whoever made the bytes; a view is valid only for the call it is passed to.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ebbgate {

using byte_view = std::string_view;

inline constexpr std::size_t kib = 1024;
inline constexpr std::size_t mib = 1024 * kib;
inline constexpr std::size_t gib = 1024 * mib;

} // namespace ebbgate
