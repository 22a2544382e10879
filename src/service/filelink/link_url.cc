#include "service/filelink/link_url.h"

#include "base/text.h"

#include <algorithm>

namespace ebbgate::filelink {

namespace {

// Without the port, which is of no interest: the request is here.
std::optional<std::string_view> without_port(std::string_view host) noexcept {
    const std::size_t bracket = host.starts_with('[') ? host.find(']') : 0;
    if (bracket == std::string_view::npos) {
        return std::nullopt;
    }
    const std::size_t colon = host.find(':', bracket);
    if (colon == std::string_view::npos) {
        return host;
    }
    return std::ranges::all_of(host.substr(colon + 1), is_digit)
               ? std::optional(host.substr(0, colon))
               : std::nullopt;
}

} // namespace

std::optional<folder_url> parse_folder_url(std::string_view url) noexcept {
    constexpr std::string_view secure = "https://";
    constexpr std::string_view clear = "http://";
    folder_url parsed;
    parsed.is_https = url.starts_with(secure);
    if (!parsed.is_https && !url.starts_with(clear)) {
        return std::nullopt;
    }
    url.remove_prefix(parsed.is_https ? secure.size() : clear.size());
    const std::size_t slash = url.find('/');
    if (slash == std::string_view::npos || !url.ends_with('/')) {
        return std::nullopt;
    }
    const auto host = without_port(url.substr(0, slash));
    if (!host || host->empty()) {
        return std::nullopt;
    }
    parsed.host = *host;
    parsed.path = url.substr(slash);
    return parsed;
}

std::optional<std::string_view> token_of(std::string_view path) noexcept {
    const std::size_t slash = path.rfind('/');
    const std::string_view name =
        slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    const std::string_view token = name.substr(0, blob::token_digits);
    const std::string_view rest = name.substr(token.size());
    if (!blob::is_token(token) || (!rest.empty() && rest.front() != '.')) {
        return std::nullopt;
    }
    return token;
}

bool is_of(const blob::link& link, std::string_view host, std::string_view path) {
    const auto folder = parse_folder_url(link.url);
    const auto asked = without_port(host);
    return folder && asked && same_ignoring_case(*asked, folder->host) &&
           path.starts_with(folder->path) && path.substr(folder->path.size()) == link.file_name();
}

} // namespace ebbgate::filelink
