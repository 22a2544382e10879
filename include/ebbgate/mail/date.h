// The date as header fields and the status of a delivery have it.
//
// Specs   RFC 5322 section 3.3.

#pragma once

#include <cstdint>
#include <string>

namespace ebbgate::mail {

// "Tue, 24 Nov 2026 15:56:53 +0000"
[[nodiscard]] std::string date_text(std::int64_t unix_s);

} // namespace ebbgate::mail
