#include "runtime/resolve/unbound_context.h"

#include <fmt/format.h>

#include <string_view>
#include <unbound.h>
#include <unistd.h>

namespace ebbgate::dns {

namespace {

struct option {
    const char* name;
    const char* value;
};

constexpr option options[] = {
    // The resolver of this machine is a usual one to ask (127.0.0.53, a local unbound).
    {"do-not-query-localhost:", "no"},
    // Its answers stand for the networks of the site too.
    {"unblock-lan-zones:", "yes"},
    {"insecure-lan-zones:", "yes"},
    // Mixed case in questions: 5 to 20 bits more that a forger must guess.
    {"use-caps-for-id:", "yes"},
    {"harden-dnssec-stripped:", "yes"},
    // More sockets than the library's 16: a name whose servers are silent holds one for seconds.
    {"outgoing-range:", "512"},
    {"num-queries-per-thread:", "2048"},
    {"outgoing-num-tcp:", "64"},
    {"msg-cache-size:", "16m"},
    {"rrset-cache-size:", "32m"},
    {"cache-max-ttl:", "86400"},
    {"cache-max-negative-ttl:", "3600"},
    // A server that was away is tried again soon: it is the only way to the names, and what counts
    // as its silence is mostly that of others behind it.
    {"infra-host-ttl:", "5"},
    {"infra-keep-probing:", "yes"},
};

std::string forward_text(const config::endpoint& server) {
    return fmt::format("{}@{}", config::to_text(server.address), server.port);
}

failure wrong(std::string_view what, int fault) {
    return {failure_kind::bad_input,
            "4.3.0 Internal error",
            fmt::format("DNS: {}: {}", what, ub_strerror(fault))};
}

} // namespace

std::string default_trust_anchor() {
    constexpr const char* path = "/usr/share/dns/root.key";
    return access(path, R_OK) == 0 ? path : "";
}

void context_deleter::operator()(ub_ctx* context) const noexcept {
    ub_ctx_delete(context);
}

result<context_pointer> open_context(const context_settings& settings) {
    context_pointer context(ub_ctx_create());
    if (context == nullptr) {
        return fail(failure_kind::no_space, "DNS: libunbound gives no context");
    }
    ub_ctx* const raw = context.get();
    (void)ub_ctx_debugout(raw, nullptr); // Its errors are in the answers.
    for (const option& one : options) {
        if (const int fault = ub_ctx_set_option(raw, one.name, one.value); fault != 0) {
            return std::unexpected(wrong(one.name, fault));
        }
    }
    for (const config::endpoint& server : settings.servers) {
        const std::string text = forward_text(server);
        if (const int fault = ub_ctx_set_fwd(raw, text.c_str()); fault != 0) {
            return std::unexpected(wrong(text, fault));
        }
    }
    if (settings.servers.empty()) {
        // resolv.conf(5): without the file the server is on this host.
        const int fault = access(settings.resolv_conf.c_str(), R_OK) == 0
                              ? ub_ctx_resolvconf(raw, settings.resolv_conf.c_str())
                              : ub_ctx_set_fwd(raw, "127.0.0.1");
        if (fault != 0) {
            return std::unexpected(wrong(settings.resolv_conf, fault));
        }
    }
    if (!settings.hosts.empty() && access(settings.hosts.c_str(), R_OK) == 0) {
        if (const int fault = ub_ctx_hosts(raw, settings.hosts.c_str()); fault != 0) {
            return std::unexpected(wrong(settings.hosts, fault));
        }
    }
    if (!settings.trust_anchor.empty()) {
        if (access(settings.trust_anchor.c_str(), R_OK) != 0) {
            return fail(
                failure_kind::bad_input,
                fmt::format("DNS: {}: the trust anchor cannot be read", settings.trust_anchor));
        }
        (void)ub_ctx_add_ta_file(raw, settings.trust_anchor.c_str());
    }
    if (const int fault = ub_ctx_async(raw, 1); fault != 0) {
        return std::unexpected(wrong("threads", fault));
    }
    // libunbound says by itself that nothing is below test.; the servers know better. This call
    // also finishes the context, which reads the trust anchor.
    if (const int fault = ub_ctx_zone_remove(raw, "test."); fault != 0) {
        return std::unexpected(
            wrong(settings.trust_anchor.empty() ? "the settings" : settings.trust_anchor, fault));
    }
    return context;
}

} // namespace ebbgate::dns
