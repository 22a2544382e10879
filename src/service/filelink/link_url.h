// Which file a request means: the last part of its path, and the URL that a link stands under.
//
// Input   A path as it was sent, nothing decoded; a Host header; the url of a link's tenant.
// Output  The token; whether host and path are exactly those of the link.
// Owner   Values; views of the arguments.
// Fails   Nothing for a path that is none of a link.
// Specs   RFC 9110 section 7.2, RFC 3986 section 3.2.

#pragma once

#include "store/blob/blob_store.h"

#include <optional>
#include <string_view>

namespace ebbgate::filelink {

struct folder_url {
    bool is_https = false;
    std::string_view host; // In the case of the policy.
    std::string_view path; // "/files/"
};

// Of what the policy takes.
[[nodiscard]] std::optional<folder_url> parse_folder_url(std::string_view url) noexcept;

// Of "/any/path/TOKEN" and "/any/path/TOKEN.extension".
[[nodiscard]] std::optional<std::string_view> token_of(std::string_view path) noexcept;

// `host` as the client sent it, perhaps with a port, in any case.
[[nodiscard]] bool is_of(const blob::link& link, std::string_view host, std::string_view path);

} // namespace ebbgate::filelink
