// What a declared media type says about a part: container, file, program.
//
// Stage   4 of 8. Tables.
// Input   "type/subtype" without parameters, any case.
// Owner   Constants.

#pragma once

#include "ebbgate/base/bytes.h"

#include <span>
#include <string_view>

namespace ebbgate::content {

// A part of this type without a name is a file that a receiver would save: not text that is shown,
// not a container, not what mail itself is made of.
[[nodiscard]] bool is_file_without_name(byte_view type, bool attachment) noexcept;

// Containers whose inside is judged part by part may have this extension, or none, in any case.
[[nodiscard]] bool is_walked(byte_view type, std::string_view extension) noexcept;

// Of types that say what a file is, such as "image/jpeg"; the usual one first.
[[nodiscard]] std::span<const std::string_view> usual_extensions(byte_view type) noexcept;

// Of types that stand for programs and scripts: "exe" of "application/x-msdownload". Else empty.
[[nodiscard]] std::string_view implied_extension(byte_view type) noexcept;

// Types that hide what they carry (fragments, references, TNEF): why. Else empty.
[[nodiscard]] std::string_view ambiguous_type(byte_view type) noexcept;

} // namespace ebbgate::content
