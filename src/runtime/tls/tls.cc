#include "runtime/tls/tls.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/coding.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace ebbgate::tls {

namespace {

constexpr std::size_t record_bytes_max = 16 * kib;

class tls_filter final : public net::filter {
public:
    tls_filter(WOLFSSL_CTX* context,
               bool is_client,
               std::string server_name,
               context::established on_established)
        : ssl_(wolfSSL_new(context)), on_established_(std::move(on_established)),
          is_client_(is_client) {
        if (ssl_ == nullptr) {
            return;
        }
        wolfSSL_SetIOReadCtx(ssl_, this);
        wolfSSL_SetIOWriteCtx(ssl_, this);
        if (is_client_ && !server_name.empty()) {
            (void)wolfSSL_UseSNI(ssl_,
                                 WOLFSSL_SNI_HOST_NAME,
                                 server_name.data(),
                                 static_cast<unsigned short>(server_name.size()));
        }
    }

    ~tls_filter() override {
        if (ssl_ != nullptr) {
            wolfSSL_free(ssl_);
        }
    }

    tls_filter(const tls_filter&) = delete;
    tls_filter& operator=(const tls_filter&) = delete;

    status receive(net::stream& stream, byte_view wire) noexcept override {
        stream_ = &stream;
        input_ = wire;
        const status done = work();
        input_ = {};
        return done;
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
                return outcome(result);
            }
            established_ = true;
            const char* cipher = wolfSSL_get_cipher(ssl_);
            const char* version = wolfSSL_get_version(ssl_);
            on_established_(std::string(version == nullptr ? "" : version) + " with cipher " +
                            (cipher == nullptr ? "" : cipher));
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
    context::established on_established_;
    net::stream* stream_ = nullptr;
    byte_view input_;
    bool is_client_;
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

bool begin_handshake(net::filter& filter, net::stream& stream) {
    return static_cast<tls_filter&>(filter).begin(stream);
}

std::optional<std::string> decode_base64(std::string_view text) {
    // The library stops at the first padding and calls the rest good; we do not.
    const std::size_t padding = text.find('=');
    if (text.size() % 4 != 0 ||
        (padding != std::string_view::npos && (text.size() - padding > 2 || text.back() != '='))) {
        return std::nullopt;
    }
    std::string decoded(text.size() * 3 / 4 + 4, '\0');
    auto bytes = static_cast<word32>(decoded.size());
    if (Base64_Decode(reinterpret_cast<const byte*>(text.data()),
                      static_cast<word32>(text.size()),
                      reinterpret_cast<byte*>(decoded.data()),
                      &bytes) != 0) {
        return std::nullopt;
    }
    decoded.resize(bytes);
    return decoded;
}

std::string encode_base64(std::string_view bytes) {
    std::string encoded((bytes.size() + 2) / 3 * 4 + 1, '\0');
    auto length = static_cast<word32>(encoded.size());
    if (Base64_Encode_NoNl(reinterpret_cast<const byte*>(bytes.data()),
                           static_cast<word32>(bytes.size()),
                           reinterpret_cast<byte*>(encoded.data()),
                           &length) != 0) {
        return {};
    }
    encoded.resize(length);
    return encoded;
}

} // namespace ebbgate::tls
