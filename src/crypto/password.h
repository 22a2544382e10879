// Checks a password against a crypt(3) hash, and remembers for a short time that it was right.
//
// Input   Hashes as mkpasswd makes them: yescrypt, bcrypt, scrypt, sha512crypt, sha256crypt.
//         New ones are yescrypt of default cost.
// Output  Right or wrong. A check costs tens of milliseconds of CPU: never on a shard.
// Owner   password_matches(): any thread. credential_cache: one lock, held for a look-up only.
// Fails   A hash that crypt(3) does not know is wrong for every password.
// Bounds  password_bytes_max; credential_cache: entries_max entries, each for lifetime_ms.
// Specs   crypt(5); the cache is DESIGN.md section 6, "Credentials".

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace ebbgate::crypto {

inline constexpr std::size_t password_bytes_max = 512; // crypt(3): CRYPT_MAX_PASSPHRASE_SIZE.

// Empty for what crypt(3) cannot take: an empty password, a NUL inside, too many bytes.
[[nodiscard]] std::optional<std::string> hash_password(std::string_view password);

[[nodiscard]] bool password_matches(std::string_view password, const std::string& hash);

// What an unknown login is checked against where no account has a hash to take instead.
[[nodiscard]] const std::string& hash_of_nobody();

// A verified pair is kept as a keyed hash of password and account hash: what is in memory tells
// nothing without the key, and a changed account hash no longer matches. Failures are never kept.
class credential_cache {
public:
    credential_cache(std::size_t entries_max, std::uint64_t lifetime_ms);

    [[nodiscard]] bool knows(std::string_view login,
                             std::string_view password,
                             std::string_view hash,
                             std::uint64_t now_ms);
    void remember(std::string_view login,
                  std::string_view password,
                  std::string_view hash,
                  std::uint64_t now_ms);
    void clear();
    [[nodiscard]] std::size_t entry_count() const;

private:
    using digest = std::array<std::uint8_t, 32>;

    struct entry {
        digest proof{};
        std::uint64_t until_ms = 0;
    };

    [[nodiscard]] digest
    proof_of(std::string_view login, std::string_view password, std::string_view hash) const;

    mutable std::mutex lock_;
    std::unordered_map<std::string, entry> entries_;
    std::array<std::uint8_t, 32> key_{};
    std::size_t entries_max_;
    std::uint64_t lifetime_ms_;
};

} // namespace ebbgate::crypto
