#include "ebbgate/dkim/key.h"

#include "ebbgate/base/assert.h"

#include "base/text.h"
#include "crypto/base64.h"
#include "crypto/pem.h"

#include <fmt/format.h>

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::dkim {
namespace {

constexpr std::size_t record_string_bytes_max = 255; // RFC 1035 section 3.3.
constexpr std::size_t name_bytes_max = 253;
constexpr std::size_t label_bytes_max = 63;

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_(fd) {}

    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;

    ~descriptor() {
        if (fd_ >= 0) {
            (void)close(fd_);
        }
    }

    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

std::unexpected<failure> system_failure(const std::string& path, const char* what) {
    return fail(failure_kind::io, fmt::format("{}: {}: {}", path, what, std::strerror(errno)));
}

bool write_all(int fd, byte_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        bytes.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
    return true;
}

bool sync_folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "."
                               : slash == 0               ? "/"
                                                          : path.substr(0, slash);
    const descriptor opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return opened.get() >= 0 && fsync(opened.get()) == 0;
}

} // namespace

signing_key::signing_key(crypto::rsa_private_key key)
    : rsa_(std::make_unique<const crypto::rsa_private_key>(std::move(key))) {}

signing_key::signing_key(crypto::ed25519_private_key key)
    : ed25519_(std::make_unique<const crypto::ed25519_private_key>(std::move(key))) {}

signing_key::~signing_key() = default;

std::size_t signing_key::bits() const noexcept {
    return rsa_ != nullptr ? rsa_->bits() : crypto::ed25519_key_bytes * 8;
}

std::string signing_key::public_key() const {
    return crypto::to_base64(rsa_ != nullptr ? rsa_->public_der() : ed25519_->public_key());
}

std::string signing_key::to_pem() const {
    const crypto::secret_bytes pem =
        rsa_ != nullptr ? crypto::private_key_to_pem(*rsa_) : crypto::private_key_to_pem(*ed25519_);
    return std::string(pem.view());
}

result<key_pointer> parse_key(byte_view pem) {
    auto parsed = crypto::private_key_from_pem(pem);
    if (!parsed) {
        return fail(failure_kind::bad_input, std::move(parsed.error()));
    }
    if (auto* ed25519 = std::get_if<crypto::ed25519_private_key>(&*parsed)) {
        if (!ed25519->sign("ebbgate")) {
            return fail(failure_kind::bad_input, "the Ed25519 key makes no valid signature");
        }
        return std::make_shared<const signing_key>(std::move(*ed25519));
    }
    auto& rsa = std::get<crypto::rsa_private_key>(*parsed);
    if (rsa.bits() < rsa_bits_min) {
        return fail(failure_kind::bad_input,
                    fmt::format("an RSA key of {} bits; receivers refuse less than {}",
                                rsa.bits(),
                                rsa_bits_min));
    }
    if (!rsa.is_consistent()) {
        return fail(failure_kind::bad_input,
                    "the RSA key makes no valid signature: its numbers do not belong together");
    }
    return std::make_shared<const signing_key>(std::move(rsa));
}

result<key_pointer> load_key(const std::string& path) {
    // Not waiting for the other end of a pipe, whose name someone may have given.
    const descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat found{};
    if (file.get() < 0 || fstat(file.get(), &found) != 0) {
        return system_failure(path, "cannot open the key");
    }
    if (!S_ISREG(found.st_mode)) {
        return fail(failure_kind::bad_input, path + ": not a file");
    }
    crypto::secret_bytes text(key_file_bytes_max + 1);
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t got = read(file.get(), text.data() + size, text.size() - size);
        if (got < 0 && errno != EINTR) {
            return system_failure(path, "cannot read the key");
        }
        if (got == 0) {
            break;
        }
        size += got < 0 ? 0 : static_cast<std::size_t>(got);
    }
    auto key = size > key_file_bytes_max
                   ? fail(failure_kind::bad_input, "the file is too large for a key")
                   : parse_key(text.view().substr(0, size));
    if (!key) {
        key.error().detail.insert(0, path + ": ");
    }
    return key;
}

key_pointer generate_key(key_type type, std::size_t rsa_bits) {
    return type == key_type::rsa
               ? std::make_shared<const signing_key>(crypto::rsa_private_key::generate(rsa_bits))
               : std::make_shared<const signing_key>(crypto::ed25519_private_key::generate());
}

result<void> store_key(const signing_key& key, const std::string& path) {
    const descriptor file(
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.get() < 0) {
        return system_failure(path, "cannot make the file");
    }
    std::string pem = key.to_pem();
    // Whatever the umask took away.
    const bool stored = fchmod(file.get(), 0600) == 0 && write_all(file.get(), pem) &&
                        fsync(file.get()) == 0 && sync_folder_of(path);
    const int reason = errno;
    explicit_bzero(pem.data(), pem.size());
    if (!stored) {
        (void)unlink(path.c_str()); // Ours: O_EXCL made it.
        errno = reason;
        return system_failure(path, "cannot write the key");
    }
    return {};
}

std::string record_text(const signing_key& key) {
    return fmt::format(
        "v=DKIM1; k={}; p={}", key.type() == key_type::rsa ? "rsa" : "ed25519", key.public_key());
}

std::string zone_line(const signing_key& key, byte_view selector, byte_view domain) {
    EBBGATE_ASSERT(is_key_name(selector) && is_key_name(domain));
    const std::string text = record_text(key);
    std::string line = fmt::format("{}._domainkey.{}. IN TXT (", selector, domain);
    for (std::size_t at = 0; at < text.size(); at += record_string_bytes_max) {
        line += fmt::format(" \"{}\"", byte_view(text).substr(at, record_string_bytes_max));
    }
    return line += " )";
}

bool is_key_name(byte_view text) noexcept {
    if (text.empty() || text.size() > name_bytes_max) {
        return false;
    }
    std::size_t label = 0;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i == text.size() || text[i] == '.') {
            if (label == 0 || text[i - 1] == '-') {
                return false;
            }
            label = 0;
            continue;
        }
        const char c = text[i];
        if (!(is_letter(c) || is_digit(c) || c == '_' || (c == '-' && label > 0)) ||
            ++label > label_bytes_max) {
            return false;
        }
    }
    return true;
}

} // namespace ebbgate::dkim
