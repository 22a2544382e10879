#include "config/account_file.h"

#include "config/password_hash.h"
#include "config/reader.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace ebbgate::config {

std::expected<imported_accounts, faults> read_account_file(const std::string& path,
                                                           account_format format) {
    const auto text = read_file(path);
    if (!text) {
        return std::unexpected(text.error());
    }
    imported_accounts read;
    faults found;
    std::unordered_set<std::string_view> logins;
    std::uint32_t number = 0;
    for (std::size_t at = 0; at < text->size() && found.size() < faults_max;) {
        const std::size_t end = std::min(text->find('\n', at), text->size());
        std::string_view line(text->data() + at, end - at);
        at = end + 1;
        ++number;
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.empty() || line.starts_with('#')) {
            continue;
        }
        const std::size_t colon = line.find(':');
        const std::string_view login = line.substr(0, colon);
        std::string_view hash =
            colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
        if (format == account_format::dovecot) {
            hash = hash.substr(0, hash.find(':'));
            if (hash.starts_with('{')) {
                hash.remove_prefix(std::min(hash.find('}'), hash.size() - 1) + 1);
            }
        }
        if (login.empty() || !is_password_hash(hash)) {
            found.push_back({path, number, "", "expected a login and a crypt(3) hash"});
        } else if (!logins.insert(login).second) {
            found.push_back({path, number, "", "the login stands in the file already"});
        } else if (read.accounts.size() == accounts_file_max) {
            found.push_back({path, number, "", "more accounts than one tenant may have"});
            break;
        } else {
            read.accounts.push_back({std::string(login), std::string(hash)});
        }
    }
    if (!found.empty()) {
        return std::unexpected(std::move(found));
    }
    return read;
}

} // namespace ebbgate::config
