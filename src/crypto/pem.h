// Private keys in PEM: PKCS#1 ("RSA PRIVATE KEY") and PKCS#8 ("PRIVATE KEY"), not encrypted.
//
// Fails   With what is wrong with the text, for people.
// Specs   RFC 7468, RFC 5958, RFC 8410.

#pragma once

#include "crypto/ed25519.h"
#include "crypto/rsa.h"

#include <expected>
#include <string>
#include <variant>

namespace ebbgate::crypto {

using private_key = std::variant<rsa_private_key, ed25519_private_key>;

// The first private key in the text. Its numbers are not checked: rsa_private_key::is_consistent().
[[nodiscard]] std::expected<private_key, std::string> private_key_from_pem(byte_view pem);

// PKCS#8.
[[nodiscard]] secret_bytes private_key_to_pem(const rsa_private_key& key);
[[nodiscard]] secret_bytes private_key_to_pem(const ed25519_private_key& key);

} // namespace ebbgate::crypto
