// TLS for streams: contexts made from certificate files, and the filter that encrypts a stream.
//
// Input   PEM certificate chain and key (server); what is required of the peer (client).
// Output  A net::filter for one connection; plain text in and out, all in memory.
// Owner   One context a reactor and certificate: wolfSSL's own counts are not shared by threads.
// Fails   Contexts say which file and why; a connection's fault ends its stream (tls_failed), and
//         a client is told before by client_events why.
// Bounds  One record (16 KiB) of plain text at a time.
// Specs   RFC 8446, RFC 5246; TLS 1.2 and 1.3 only (RFC 8996).

#pragma once

#include "ebbgate/base/result.h"

#include "runtime/net/stream.h"
#include "runtime/tls/requirement.h"
#include "runtime/tls/trust_store.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

struct WOLFSSL_CTX;

namespace ebbgate::tls {

// Called from within the stream's own call: neither may close the stream.
struct client_events {
    std::function<void(const session_facts& facts)> on_established;
    // The handshake failed by TLS; the stream ends next (tls_failed), or begin_handshake() is
    // false. Not called when the connection itself broke.
    std::function<void(const verdict& why)> on_failed;
};

class context {
public:
    [[nodiscard]] static result<std::shared_ptr<context>>
    for_server(const std::string& certificate_path, const std::string& key_path);
    // What is asked of the peer's certificate is said for each filter.
    [[nodiscard]] static result<std::shared_ptr<context>> for_client();
    ~context();
    context(const context&) = delete;
    context& operator=(const context&) = delete;

    // Called once when the handshake is over, with "TLSv1.3 with cipher NAME".
    using established = std::function<void(const std::string& cipher)>;

    // `server_name` is what a client asks for (SNI). Opportunistic: the peer's certificate is not
    // checked (RFC 3207, RFC 7435).
    [[nodiscard]] std::unique_ptr<net::filter> make_filter(const std::string& server_name,
                                                           established on_established) const;
    // A client's, with a requirement. `authorities` is for check::names; null: nobody is trusted.
    [[nodiscard]] std::unique_ptr<net::filter>
    make_filter(const std::string& server_name,
                requirement required,
                std::shared_ptr<const trust_store> authorities,
                client_events events) const;

    // The library's own; lives as long as the context or a filter made from it.
    [[nodiscard]] WOLFSSL_CTX* handle() const noexcept;

private:
    struct native;
    explicit context(std::unique_ptr<native> native);
    std::unique_ptr<native> native_;
};

// The certificates of a server, one of which the client's server name (SNI, RFC 6066) chooses.
class server_identities {
public:
    // `standard`: for clients that name nobody, or somebody unknown.
    explicit server_identities(std::shared_ptr<context> standard) noexcept
        : standard_(std::move(standard)) {}

    // `name`: a host name in lower case.
    void add(std::string name, std::shared_ptr<context> identity) {
        by_name_.insert_or_assign(std::move(name), std::move(identity));
    }

    // Called once when the handshake is over, with "TLSv1.3 with cipher NAME" and the name that the
    // client asked for, in lower case; empty: none, or none that is a host name.
    using established = std::function<void(const std::string& cipher, const std::string& name)>;

    [[nodiscard]] const context& find(const std::string& name) const noexcept {
        const auto found = by_name_.find(name);
        return found == by_name_.end() ? *standard_ : *found->second;
    }

private:
    std::shared_ptr<context> standard_;
    std::unordered_map<std::string, std::shared_ptr<context>> by_name_;
};

// `protocol`: by ALPN, as "http/1.1"; clients that offer others only are refused (RFC 7301). Empty:
// what a client offers is not looked at.
[[nodiscard]] std::unique_ptr<net::filter>
make_server_filter(std::shared_ptr<const server_identities> identities,
                   server_identities::established on_established,
                   std::string protocol = {});

// A client's first flight: the server side answers what it receives, the client must begin.
[[nodiscard]] bool begin_handshake(net::filter& filter, net::stream& stream);

// Called once before the first context.
void initialise();

} // namespace ebbgate::tls
