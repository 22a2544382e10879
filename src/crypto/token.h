// API tokens: 256 random bits as text, and the digest that is kept of one.
//
// Output  "ebbgate_" and 64 hexadecimal digits; a digest is the SHA-256 of that text, 64 digits.
// Owner   Any thread.
// Fails   Never: without randomness from the kernel the process must not go on.
// Specs   FIPS 180-4. A plain hash is enough: nobody can try 2^256 tokens, so nothing needs to be
//         slow, and a stolen file of digests opens nothing.

#pragma once

#include <string>
#include <string_view>

namespace ebbgate::crypto {

[[nodiscard]] std::string make_token();
[[nodiscard]] bool is_token(std::string_view text) noexcept;

[[nodiscard]] std::string token_digest(std::string_view token);
[[nodiscard]] bool is_token_digest(std::string_view text) noexcept;

} // namespace ebbgate::crypto
