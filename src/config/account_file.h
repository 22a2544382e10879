// Logins and their crypt(3) hashes, as other servers keep them.
//
// Input   A Dovecot passwd-file (`login:{SCHEME}hash:...`) or an htpasswd file (`login:hash`).
// Fails   With every line that cannot be taken, and why; then nothing is imported.
// Bounds  accounts_file_max accounts; the file as read_file() bounds it.

#pragma once

#include "config/fault.h"

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace ebbgate::config {

inline constexpr std::size_t accounts_file_max = 1'000'000;

enum class account_format : std::uint8_t { dovecot, htpasswd };

struct imported_account {
    std::string login;
    std::string password_hash;
};

struct imported_accounts {
    std::vector<imported_account> accounts;
};

[[nodiscard]] std::expected<imported_accounts, faults> read_account_file(const std::string& path,
                                                                         account_format format);

} // namespace ebbgate::config
