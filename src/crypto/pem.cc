#include "crypto/pem.h"

#include "ebbgate/base/assert.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ed25519.h>

#include <cstring>
#include <memory>
#include <utility>

namespace ebbgate::crypto {
namespace {

constexpr std::size_t pem_bytes_max = 64 * kib;
constexpr std::size_t encoded_bytes_max = 8 * kib;

struct free_der {
    void operator()(DerBuffer* der) const noexcept {
        explicit_bzero(der->buffer, der->length);
        wc_FreeDer(&der);
    }
};

secret_bytes pem_of(const secret_bytes& der, int der_bytes) {
    EBBGATE_ASSERT(der_bytes > 0);
    secret_bytes pem(2 * encoded_bytes_max);
    const int size = wc_DerToPem(der.data(),
                                 static_cast<word32>(der_bytes),
                                 pem.data(),
                                 static_cast<word32>(pem.size()),
                                 PKCS8_PRIVATEKEY_TYPE);
    EBBGATE_ASSERT(size > 0);
    pem.shrink(static_cast<std::size_t>(size));
    return pem;
}

} // namespace

std::expected<private_key, std::string> private_key_from_pem(byte_view pem) {
    if (pem.size() > pem_bytes_max) {
        return std::unexpected("the file is too large for a key");
    }
    if (pem.find("ENCRYPTED") != byte_view::npos) {
        return std::unexpected("the key is encrypted; a gateway needs one without a passphrase");
    }
    DerBuffer* raw = nullptr;
    int algorithm = 0;
    if (wc_PemToDer(reinterpret_cast<const unsigned char*>(pem.data()),
                    static_cast<long>(pem.size()),
                    PRIVATEKEY_TYPE,
                    &raw,
                    nullptr,
                    nullptr,
                    &algorithm) < 0 ||
        raw == nullptr) {
        if (raw != nullptr) {
            wc_FreeDer(&raw);
        }
        return std::unexpected("no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")");
    }
    const std::unique_ptr<DerBuffer, free_der> der(raw);
    const byte_view bytes(reinterpret_cast<const char*>(der->buffer), der->length);
    if (auto rsa = rsa_private_key::decode(bytes)) {
        return private_key(std::move(*rsa));
    }
    if (auto ed25519 = ed25519_private_key::decode(bytes)) {
        return private_key(std::move(*ed25519));
    }
    return std::unexpected("the private key is neither RSA of 512 to 4096 bits nor Ed25519");
}

secret_bytes private_key_to_pem(const rsa_private_key& key) {
    secret_bytes der(encoded_bytes_max);
    secret_bytes inner(key.der().view()); // The library does not promise to leave it alone.
    auto size = static_cast<word32>(der.size());
    const int made = wc_CreatePKCS8Key(
        der.data(), &size, inner.data(), static_cast<word32>(inner.size()), RSAk, nullptr, 0);
    return pem_of(der, made);
}

secret_bytes private_key_to_pem(const ed25519_private_key& key) {
    ed25519_key working{};
    EBBGATE_ASSERT(wc_ed25519_init(&working) == 0);
    EBBGATE_ASSERT(wc_ed25519_import_private_only(
                       key.seed().data(), static_cast<word32>(key.seed().size()), &working) == 0);
    secret_bytes der(encoded_bytes_max);
    const int made =
        wc_Ed25519PrivateKeyToDer(&working, der.data(), static_cast<word32>(der.size()));
    wc_ed25519_free(&working);
    explicit_bzero(&working, sizeof working);
    return pem_of(der, made);
}

} // namespace ebbgate::crypto
