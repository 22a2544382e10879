#include "ebbgate/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace ebbgate {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
    std::fprintf(stderr, "ebbgate: assertion failed: %s at %s:%d\n", expression, file, line);
    std::abort();
}

} // namespace ebbgate
