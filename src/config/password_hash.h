// Which crypt(3) strings are worth storing a password with.
//
// Fails   Old methods, passwords in the clear and anything that could break a line or a field of
//         another file are not hashes.
// Specs   crypt(5).

#pragma once

#include <string_view>

namespace ebbgate::config {

// yescrypt, gost-yescrypt, scrypt, bcrypt, sha512crypt, sha256crypt.
[[nodiscard]] bool is_password_hash(std::string_view text) noexcept;

// "$y$": what may be told of a hash.
[[nodiscard]] std::string_view hash_method(std::string_view hash) noexcept;

} // namespace ebbgate::config
