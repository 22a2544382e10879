// Base64 by wolfSSL, strict.
//
// Fails   Nothing for what is not base64: another character, a blank, bits or padding too many.
// Specs   RFC 4648 section 4.

#pragma once

#include "ebbgate/base/bytes.h"

#include <optional>
#include <string>

namespace ebbgate::crypto {

[[nodiscard]] std::string to_base64(byte_view bytes);
[[nodiscard]] std::optional<std::string> from_base64(byte_view text);

} // namespace ebbgate::crypto
