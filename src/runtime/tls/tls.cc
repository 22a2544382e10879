#include "runtime/tls/tls.h"

#include "runtime/tls/judge.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

namespace ebbgate::tls {

namespace {

constexpr std::size_t record_bytes_max = 16 * kib;
constexpr std::size_t record_header_bytes = 5; // RFC 8446 5.1: type, version, length.
constexpr char handshake_record = 22;
constexpr std::size_t server_name_bytes_max = 255;

// How much of a first record is still to come before its server name can be read.
bool is_whole_hello(byte_view wire) {
    if (wire.empty() || wire[0] != handshake_record) {
        return !wire.empty(); // No TLS: the library says so.
    }
    if (wire.size() < record_header_bytes) {
        return false;
    }
    const std::size_t length = static_cast<unsigned char>(wire[3]) * std::size_t{256} +
                               static_cast<unsigned char>(wire[4]);
    return length > record_bytes_max || wire.size() >= record_header_bytes + length;
}

// What the client calls the server, in lower case; empty when it is no plausible name.
std::string server_name_of(byte_view hello) {
    std::array<unsigned char, server_name_bytes_max + 1> name{};
    auto bytes = static_cast<word32>(server_name_bytes_max);
    if (wolfSSL_SNI_GetFromBuffer(reinterpret_cast<const unsigned char*>(hello.data()),
                                  static_cast<word32>(hello.size()),
                                  WOLFSSL_SNI_HOST_NAME,
                                  name.data(),
                                  &bytes) != WOLFSSL_SUCCESS ||
        bytes > server_name_bytes_max) {
        return {};
    }
    std::string text;
    for (word32 at = 0; at < bytes; ++at) {
        const auto c = static_cast<char>(name[at]);
        const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        if (lower != '.' && lower != '-' && lower != '_' && (lower < 'a' || lower > 'z') &&
            (lower < '0' || lower > '9')) {
            return {};
        }
        text += lower;
    }
    return text;
}

class tls_filter final : public net::filter {
public:
    tls_filter(WOLFSSL_CTX* context,
               bool is_client,
               std::string server_name,
               context::established on_established)
        : ssl_(wolfSSL_new(context)),
          on_established_([told = std::move(on_established)](const std::string& cipher,
                                                             const std::string&) { told(cipher); }),
          is_client_(is_client) {
        if (ssl_ == nullptr) {
            return;
        }
        attach();
        if (is_client_ && !server_name.empty()) {
            (void)wolfSSL_UseSNI(ssl_,
                                 WOLFSSL_SNI_HOST_NAME,
                                 server_name.data(),
                                 static_cast<unsigned short>(server_name.size()));
        }
    }

    // A client that asks something of its peer's certificate.
    tls_filter(WOLFSSL_CTX* context,
               const std::string& server_name,
               requirement required,
               std::shared_ptr<const trust_store> authorities,
               client_events events)
        : tls_filter(context, true, server_name, [this](const std::string& cipher) {
              if (events_.on_established) {
                  events_.on_established({cipher, verdict_});
              }
          }) {
        required_ = std::move(required);
        authorities_ = std::move(authorities);
        events_ = std::move(events);
        if (ssl_ != nullptr && required_.check != check::none) {
            wolfSSL_set_verify(ssl_, WOLFSSL_VERIFY_PEER, &on_certificates);
            wolfSSL_SetCertCbCtx(ssl_, this);
        }
    }

    // A server whose context waits for the client's server name.
    tls_filter(std::shared_ptr<const server_identities> identities,
               server_identities::established on_established,
               std::string protocol)
        : ssl_(nullptr), on_established_(std::move(on_established)),
          identities_(std::move(identities)), protocol_(std::move(protocol)), is_client_(false) {}

    ~tls_filter() override {
        if (ssl_ != nullptr) {
            wolfSSL_free(ssl_);
        }
    }

    tls_filter(const tls_filter&) = delete;
    tls_filter& operator=(const tls_filter&) = delete;

    status receive(net::stream& stream, byte_view wire) noexcept override {
        stream_ = &stream;
        if (identities_ != nullptr) {
            hello_.append(wire);
            if (!is_whole_hello(hello_)) {
                return status::good;
            }
            choose();
            const std::string first = std::move(hello_);
            return read(first);
        }
        return read(wire);
    }

    status send(net::stream& stream, byte_view plain) noexcept override {
        stream_ = &stream;
        if (ssl_ == nullptr || !established_) {
            return status::failed;
        }
        while (!plain.empty()) {
            const std::size_t slice = std::min(plain.size(), record_bytes_max);
            const int written = wolfSSL_write(ssl_, plain.data(), static_cast<int>(slice));
            if (written <= 0) {
                return status::failed;
            }
            plain.remove_prefix(static_cast<std::size_t>(written));
        }
        return status::good;
    }

    void finish(net::stream& stream) noexcept override {
        stream_ = &stream;
        if (ssl_ != nullptr && established_) {
            (void)wolfSSL_shutdown(ssl_);
        }
    }

    bool begin(net::stream& stream) noexcept {
        stream_ = &stream;
        return work() == status::good;
    }

    // The library has no authorities, so it finds the first certificate that it looks at wrong and
    // asks here. All of them are judged then, once: accepting one makes the library believe it, and
    // not ask about those that it signed.
    static int on_certificates(int, WOLFSSL_X509_STORE_CTX* store) {
        auto& self = *static_cast<tls_filter*>(store->userCtx);
        if (!self.is_judged_) {
            self.is_judged_ = true;
            std::vector<byte_view> chain;
            for (int at = 0; at < store->totalCerts; ++at) {
                const WOLFSSL_BUFFER_INFO& der = store->certs[at];
                chain.emplace_back(reinterpret_cast<const char*>(der.buffer), der.length);
            }
            self.verdict_ =
                judge(self.required_, chain, self.authorities_.get(), std::time(nullptr));
        }
        return self.is_accepted() ? 1 : 0;
    }

    static int read_wire(WOLFSSL*, char* to, int bytes, void* self_pointer) {
        auto& self = *static_cast<tls_filter*>(self_pointer);
        if (self.input_.empty()) {
            return WOLFSSL_CBIO_ERR_WANT_READ;
        }
        const std::size_t taken = std::min(self.input_.size(), static_cast<std::size_t>(bytes));
        std::memcpy(to, self.input_.data(), taken);
        self.input_.remove_prefix(taken);
        return static_cast<int>(taken);
    }

    // Always takes all: what is in front of it is bounded by the stream's output mark.
    static int write_wire(WOLFSSL*, char* from, int bytes, void* self_pointer) {
        auto& self = *static_cast<tls_filter*>(self_pointer);
        self.stream_->put_wire({from, static_cast<std::size_t>(bytes)});
        return bytes;
    }

private:
    void attach() noexcept {
        wolfSSL_SetIOReadCtx(ssl_, this);
        wolfSSL_SetIOWriteCtx(ssl_, this);
    }

    void choose() {
        server_name_ = server_name_of(hello_);
        ssl_ = wolfSSL_new(identities_->find(server_name_).handle()); // Which it then holds.
        identities_.reset();
        if (ssl_ != nullptr) {
            attach();
        }
        if (ssl_ != nullptr && !protocol_.empty()) {
            (void)wolfSSL_UseALPN(ssl_,
                                  protocol_.data(),
                                  static_cast<unsigned>(protocol_.size()),
                                  WOLFSSL_ALPN_FAILED_ON_MISMATCH);
        }
    }

    status read(byte_view wire) noexcept {
        input_ = wire;
        const status done = work();
        input_ = {};
        return done;
    }

    [[nodiscard]] bool is_accepted() const noexcept {
        return verdict_.failure == failure::none || !required_.enforced;
    }

    // False: the library never asked about the certificate, and nothing is known of it.
    [[nodiscard]] bool was_judged() noexcept {
        if (required_.check != check::none && !is_judged_) {
            verdict_.failure = failure::certificate_not_trusted;
            verdict_.detail = "the peer showed no certificate";
        }
        return is_accepted();
    }

    status handshake_failed(int error) noexcept {
        if (verdict_.failure == failure::none || !required_.enforced) {
            verdict_.failure = failure::handshake;
            verdict_.detail = wolfSSL_ERR_reason_error_string(static_cast<unsigned long>(error));
        }
        if (auto told = std::exchange(events_.on_failed, nullptr); told) {
            told(verdict_);
        }
        return status::failed;
    }

    status outcome(int result) noexcept {
        const int error = wolfSSL_get_error(ssl_, result);
        if (error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE) {
            return status::good;
        }
        return error == WOLFSSL_ERROR_ZERO_RETURN ? status::closed : status::failed;
    }

    status work() noexcept {
        if (ssl_ == nullptr) {
            return status::failed;
        }
        if (!established_) {
            const int result = is_client_ ? wolfSSL_connect(ssl_) : wolfSSL_accept(ssl_);
            if (result != WOLFSSL_SUCCESS) {
                const status so_far = outcome(result);
                return so_far == status::good || !is_client_
                           ? so_far
                           : handshake_failed(wolfSSL_get_error(ssl_, result));
            }
            if (!was_judged()) {
                return handshake_failed(0);
            }
            established_ = true;
            const char* cipher = wolfSSL_get_cipher(ssl_);
            const char* version = wolfSSL_get_version(ssl_);
            const std::string text = std::string(version == nullptr ? "" : version) +
                                     " with cipher " + (cipher == nullptr ? "" : cipher);
            on_established_(text, server_name_);
        }
        std::array<char, record_bytes_max> plain;
        for (;;) {
            const int got = wolfSSL_read(ssl_, plain.data(), static_cast<int>(plain.size()));
            if (got <= 0) {
                return outcome(got);
            }
            stream_->deliver_plain({plain.data(), static_cast<std::size_t>(got)});
        }
    }

    WOLFSSL* ssl_;
    server_identities::established on_established_;
    std::shared_ptr<const server_identities> identities_; // Null: the choice is made.
    std::string hello_;
    std::string protocol_; // Of ALPN; empty: any.
    std::string server_name_;
    net::stream* stream_ = nullptr;
    byte_view input_;
    requirement required_;
    std::shared_ptr<const trust_store> authorities_;
    client_events events_;
    verdict verdict_;
    bool is_client_;
    bool is_judged_ = false;
    bool established_ = false;
};

} // namespace

struct context::native {
    WOLFSSL_CTX* context = nullptr;
    bool is_client = false;

    ~native() {
        if (context != nullptr) {
            wolfSSL_CTX_free(context);
        }
    }
};

context::context(std::unique_ptr<native> native) : native_(std::move(native)) {}

context::~context() = default;

void initialise() {
    (void)wolfSSL_Init();
}

namespace {

void set_common(WOLFSSL_CTX* context) {
    (void)wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2);
    // The cache is one table with one lock for the whole process.
    (void)wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    (void)wolfSSL_CTX_set_group_messages(context);
    wolfSSL_CTX_SetIORecv(context, &tls_filter::read_wire);
    wolfSSL_CTX_SetIOSend(context, &tls_filter::write_wire);
}

} // namespace

result<std::shared_ptr<context>> context::for_server(const std::string& certificate_path,
                                                     const std::string& key_path) {
    auto made = std::make_unique<native>();
    made->context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (made->context == nullptr) {
        return fail(failure_kind::no_space, "no memory for a TLS context");
    }
    set_common(made->context);
    for (const std::string& path : {certificate_path, key_path}) {
        // The library would wait for the writer of a pipe, or read a device for ever.
        struct stat found{};
        if (stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) {
            return fail(failure_kind::bad_input, path + ": not a regular file, or not there");
        }
    }
    if (wolfSSL_CTX_use_certificate_chain_file(made->context, certificate_path.c_str()) !=
        WOLFSSL_SUCCESS) {
        return fail(failure_kind::bad_input,
                    certificate_path + ": not a readable PEM certificate chain");
    }
    if (wolfSSL_CTX_use_PrivateKey_file(made->context, key_path.c_str(), WOLFSSL_FILETYPE_PEM) !=
        WOLFSSL_SUCCESS) {
        return fail(failure_kind::bad_input,
                    key_path + ": not a readable PEM private key for " + certificate_path);
    }
    // A renewal writes the two one after the other: between them each handshake would fail.
    if (wolfSSL_CTX_check_private_key(made->context) != WOLFSSL_SUCCESS) {
        return fail(failure_kind::bad_input,
                    key_path + ": not the private key of " + certificate_path);
    }
    return std::shared_ptr<context>(new context(std::move(made)));
}

result<std::shared_ptr<context>> context::for_client() {
    auto made = std::make_unique<native>();
    made->is_client = true;
    made->context = wolfSSL_CTX_new(wolfSSLv23_client_method());
    if (made->context == nullptr) {
        return fail(failure_kind::no_space, "no memory for a TLS context");
    }
    set_common(made->context);
    wolfSSL_CTX_set_verify(made->context, WOLFSSL_VERIFY_NONE, nullptr);
    return std::shared_ptr<context>(new context(std::move(made)));
}

std::unique_ptr<net::filter> context::make_filter(const std::string& server_name,
                                                  established on_established) const {
    return std::make_unique<tls_filter>(
        native_->context, native_->is_client, server_name, std::move(on_established));
}

std::unique_ptr<net::filter> context::make_filter(const std::string& server_name,
                                                  requirement required,
                                                  std::shared_ptr<const trust_store> authorities,
                                                  client_events events) const {
    if (required.check == check::dane && usable_records(required.records).empty()) {
        required.check = check::none;
    }
    if (required.check == check::none) {
        return std::make_unique<tls_filter>(
            native_->context, server_name, std::move(required), nullptr, std::move(events));
    }
    // The library keeps what a peer sends as authorities of the context: one for each connection,
    // so that nobody's are believed, or kept, for another.
    WOLFSSL_CTX* own = wolfSSL_CTX_new(wolfSSLv23_client_method());
    if (own != nullptr) {
        set_common(own);
    }
    auto filter = std::make_unique<tls_filter>(
        own, server_name, std::move(required), std::move(authorities), std::move(events));
    wolfSSL_CTX_free(own); // The connection holds it.
    return filter;
}

std::unique_ptr<net::filter> make_server_filter(std::shared_ptr<const server_identities> identities,
                                                server_identities::established on_established,
                                                std::string protocol) {
    return std::make_unique<tls_filter>(
        std::move(identities), std::move(on_established), std::move(protocol));
}

WOLFSSL_CTX* context::handle() const noexcept {
    return native_->context;
}

bool begin_handshake(net::filter& filter, net::stream& stream) {
    return static_cast<tls_filter&>(filter).begin(stream);
}

} // namespace ebbgate::tls
