#include "crypto/ed25519.h"

#include "ebbgate/base/assert.h"

#include "crypto/random.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ed25519.h>

#include <cstring>

namespace ebbgate::crypto {
namespace {

class working_key {
public:
    working_key() { EBBGATE_ASSERT(wc_ed25519_init(&key_) == 0); }

    working_key(const working_key&) = delete;
    working_key& operator=(const working_key&) = delete;

    ~working_key() {
        wc_ed25519_free(&key_);
        explicit_bzero(&key_, sizeof key_);
    }

    [[nodiscard]] ed25519_key* get() noexcept { return &key_; }

private:
    ed25519_key key_{};
};

const byte* bytes_of(byte_view view) noexcept {
    return reinterpret_cast<const byte*>(view.data());
}

word32 size_of(byte_view view) noexcept {
    return static_cast<word32>(view.size());
}

} // namespace

bool ed25519_verify(byte_view public_key, byte_view message, byte_view signature) {
    working_key working;
    int good = 0;
    return public_key.size() == ed25519_key_bytes && signature.size() == ed25519_signature_bytes &&
           message.size() <= gib &&
           wc_ed25519_import_public(bytes_of(public_key), size_of(public_key), working.get()) ==
               0 &&
           wc_ed25519_verify_msg(bytes_of(signature),
                                 size_of(signature),
                                 bytes_of(message),
                                 size_of(message),
                                 &good,
                                 working.get()) == 0 &&
           good == 1;
}

bool is_ed25519_public_key(byte_view bytes) {
    working_key working;
    return bytes.size() == ed25519_key_bytes &&
           wc_ed25519_import_public(bytes_of(bytes), size_of(bytes), working.get()) == 0;
}

std::optional<ed25519_private_key> ed25519_private_key::from_seed(byte_view seed) {
    working_key working;
    ed25519_private_key key;
    key.public_.resize(ed25519_key_bytes);
    if (seed.size() != ed25519_key_bytes ||
        wc_ed25519_import_private_only(bytes_of(seed), size_of(seed), working.get()) != 0 ||
        wc_ed25519_make_public(
            working.get(), reinterpret_cast<byte*>(key.public_.data()), ed25519_key_bytes) != 0) {
        return std::nullopt;
    }
    key.seed_ = secret_bytes(seed);
    return key;
}

std::optional<ed25519_private_key> ed25519_private_key::decode(byte_view der) {
    working_key working;
    word32 at = 0;
    if (der.size() > kib ||
        wc_Ed25519PrivateKeyDecode(bytes_of(der), &at, working.get(), size_of(der)) != 0) {
        return std::nullopt;
    }
    auto key = from_seed({reinterpret_cast<const char*>(working.get()->k), ed25519_key_bytes});
    if (key && working.get()->pubKeySet &&
        std::memcmp(working.get()->p, key->public_.data(), ed25519_key_bytes) != 0) {
        return std::nullopt;
    }
    return key;
}

ed25519_private_key ed25519_private_key::generate() {
    secret_bytes seed(ed25519_key_bytes);
    EBBGATE_ASSERT(
        wc_RNG_GenerateBlock(thread_random(), seed.data(), static_cast<word32>(seed.size())) == 0);
    auto key = from_seed(seed.view());
    EBBGATE_ASSERT(key.has_value());
    return std::move(*key);
}

std::optional<std::string> ed25519_private_key::sign(byte_view message) const {
    working_key working;
    std::string signature(ed25519_signature_bytes, '\0');
    auto size = static_cast<word32>(signature.size());
    if (message.size() > gib ||
        wc_ed25519_import_private_key_ex(seed_.data(),
                                         static_cast<word32>(seed_.size()),
                                         bytes_of(public_),
                                         size_of(public_),
                                         working.get(),
                                         1) != 0 || // Made by us: no check again.
        wc_ed25519_sign_msg(bytes_of(message),
                            size_of(message),
                            reinterpret_cast<byte*>(signature.data()),
                            &size,
                            working.get()) != 0 ||
        !ed25519_verify(public_, message, signature)) {
        return std::nullopt;
    }
    return signature;
}

} // namespace ebbgate::crypto
