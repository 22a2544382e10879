#include "program/daemon/files_thread.h"

#include <algorithm>
#include <future>
#include <string>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::uint64_t settle_ms_max = 1000;

// Requests are small, answers large: many connections, little to receive.
constexpr ring::options file_ring{.submission_entries = 256,
                                  .completion_entries = 8192,
                                  .buffer_count = 256,
                                  .buffer_bytes = 8 * kib};

// Browsers keep connections open that nobody uses; a client on a slow line sends its request late.
http::server_settings settings_of(const config::listener& wanted) {
    http::server_settings settings;
    settings.connections_max = wanted.files.max_connections;
    settings.idle_ms_max = 30'000;
    settings.request_ms_max = 15'000;
    return settings;
}

filelink::site_settings site_of(const config::listener& wanted) {
    return {.is_https = wanted.kind == config::listener_kind::https,
            .tenant = wanted.tenant,
            .acme_webroot = wanted.acme_webroot,
            .rates = {.requests_per_minute = wanted.files.max_requests_per_minute,
                      .not_found_per_minute = wanted.files.max_not_found_per_minute,
                      .connections_per_client = wanted.files.max_connections_per_ip}};
}

} // namespace

bool files_thread::is_wanted(const config::server& server) noexcept {
    return std::ranges::any_of(server.listeners, [](const config::listener& one) {
        return config::is_for_files(one.kind);
    });
}

result<std::unique_ptr<files_thread>> files_thread::start(parts parts,
                                                          std::vector<std::uint16_t>& ports) {
    std::unique_ptr<files_thread> made(new files_thread(std::move(parts)));
    std::promise<result<void>> started;
    auto outcome = started.get_future();
    made->thread_ = std::thread([&started, &ports, self = made.get()] {
        self->run(ports, [&started](result<void> done) { started.set_value(std::move(done)); });
    });
    if (auto done = outcome.get(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return made;
}

files_thread::~files_thread() {
    stop();
}

void files_thread::run(std::vector<std::uint16_t>& ports,
                       const std::function<void(result<void>)>& started) {
    auto opened = task::reactor::open(file_ring);
    if (!opened) {
        started(std::unexpected(std::move(opened.error())));
        return;
    }
    reactor_ = std::move(*opened);
    net::flusher flusher(*reactor_);
    auto done = open(flusher, ports);
    const bool is_open = done.has_value();
    started(std::move(done));
    if (is_open) {
        reactor_->run();
    }
    for (const listening& one : listening_) {
        one.server->stop();
    }
    reactor_->settle(settle_ms_max);
    listening_.clear();
    parts_.tls.reset();
}

result<void> files_thread::open(net::flusher& flusher, std::vector<std::uint16_t>& ports) {
    for (std::size_t place = 0; place < parts_.listeners.size(); ++place) {
        const config::listener& wanted = parts_.listeners[place];
        if (!config::is_for_files(wanted.kind)) {
            continue;
        }
        const auto port = open_one(flusher, wanted);
        if (!port) {
            return std::unexpected(port.error());
        }
        ports[place] = *port;
    }
    for (const listening& one : listening_) {
        one.server->start();
    }
    return {};
}

result<std::uint16_t> files_thread::open_one(net::flusher& flusher,
                                             const config::listener& wanted) {
    listening made;
    made.is_https = wanted.kind == config::listener_kind::https;
    made.site = std::make_unique<filelink::site>(
        site_of(wanted),
        filelink::site::parts{
            .reactor = *reactor_,
            .store = parts_.store,
            .counters = counters_,
            .on_download = parts_.on_download,
            .is_refused = [this](const std::string& client) { return is_banned(client); }});
    auto opened = http::server::open(*reactor_,
                                     flusher,
                                     {config::to_text(wanted.listen.address), wanted.listen.port},
                                     settings_of(wanted),
                                     *made.site);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    made.server = std::move(*opened);
    if (made.is_https) {
        made.server->set_tls(parts_.tls);
    }
    parts_.guard.protect(made.server->descriptor());
    const std::uint16_t port = made.server->port();
    listening_.push_back(std::move(made));
    return port;
}

bool files_thread::is_banned(const std::string& client) const {
    const auto address = config::parse_ip_address(client);
    return address && parts_.guard.is_banned(*address);
}

void files_thread::set_tls(identities tls) {
    reactor_->post([this, tls = std::move(tls)] {
        for (const listening& one : listening_) {
            if (one.is_https) {
                one.server->set_tls(tls);
            }
        }
        parts_.tls = tls;
    });
}

void files_thread::cut(const config::ip_network& network, std::vector<config::ip_network> spared) {
    reactor_->post([this, network, spared = std::move(spared)] {
        const auto is_cut = [&](const std::string& client) {
            const auto address = config::parse_ip_address(client);
            return address && network.holds(*address) &&
                   std::ranges::none_of(
                       spared, [&](const config::ip_network& one) { return one.holds(*address); });
        };
        for (const listening& one : listening_) {
            one.server->cut(is_cut);
        }
    });
}

void files_thread::stop() {
    if (thread_.joinable()) {
        if (reactor_ != nullptr) {
            reactor_->post([reactor = reactor_.get()] { reactor->stop(); });
        }
        thread_.join();
    }
}

} // namespace ebbgate::program
