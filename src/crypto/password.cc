#include "crypto/password.h"

#include "ebbgate/base/assert.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/misc.h>

#include <sys/random.h>

#include <crypt.h>
#include <cstring>
#include <memory>

namespace ebbgate::crypto {

namespace {

bool equal_in_constant_time(std::string_view left, std::string_view right) noexcept {
    if (left.size() != right.size()) {
        return false;
    }
    unsigned difference = 0;
    for (std::size_t index = 0; index < left.size(); ++index) {
        difference |=
            static_cast<unsigned char>(left[index]) ^ static_cast<unsigned char>(right[index]);
    }
    return difference == 0;
}

} // namespace

std::optional<std::string> hash_password(std::string_view password) {
    if (password.empty() || password.size() >= password_bytes_max ||
        password.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    std::string text(password);
    const auto work = std::make_unique<crypt_data>();
    char setting[CRYPT_GENSALT_OUTPUT_SIZE] = "";
    // Cost 0 is the default, and no bytes of ours: the library asks the kernel for the salt.
    const char* salted = crypt_gensalt_rn("$y$", 0, nullptr, 0, setting, sizeof setting);
    const char* made = salted == nullptr ? nullptr : crypt_r(text.c_str(), setting, work.get());
    EBBGATE_ASSERT(made != nullptr && made[0] != '*');
    std::string hash(made);
    explicit_bzero(work.get(), sizeof *work);
    explicit_bzero(text.data(), text.size());
    return hash;
}

bool password_matches(std::string_view password, const std::string& hash) {
    // crypt(3) takes a C string: with a NUL inside, only the part before it would be checked.
    if (password.size() >= password_bytes_max || password.find('\0') != std::string_view::npos) {
        return false;
    }
    const std::string text(password);
    const auto work = std::make_unique<crypt_data>(); // 32 KiB: too much for a coroutine's stack.
    const char* made = crypt_r(text.c_str(), hash.c_str(), work.get());
    // A failure token begins with '*' and is never a hash.
    const bool right = made != nullptr && made[0] != '*' && equal_in_constant_time(made, hash);
    explicit_bzero(work.get(), sizeof *work);
    return right;
}

const std::string& hash_of_nobody() {
    // A yescrypt hash of default cost whose password nobody knows: it was random.
    static const std::string hash = [] {
        std::array<char, 32> secret{};
        EBBGATE_ASSERT(getrandom(secret.data(), secret.size(), 0) ==
                       static_cast<ssize_t>(secret.size()));
        for (char& c : secret) {
            c = static_cast<char>('a' + static_cast<unsigned char>(c) % 26);
        }
        return hash_password({secret.data(), secret.size()}).value();
    }();
    return hash;
}

credential_cache::credential_cache(std::size_t entries_max, std::uint64_t lifetime_ms)
    : entries_max_(entries_max), lifetime_ms_(lifetime_ms) {
    EBBGATE_ASSERT(getrandom(key_.data(), key_.size(), 0) == static_cast<ssize_t>(key_.size()));
}

credential_cache::digest credential_cache::proof_of(std::string_view login,
                                                    std::string_view password,
                                                    std::string_view hash) const {
    digest proof{};
    Hmac hmac;
    int failed = wc_HmacInit(&hmac, nullptr, INVALID_DEVID);
    failed |= wc_HmacSetKey(&hmac, WC_SHA256, key_.data(), static_cast<word32>(key_.size()));
    // Lengths go first, so that no two triples make the same bytes.
    for (const std::string_view part : {login, password, hash}) {
        const std::uint64_t length = part.size();
        failed |= wc_HmacUpdate(&hmac, reinterpret_cast<const byte*>(&length), sizeof length);
        failed |= wc_HmacUpdate(
            &hmac, reinterpret_cast<const byte*>(part.data()), static_cast<word32>(part.size()));
    }
    failed |= wc_HmacFinal(&hmac, proof.data());
    wc_HmacFree(&hmac);
    EBBGATE_ASSERT(failed == 0);
    return proof;
}

bool credential_cache::knows(std::string_view login,
                             std::string_view password,
                             std::string_view hash,
                             std::uint64_t now_ms) {
    const digest proof = proof_of(login, password, hash);
    const std::lock_guard hold(lock_);
    const auto found = entries_.find(std::string(login));
    if (found == entries_.end()) {
        return false;
    }
    if (found->second.until_ms <= now_ms) {
        entries_.erase(found);
        return false;
    }
    return equal_in_constant_time(
        {reinterpret_cast<const char*>(proof.data()), proof.size()},
        {reinterpret_cast<const char*>(found->second.proof.data()), proof.size()});
}

void credential_cache::remember(std::string_view login,
                                std::string_view password,
                                std::string_view hash,
                                std::uint64_t now_ms) {
    const digest proof = proof_of(login, password, hash);
    const std::lock_guard hold(lock_);
    if (entries_.size() >= entries_max_ && !entries_.contains(std::string(login))) {
        entries_.erase(entries_.begin()); // Any: it costs its owner one more check.
    }
    if (entries_max_ > 0) {
        entries_[std::string(login)] = {proof, now_ms + lifetime_ms_};
    }
}

void credential_cache::clear() {
    const std::lock_guard hold(lock_);
    entries_.clear();
}

std::size_t credential_cache::entry_count() const {
    const std::lock_guard hold(lock_);
    return entries_.size();
}

} // namespace ebbgate::crypto
