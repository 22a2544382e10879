// wolfSSL's random generator, one a thread: for blinding and for new keys. Only for src/crypto.

#pragma once

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/random.h>

namespace ebbgate::crypto {

// Without randomness from the kernel the process must not go on.
[[nodiscard]] WC_RNG* thread_random();

} // namespace ebbgate::crypto
