// TLS for streams: contexts made from certificate files, and the filter that encrypts a stream.
//
// Input   PEM certificate chain and key (server), or nothing (client).
// Output  A net::filter for one connection; plain text in and out, all in memory.
// Owner   One context a reactor and certificate: wolfSSL's own counts are not shared by threads.
// Fails   Contexts say which file and why; a connection's fault ends its stream (tls_failed).
// Bounds  One record (16 KiB) of plain text at a time.
// Specs   RFC 8446, RFC 5246; TLS 1.2 and 1.3 only (RFC 8996).

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/net/stream.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace ebbgate::tls {

class context {
public:
    [[nodiscard]] static result<std::shared_ptr<context>>
    for_server(const std::string& certificate_path, const std::string& key_path);
    // Opportunistic: the peer's certificate is not checked (RFC 3207, RFC 7435).
    [[nodiscard]] static result<std::shared_ptr<context>> for_client();
    ~context();
    context(const context&) = delete;
    context& operator=(const context&) = delete;

    // Called once when the handshake is over, with "TLSv1.3 with cipher NAME".
    using established = std::function<void(const std::string& cipher)>;

    // `server_name` is what a client asks for (SNI).
    [[nodiscard]] std::unique_ptr<net::filter> make_filter(const std::string& server_name,
                                                           established on_established) const;

private:
    struct native;
    explicit context(std::unique_ptr<native> native);
    std::unique_ptr<native> native_;
};

// A client's first flight: the server side answers what it receives, the client must begin.
[[nodiscard]] bool begin_handshake(net::filter& filter, net::stream& stream);

// Called once before the first context.
void initialise();

// Base64 by the TLS library; nothing for anything that is not base64.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);
[[nodiscard]] std::string encode_base64(std::string_view bytes);

} // namespace ebbgate::tls
