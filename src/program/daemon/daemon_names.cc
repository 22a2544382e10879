// What the daemon asks for names: opened at the start, and again when its files are other ones.

#include "config/reader.h"
#include "program/daemon/daemon.h"
#include "runtime/resolve/dnssec_probe.h"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <string>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::chrono::milliseconds dnssec_probe_max{400};

dns::resolver_settings settings_of(const config::dns_settings& given) {
    dns::resolver_settings settings;
    settings.context.servers = given.servers;
    settings.timeout = given.timeout;
    if (given.validate) {
        settings.context.trust_anchor =
            given.trust_anchor.empty() ? dns::default_trust_anchor() : given.trust_anchor;
    }
    return settings;
}

// Those that libunbound reads once.
std::string files_of(const dns::context_settings& settings) {
    std::string text;
    for (const std::string& path : {settings.resolv_conf, settings.hosts}) {
        text += config::read_file(path).value_or("") + '\0';
    }
    return text;
}

} // namespace

// Where nobody chose the trust anchor: whether the servers pass on what it is for. Beside the rest
// of the start, which takes longer mostly.
void daemon::begin_names() {
    const dns::context_settings settings = settings_of(server_.dns).context;
    if (server_.dns.validate && server_.dns.trust_anchor.empty() &&
        !settings.trust_anchor.empty()) {
        probed_ = std::async(std::launch::async, [settings] {
            return dns::probe_dnssec(settings, ".", dnssec_probe_max);
        });
    }
}

result<void> daemon::open_names() {
    dns::resolver_settings settings = settings_of(server_.dns);
    std::string files = files_of(settings.context);
    if (const auto support = probed_.valid() ? probed_.get() : dns::dnssec_support::passed;
        support != dns::dnssec_support::passed) {
        settings.context.trust_anchor.clear();
        note(fmt::format("DNS: {}: nothing is validated, and DANE is not used; set "
                         "dns.trust_anchor to have it validated all the same",
                         support == dns::dnssec_support::dropped
                             ? "the servers drop DNSSEC records"
                             : "the servers have not shown in time that they pass DNSSEC on"));
    }
    if (resolver_ != nullptr) {
        if (auto done = resolver_->open_again(settings.context); !done) {
            return done;
        }
    } else {
        auto opened = dns::resolver::open(settings);
        if (!opened) {
            return std::unexpected(std::move(opened.error()));
        }
        resolver_ = std::move(*opened);
    }
    name_files_ = std::move(files);
    return {};
}

// Only when they have changed: the cache is worth keeping. Other servers may pass on less.
void daemon::reload_names() {
    if (files_of(settings_of(server_.dns).context) == name_files_) {
        return;
    }
    begin_names();
    const auto done = open_names();
    note(done ? "DNS: resolv.conf and hosts were read again"
              : "DNS: what was in force stays: " + done.error().detail);
}

} // namespace ebbgate::program
