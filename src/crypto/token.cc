#include "crypto/token.h"

#include "ebbgate/base/assert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace ebbgate::crypto {

namespace {

constexpr std::string_view prefix = "ebbgate_"; // So that scanners for leaked secrets find one.
constexpr std::size_t digits = 64;

std::string hexadecimal(const std::array<std::uint8_t, 32>& bytes) {
    return fmt::format("{:02x}", fmt::join(bytes, ""));
}

bool is_hexadecimal(std::string_view text) noexcept {
    return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

} // namespace

std::string make_token() {
    std::array<std::uint8_t, 32> secret{};
    EBBGATE_ASSERT(getrandom(secret.data(), secret.size(), 0) ==
                   static_cast<ssize_t>(secret.size()));
    return std::string(prefix) + hexadecimal(secret);
}

bool is_token(std::string_view text) noexcept {
    return text.starts_with(prefix) && is_hexadecimal(text.substr(prefix.size()));
}

std::string token_digest(std::string_view token) {
    std::array<std::uint8_t, 32> digest{};
    EBBGATE_ASSERT(wc_Sha256Hash(reinterpret_cast<const byte*>(token.data()),
                                 static_cast<word32>(token.size()),
                                 digest.data()) == 0);
    return hexadecimal(digest);
}

bool is_token_digest(std::string_view text) noexcept {
    return is_hexadecimal(text);
}

} // namespace ebbgate::crypto
