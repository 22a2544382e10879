// Passwords and tokens on their way in: from a terminal without echo, from stdin or from a file.
//
// Fails   With why; a terminal is put back as it was, also when a signal ends us amid the prompt.
// Bounds  One line of at most crypto::password_bytes_max bytes.

#pragma once

#include <expected>
#include <string>

namespace ebbgate::ctl {

// The hash of a password that is asked for twice on the terminal, or is the first line of stdin.
[[nodiscard]] std::expected<std::string, std::string> read_password_hash(bool from_stdin);

// The first line of the file. A file that others can read is refused.
[[nodiscard]] std::expected<std::string, std::string> read_token_file(const std::string& path);

} // namespace ebbgate::ctl
