#include "crypto/rsa_batch.h"

#include "ebbgate/base/assert.h"

#ifdef EBBGATE_CRYPTO_MB
#define BN_OPENSSL_DISABLE // Its other interface, which takes OpenSSL's numbers.
#include <crypto_mb/cpu_features.h>
#include <crypto_mb/rsa.h>
#endif

#include <array>
#include <cstring>
#include <vector>

namespace ebbgate::crypto {
namespace {

void sign_one(rsa_request& request) {
    request.signature = request.key->sign(request.digest).value_or(std::string());
}

#ifdef EBBGATE_CRYPTO_MB

// Eight lanes cost as much as one. Fewer than these are done sooner by wolfSSL (dkim_bench).
constexpr std::size_t worth_vectors = 2;

// Zeroed memory for the library's secrets.
class scratch {
public:
    explicit scratch(std::size_t bytes) : bytes_(bytes) {}

    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;

    ~scratch() { explicit_bzero(bytes_.data(), bytes_.size()); }

    [[nodiscard]] std::uint8_t* data() noexcept { return bytes_.data(); }

private:
    std::vector<std::uint8_t> bytes_;
};

// The public operation gives the padded digests again, in their lanes; what is not there is not
// verified.
void clear_unverified(std::span<rsa_request* const> lanes,
                      std::span<const std::string> padded,
                      std::size_t bits,
                      mbx_status signed_lanes) {
    std::array<const unsigned char*, rsa_batch_max> from{};
    std::array<unsigned char*, rsa_batch_max> to{};
    std::array<const unsigned long long*, rsa_batch_max> modulus{};
    std::array<std::array<unsigned char, rsa_bits_max / 8>, rsa_batch_max> found{};
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
        from[lane] = reinterpret_cast<const unsigned char*>(lanes[lane]->signature.data());
        to[lane] = found[lane].data();
        modulus[lane] = lanes[lane]->key->limbs()->modulus.data();
    }
    const mbx_RSA_Method* method = mbx_RSA_pub65537_Method(static_cast<int>(bits));
    EBBGATE_ASSERT(method != nullptr);
    scratch work(static_cast<std::size_t>(mbx_RSA_Method_BufSize(method)));
    const mbx_status status = mbx_rsa_public_mb8(
        from.data(), to.data(), modulus.data(), static_cast<int>(bits), method, work.data());
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
        const auto at = static_cast<int>(lane);
        const byte_view opened(reinterpret_cast<const char*>(found[lane].data()), bits / 8);
        if (MBX_GET_STS(signed_lanes, at) != MBX_STATUS_OK ||
            MBX_GET_STS(status, at) != MBX_STATUS_OK || opened != padded[lane]) {
            lanes[lane]->signature.clear();
        }
    }
}

// All of one size, each with limbs. A lane that fails or does not verify is left empty.
void sign_in_lanes(std::span<rsa_request* const> lanes, std::size_t bits) {
    using number = const unsigned long long*;
    std::array<const unsigned char*, rsa_batch_max> from{};
    std::array<unsigned char*, rsa_batch_max> to{};
    std::array<number, rsa_batch_max> p{};
    std::array<number, rsa_batch_max> q{};
    std::array<number, rsa_batch_max> dp{};
    std::array<number, rsa_batch_max> dq{};
    std::array<number, rsa_batch_max> inverse_q{};
    std::array<std::string, rsa_batch_max> padded;
    const std::size_t bytes = bits / 8;
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
        rsa_request& request = *lanes[lane];
        const rsa_limbs& limbs = *request.key->limbs();
        padded[lane] = padded_digest(request.digest, bytes);
        request.signature.assign(bytes, '\0');
        from[lane] = reinterpret_cast<const unsigned char*>(padded[lane].data());
        to[lane] = reinterpret_cast<unsigned char*>(request.signature.data());
        p[lane] = limbs.p.data();
        q[lane] = limbs.q.data();
        dp[lane] = limbs.dp.data();
        dq[lane] = limbs.dq.data();
        inverse_q[lane] = limbs.inverse_q.data();
    }
    const mbx_RSA_Method* method = mbx_RSA_private_crt_Method(static_cast<int>(bits));
    EBBGATE_ASSERT(method != nullptr);
    scratch work(static_cast<std::size_t>(mbx_RSA_Method_BufSize(method)));
    // A lane without pointers is skipped and has a status of its own, which says nothing.
    const mbx_status status = mbx_rsa_private_crt_mb8(from.data(),
                                                      to.data(),
                                                      p.data(),
                                                      q.data(),
                                                      dp.data(),
                                                      dq.data(),
                                                      inverse_q.data(),
                                                      static_cast<int>(bits),
                                                      method,
                                                      work.data());
    clear_unverified(lanes, padded, bits, status);
}

void sign_by_vectors(std::span<rsa_request> requests, std::size_t lanes_min) {
    std::array<bool, rsa_batch_max> done{};
    for (const std::size_t bits : {2048U, 3072U, 4096U}) {
        std::array<rsa_request*, rsa_batch_max> lanes{};
        std::size_t count = 0;
        for (rsa_request& request : requests) {
            if (request.key->bits() == bits && request.key->limbs() != nullptr) {
                lanes[count++] = &request;
            }
        }
        if (count < lanes_min) {
            continue;
        }
        sign_in_lanes(std::span(lanes).first(count), bits);
        for (const rsa_request* request : std::span(lanes).first(count)) {
            done[static_cast<std::size_t>(request - requests.data())] = true;
        }
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
        if (!done[i]) {
            sign_one(requests[i]);
        }
    }
}

#endif

} // namespace

bool has_rsa_vectors() noexcept {
#ifdef EBBGATE_CRYPTO_MB
    static const bool found = mbx_is_crypto_mb_applicable(mbx_get_cpu_features()) != 0;
    return found;
#else
    return false;
#endif
}

void rsa_sign(std::span<rsa_request> requests, rsa_engine engine) {
    EBBGATE_ASSERT(requests.size() <= rsa_batch_max);
    EBBGATE_ASSERT(engine != rsa_engine::vectors || has_rsa_vectors());
#ifdef EBBGATE_CRYPTO_MB
    if (engine != rsa_engine::one_by_one && has_rsa_vectors()) {
        sign_by_vectors(requests, engine == rsa_engine::vectors ? 1 : worth_vectors);
        return;
    }
#endif
    for (rsa_request& request : requests) {
        sign_one(request);
    }
}

} // namespace ebbgate::crypto
