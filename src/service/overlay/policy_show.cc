// `policy show`: what is in force, file and overlay together. Hashes are never shown.

#include "service/overlay/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace ebbgate::overlay {

namespace {

constexpr std::size_t shown_routes_max = 1000;

std::string_view name_of(policy::relay_kind kind) {
    switch (kind) {
    case policy::relay_kind::host:
        return "host";
    case policy::relay_kind::mx:
        return "mx";
    case policy::relay_kind::discard:
        return "discard";
    case policy::relay_kind::hold:
        break;
    }
    return "hold";
}

void show_settings(json::writer& out, const policy::snapshot& shown) {
    const policy::delivery_settings& delivery = shown.delivery();
    out.key("delivery").begin_object();
    out.member("retry_first_seconds", delivery.retry.first.count());
    out.member("retry_factor", delivery.retry.factor);
    out.member("retry_max_seconds", delivery.retry.max.count());
    out.member("retry_max_age_seconds", delivery.retry.max_age.count());
    out.member("connections_per_destination", delivery.connections_per_destination);
    out.member("messages_per_connection", delivery.messages_per_connection);
    out.member("idle_timeout_seconds", delivery.idle_timeout.count());
    out.member("retry_delay_notice_seconds", delivery.retry.delay_notice.count());
    out.member("max_connections", delivery.connections_max);
    out.member("max_message_rate", config::to_text(delivery.message_rate));
    out.member("max_connection_rate", config::to_text(delivery.connection_rate));
    out.member("shaping_rules", delivery.shaping.size());
    out.key("timeouts_seconds").begin_object();
    out.member("connect", delivery.timeouts.connect.count());
    out.member("greeting", delivery.timeouts.greeting.count());
    out.member("command", delivery.timeouts.command.count());
    out.member("data", delivery.timeouts.data.count());
    out.member("body", delivery.timeouts.body.count());
    out.member("final", delivery.timeouts.final.count());
    out.end_object();
    out.member("chunking", delivery.chunking);
    out.member("eight_bit", delivery.eight_bit == policy::eight_bit_mode::send ? "send" : "bounce");
    out.end_object();
    out.member("route_count", shown.routes().size());
    out.key("routes").begin_array();
    for (const policy::route& route : shown.routes()) {
        if (&route - shown.routes().data() >= static_cast<std::ptrdiff_t>(shown_routes_max)) {
            break; // The count tells that there are more.
        }
        out.begin_object().member("match", route.match);
        out.member("relay", name_of(route.relay));
        out.member("destination", route.destination).end_object();
    }
    out.end_array();
}

void show_tenant(json::writer& out, const policy::tenant& tenant, std::size_t senders) {
    out.begin_object();
    out.member("name", tenant.name);
    out.member("company", tenant.company);
    out.member("hostname", tenant.hostname);
    out.member("accounts", tenant.accounts.size());
    out.member("senders", senders);
    out.member("relay_hosts", tenant.relay_hosts.size());
    out.member("egress_sources", tenant.egress.sources.size());
    out.member("recipients_per_message", tenant.limits.recipients_per_message);
    out.member("upload_size", tenant.limits.upload_bytes);
    out.member("message_size", tenant.limits.message_bytes);
    out.end_object();
}

} // namespace

void show_policy(json::writer& out,
                 const policy::snapshot& shown,
                 std::string_view tenant,
                 std::int64_t after,
                 std::int64_t rows_max) {
    out.member("fingerprint", fmt::format("{:016x}", shown.fingerprint()));
    if (after == 0 && tenant.empty()) {
        show_settings(out, shown);
    }
    const auto& tenants = shown.tenants();
    std::vector<std::size_t> senders(tenants.size());
    for (const policy::sender_table::entry& one : shown.senders().entries()) {
        if (one.owner < senders.size()) { // Else an account's own, or removed.
            ++senders[one.owner];
        }
    }
    std::int64_t next = 0;
    out.key("tenants").begin_array();
    if (!tenant.empty()) {
        if (const policy::tenant* one = shown.find_tenant(tenant)) {
            show_tenant(out, *one, senders[one->index]);
        }
    } else {
        const auto size = static_cast<std::int64_t>(tenants.size());
        const std::int64_t from = std::min(after, size);
        const std::int64_t to = from + std::min(rows_max, size - from);
        for (std::int64_t index = from; index < to; ++index) {
            const auto at = static_cast<std::size_t>(index);
            show_tenant(out, tenants[at], senders[at]);
        }
        next = to < size ? to : 0;
    }
    out.end_array();
    out.member("next", next);
}

} // namespace ebbgate::overlay
