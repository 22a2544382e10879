#include "codec/spool/random_seed.h"

#include <sys/random.h>

#include <cerrno>

namespace ebbgate::spool {

bool fill_random(void* out, std::size_t bytes) noexcept {
    auto* at = static_cast<char*>(out);
    while (bytes > 0) {
        const ssize_t got = ::getrandom(at, bytes, 0);
        if (got < 0 && errno != EINTR) {
            return false;
        }
        if (got > 0) {
            at += got;
            bytes -= static_cast<std::size_t>(got);
        }
    }
    return true;
}

} // namespace ebbgate::spool
