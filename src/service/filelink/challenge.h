// Answers to ACME's HTTP-01 challenges, put into a folder by a client such as certbot.
//
// Input   A path that begins with challenge_prefix, and the folder (certbot's --webroot).
// Output  What the file holds.
// Owner   Any thread; blocks on the disk.
// Fails   Nothing for all that is no small regular file; links are not followed.
// Bounds  challenge_bytes_max, token_characters_max.
// Specs   RFC 8555 section 8.3.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::filelink {

inline constexpr std::string_view challenge_prefix = "/.well-known/acme-challenge/";
inline constexpr std::size_t challenge_bytes_max = 64 * kib;
inline constexpr std::size_t token_characters_max = 128;

[[nodiscard]] std::optional<std::string> read_challenge(const std::string& webroot,
                                                        std::string_view path);

} // namespace ebbgate::filelink
