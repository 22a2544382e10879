// The thread that serves stored attachments: all listeners of kind http and https.
//
// Input   The listeners of the configuration, the store of links, certificates.
// Output  Files to whoever has the link; downloads, told on this thread; counters.
// Owner   The daemon. The store and the guard outlive it.
// Fails   start() says which listener, and why.
// Bounds  Those of each listener's configuration. A look-up blocks this thread for one small file.

#pragma once

#include "ebbgate/base/result.h"

#include "config/server.h"
#include "relay/guard.h"
#include "runtime/tls/tls.h"
#include "service/filelink/site.h"
#include "service/http/server.h"
#include "store/blob/blob_store.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace ebbgate::program {

class files_thread {
public:
    using identities = std::shared_ptr<const tls::server_identities>;

    struct parts {
        const std::vector<config::listener>& listeners; // Those for mail are left alone.
        relay::guard& guard;
        blob::blob_store& store;
        identities tls;                                             // Of https listeners.
        std::function<void(const filelink::download&)> on_download; // On this thread.
    };

    // `ports` has one for each listener; those it opens are set.
    [[nodiscard]] static result<std::unique_ptr<files_thread>>
    start(parts parts, std::vector<std::uint16_t>& ports);
    ~files_thread(); // Stops.
    files_thread(const files_thread&) = delete;
    files_thread& operator=(const files_thread&) = delete;

    // For handshakes from now on. The caller keeps no copy that it uses: contexts are of one
    // thread.
    void set_tls(identities tls);
    // Connections of a network that was banned.
    void cut(const config::ip_network& network, std::vector<config::ip_network> spared);
    // Connections are cut: clients ask for the rest again.
    void stop();

    // From any thread.
    [[nodiscard]] const filelink::counters& counters() const noexcept { return counters_; }

    [[nodiscard]] static bool is_wanted(const config::server& server) noexcept;

private:
    struct listening {
        std::unique_ptr<filelink::site> site;
        std::unique_ptr<http::server> server;
        bool is_https = false;
    };

    explicit files_thread(parts parts) : parts_(std::move(parts)) {}

    void run(std::vector<std::uint16_t>& ports, const std::function<void(result<void>)>& started);
    [[nodiscard]] result<void> open(net::flusher& flusher, std::vector<std::uint16_t>& ports);
    [[nodiscard]] result<std::uint16_t> open_one(net::flusher& flusher,
                                                 const config::listener& wanted);
    [[nodiscard]] bool is_banned(const std::string& client) const;

    parts parts_;
    filelink::counters counters_;
    std::unique_ptr<task::reactor> reactor_; // Opened on the thread; destroyed after its end.
    std::vector<listening> listening_;       // Of the thread.
    std::thread thread_;
};

} // namespace ebbgate::program
