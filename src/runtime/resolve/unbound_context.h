// A context of libunbound with our settings, finished: what is wrong with them shows here.
//
// Owner   Used by one thread of ours. libunbound resolves on a second thread, its own, and gives
//         answers through a pipe to whoever calls ub_process(): no callback runs on its thread, and
//         the two share nothing of ours. Not its other way, a forked process: a fork of a process
//         with threads may hold locks for ever, and would keep our listeners and spool files open.
// Fails   With text: a trust anchor or a file that cannot be read, an option it does not know.
// Bounds  cache_bytes each for messages and records; udp_sockets questions in the network at once.

#pragma once

#include "ebbgate/base/result.h"

#include "config/address.h"

#include <memory>
#include <string>
#include <vector>

struct ub_ctx;

namespace ebbgate::dns {

struct context_settings {
    std::vector<config::endpoint> servers; // Whom to ask. None: those of resolv_conf.
    std::string resolv_conf = "/etc/resolv.conf";
    std::string hosts = "/etc/hosts"; // Names that are known without asking. Empty: none.
    std::string trust_anchor;         // DS or DNSKEY records. Empty: nothing is validated.
};

// Of the distribution's package dns-root-data; empty when it is not installed.
[[nodiscard]] std::string default_trust_anchor();

struct context_deleter {
    void operator()(ub_ctx* context) const noexcept;
};

using context_pointer = std::unique_ptr<ub_ctx, context_deleter>;

[[nodiscard]] result<context_pointer> open_context(const context_settings& settings);

} // namespace ebbgate::dns
