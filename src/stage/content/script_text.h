// Is this text a script or a shortcut? By what no letter, table or picture begins with.
//
// Stage   4 of 8; part of file_kind.
// Input   The first block of a file, in ASCII, UTF-8 or UTF-16.
// Fails   Never. It is a heuristic: a script that wants to look like prose does.
// Bounds  Linear in the block.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>

namespace ebbgate::content {

enum class text_kind : std::uint8_t { other, script, shortcut };

[[nodiscard]] text_kind sniff_text(byte_view block);

} // namespace ebbgate::content
