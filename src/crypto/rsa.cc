#include "crypto/rsa.h"

#include "ebbgate/base/assert.h"

#include "crypto/random.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

namespace ebbgate::crypto {
namespace {

constexpr std::size_t modulus_bytes_max = rsa_bits_max / 8;
constexpr std::size_t der_bytes_max = 8 * kib;
constexpr long public_exponent = 65537;

// DigestInfo in front of the digest: RFC 8017 section 9.2, note 1.
constexpr std::array<char, 19> sha256_prefix = {'\x30',
                                                '\x31',
                                                '\x30',
                                                '\x0d',
                                                '\x06',
                                                '\x09',
                                                '\x60',
                                                '\x86',
                                                '\x48',
                                                '\x01',
                                                '\x65',
                                                '\x03',
                                                '\x04',
                                                '\x02',
                                                '\x01',
                                                '\x05',
                                                '\x00',
                                                '\x04',
                                                '\x20'};
constexpr std::array<char, 15> sha1_prefix = {'\x30',
                                              '\x21',
                                              '\x30',
                                              '\x09',
                                              '\x06',
                                              '\x05',
                                              '\x2b',
                                              '\x0e',
                                              '\x03',
                                              '\x02',
                                              '\x1a',
                                              '\x05',
                                              '\x00',
                                              '\x04',
                                              '\x14'};

// One operation's key. wc_FreeRsaKey() wipes the private numbers.
class working_key {
public:
    working_key() { EBBGATE_ASSERT(wc_InitRsaKey(&key_, nullptr) == 0); }

    working_key(const working_key&) = delete;
    working_key& operator=(const working_key&) = delete;

    ~working_key() {
        (void)wc_FreeRsaKey(&key_);
        explicit_bzero(&key_, sizeof key_);
    }

    [[nodiscard]] RsaKey* get() noexcept { return &key_; }

    [[nodiscard]] bool decode_private(byte_view der) noexcept {
        word32 at = 0;
        return der.size() <= der_bytes_max &&
               wc_RsaPrivateKeyDecode(bytes_of(der), &at, &key_, size_of(der)) == 0;
    }

    [[nodiscard]] bool decode_public(byte_view der) noexcept {
        word32 at = 0;
        return der.size() <= der_bytes_max &&
               wc_RsaPublicKeyDecode(bytes_of(der), &at, &key_, size_of(der)) == 0 &&
               at == der.size();
    }

    [[nodiscard]] bool take_public(byte_view modulus, byte_view exponent) noexcept {
        return wc_RsaPublicKeyDecodeRaw(bytes_of(modulus),
                                        size_of(modulus),
                                        bytes_of(exponent),
                                        size_of(exponent),
                                        &key_) == 0;
    }

    static const byte* bytes_of(byte_view view) noexcept {
        return reinterpret_cast<const byte*>(view.data());
    }

    static word32 size_of(byte_view view) noexcept { return static_cast<word32>(view.size()); }

private:
    RsaKey key_{};
};

std::string digest_info(const digest& digest) {
    std::string text;
    if (digest.size == 32) {
        text.assign(sha256_prefix.data(), sha256_prefix.size());
    } else {
        text.assign(sha1_prefix.data(), sha1_prefix.size());
    }
    return text.append(digest.view());
}

std::string exported(const mp_int& number) {
    std::string bytes(static_cast<std::size_t>(mp_unsigned_bin_size(&number)), '\0');
    EBBGATE_ASSERT(mp_to_unsigned_bin(&number, reinterpret_cast<byte*>(bytes.data())) == MP_OKAY);
    return bytes;
}

// False: it has more limbs.
bool export_limbs(const mp_int& number, std::size_t limbs, std::span<unsigned long long> out) {
    std::array<byte, modulus_bytes_max> bytes{};
    const std::size_t wanted = limbs * 8;
    if (wanted > bytes.size() || static_cast<std::size_t>(mp_unsigned_bin_size(&number)) > wanted) {
        return false;
    }
    const bool exported =
        mp_to_unsigned_bin_len(&number, bytes.data(), static_cast<int>(wanted)) == MP_OKAY;
    for (std::size_t i = 0; exported && i < wanted; ++i) {
        out[i / 8] |= static_cast<unsigned long long>(bytes[wanted - 1 - i]) << (i % 8 * 8);
    }
    explicit_bzero(bytes.data(), bytes.size());
    return exported;
}

// crypto_mb wants both primes to be of half the modulus' bits; the exponent is for its check.
std::unique_ptr<rsa_limbs> limbs_of(const RsaKey& key, std::size_t bits) {
    if (bits != 2048 && bits != 3072 && bits != 4096) {
        return nullptr;
    }
    const int half = static_cast<int>(bits / 2);
    if (mp_isword(&key.e, public_exponent) != MP_YES || mp_count_bits(&key.p) != half ||
        mp_count_bits(&key.q) != half) {
        return nullptr;
    }
    const std::size_t limbs = bits / 2 / 64;
    auto out = std::make_unique<rsa_limbs>();
    const bool all = export_limbs(key.p, limbs, out->p) && export_limbs(key.q, limbs, out->q) &&
                     export_limbs(key.dP, limbs, out->dp) && export_limbs(key.dQ, limbs, out->dq) &&
                     export_limbs(key.u, limbs, out->inverse_q) &&
                     export_limbs(key.n, 2 * limbs, out->modulus);
    return all ? std::move(out) : nullptr;
}

} // namespace

rsa_limbs::~rsa_limbs() {
    for (number* one : {&p, &q, &dp, &dq, &inverse_q}) {
        explicit_bzero(one->data(), sizeof *one);
    }
}

std::optional<rsa_public_key> rsa_public_key::decode(byte_view der) {
    working_key working;
    if (!working.decode_public(der)) {
        return std::nullopt;
    }
    rsa_public_key key;
    key.bits_ = static_cast<std::size_t>(mp_count_bits(&working.get()->n));
    // An even modulus or exponent is no RSA, and the arithmetic below it relies on that.
    if (key.bits_ < rsa_bits_min || key.bits_ > rsa_bits_max || mp_iseven(&working.get()->n) ||
        mp_iseven(&working.get()->e) || mp_count_bits(&working.get()->e) > 64 ||
        mp_cmp_d(&working.get()->e, 3) == MP_LT) {
        return std::nullopt;
    }
    key.modulus_ = exported(working.get()->n);
    key.exponent_ = exported(working.get()->e);
    return key;
}

bool rsa_public_key::verify(const digest& digest, byte_view signature) const {
    if (signature.size() != modulus_.size()) {
        return false;
    }
    working_key working;
    if (!working.take_public(modulus_, exponent_)) {
        return false;
    }
    std::array<byte, modulus_bytes_max> plain{};
    const int size = wc_RsaSSL_Verify(working_key::bytes_of(signature),
                                      working_key::size_of(signature),
                                      plain.data(),
                                      static_cast<word32>(plain.size()),
                                      working.get());
    // Compared whole, never parsed: nothing may follow the digest.
    const std::string wanted = digest_info(digest);
    return size > 0 && static_cast<std::size_t>(size) == wanted.size() &&
           std::memcmp(plain.data(), wanted.data(), wanted.size()) == 0;
}

std::optional<rsa_private_key> rsa_private_key::decode(byte_view der) {
    working_key working;
    if (!working.decode_private(der)) {
        return std::nullopt;
    }
    rsa_private_key key;
    key.public_.bits_ = static_cast<std::size_t>(mp_count_bits(&working.get()->n));
    if (key.bits() < rsa_bits_min || key.bits() > rsa_bits_max) {
        return std::nullopt;
    }
    key.public_.modulus_ = exported(working.get()->n);
    key.public_.exponent_ = exported(working.get()->e);
    key.limbs_ = limbs_of(*working.get(), key.bits());
    secret_bytes encoded(der_bytes_max);
    const int size =
        wc_RsaKeyToDer(working.get(), encoded.data(), static_cast<word32>(encoded.size()));
    if (size <= 0) {
        return std::nullopt;
    }
    encoded.shrink(static_cast<std::size_t>(size));
    key.der_ = std::move(encoded);
    return key;
}

rsa_private_key rsa_private_key::generate(std::size_t bits) {
    EBBGATE_ASSERT(bits == 1024 || bits == 2048 || bits == 3072 || bits == 4096);
    working_key working;
    EBBGATE_ASSERT(
        wc_MakeRsaKey(working.get(), static_cast<int>(bits), public_exponent, thread_random()) ==
        0);
    secret_bytes encoded(der_bytes_max);
    const int size =
        wc_RsaKeyToDer(working.get(), encoded.data(), static_cast<word32>(encoded.size()));
    EBBGATE_ASSERT(size > 0);
    encoded.shrink(static_cast<std::size_t>(size));
    auto key = decode(encoded.view());
    EBBGATE_ASSERT(key.has_value());
    return std::move(*key);
}

std::string rsa_private_key::public_der() const {
    working_key working;
    EBBGATE_ASSERT(working.take_public(public_.modulus_, public_.exponent_));
    std::string out(der_bytes_max, '\0');
    const int size = wc_RsaKeyToPublicDer(
        working.get(), reinterpret_cast<byte*>(out.data()), static_cast<word32>(out.size()));
    EBBGATE_ASSERT(size > 0);
    out.resize(static_cast<std::size_t>(size));
    return out;
}

bool rsa_private_key::is_consistent() const {
    // The signature is made from the primes and their exponents and verified with the modulus.
    return sign(hash_of("ebbgate")).has_value();
}

std::optional<std::string> rsa_private_key::sign(const digest& digest) const {
    EBBGATE_ASSERT(digest.size == 32);
    working_key working;
    if (!working.decode_private(der_.view()) || wc_RsaSetRNG(working.get(), thread_random()) != 0) {
        return std::nullopt;
    }
    const std::string info = digest_info(digest);
    std::string signature(bits() / 8 + 1, '\0');
    const int size = wc_RsaSSL_Sign(working_key::bytes_of(info),
                                    working_key::size_of(info),
                                    reinterpret_cast<byte*>(signature.data()),
                                    static_cast<word32>(signature.size()),
                                    working.get(),
                                    thread_random());
    if (size <= 0) {
        return std::nullopt;
    }
    signature.resize(static_cast<std::size_t>(size));
    return public_.verify(digest, signature) ? std::optional(std::move(signature)) : std::nullopt;
}

std::string padded_digest(const digest& digest, std::size_t bytes) {
    const std::string info = digest_info(digest);
    EBBGATE_ASSERT(digest.size == 32 && bytes >= info.size() + 11);
    std::string padded(bytes - info.size(), '\xff');
    padded[0] = '\x00';
    padded[1] = '\x01';
    padded.back() = '\x00';
    return padded += info;
}

} // namespace ebbgate::crypto
