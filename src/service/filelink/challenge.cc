#include "service/filelink/challenge.h"

#include "base/text.h"

#include <sys/stat.h>

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

namespace ebbgate::filelink {

namespace {

bool is_token(std::string_view text) {
    return !text.empty() && text.size() <= token_characters_max &&
           std::ranges::all_of(
               text, [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; });
}

std::optional<std::string> read_small(int fd) {
    struct stat found{};
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size < 0 ||
        static_cast<std::size_t>(found.st_size) > challenge_bytes_max) {
        return std::nullopt;
    }
    std::string text(static_cast<std::size_t>(found.st_size), '\0');
    std::size_t got = 0;
    while (got < text.size()) {
        const ssize_t count = read(fd, text.data() + got, text.size() - got);
        if (count < 0) {
            return std::nullopt;
        }
        if (count == 0) {
            break; // Cut meanwhile.
        }
        got += static_cast<std::size_t>(count);
    }
    text.resize(got);
    return text;
}

} // namespace

std::optional<std::string> read_challenge(const std::string& webroot, std::string_view path) {
    if (webroot.empty() || !path.starts_with(challenge_prefix) ||
        !is_token(path.substr(challenge_prefix.size()))) {
        return std::nullopt;
    }
    const std::string file = webroot + std::string(path);
    // Nonblocking: never waits for the writer of a pipe.
    const int fd = open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return std::nullopt;
    }
    auto text = read_small(fd);
    close(fd);
    return text;
}

} // namespace ebbgate::filelink
