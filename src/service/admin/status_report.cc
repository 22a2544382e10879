#include "service/admin/status_report.h"

#include "codec/json/writer.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::admin {

namespace {

struct sum {
    const std::vector<relay::shard_status>& shards;

    template <typename Pick>
    std::uint64_t operator()(Pick pick) const {
        std::uint64_t total = 0;
        for (const relay::shard_status& shard : shards) {
            total += static_cast<std::uint64_t>(pick(shard));
        }
        return total;
    }
};

void write_queue(json::writer& out, const sum& total, const std::vector<relay::shard_status>& all) {
    std::int64_t oldest_ms = 0;
    for (const relay::shard_status& shard : all) {
        oldest_ms = std::max(oldest_ms, shard.oldest_age_ms);
    }
    out.key("queue").begin_object();
    out.key("ready").number(total([](const auto& s) { return s.queue.ready; }));
    out.key("deferred").number(total([](const auto& s) { return s.queue.deferred; }));
    out.key("in_flight").number(total([](const auto& s) { return s.queue.in_flight; }));
    out.key("held").number(total([](const auto& s) { return s.queue.held; }));
    out.key("lanes").number(total([](const auto& s) { return s.lanes; }));
    out.key("connections").number(total([](const auto& s) { return s.queue.connections; }));
    out.key("oldest_seconds").number(oldest_ms / 1000);
    out.end_object();
}

void write_mail(json::writer& out, const sum& total) {
    out.key("mail").begin_object();
    out.key("received").number(total([](const auto& s) { return s.counters.messages_received; }));
    out.key("received_bytes").number(total([](const auto& s) {
        return s.counters.bytes_received;
    }));
    out.key("refused").number(total([](const auto& s) { return s.counters.messages_refused; }));
    out.key("delivered").number(total([](const auto& s) { return s.counters.deliveries; }));
    out.key("deferrals").number(total([](const auto& s) { return s.counters.deferrals; }));
    out.key("bounced").number(total([](const auto& s) { return s.counters.bounces; }));
    out.key("ambiguous").number(total([](const auto& s) { return s.counters.ambiguous; }));
    out.key("done").number(total([](const auto& s) { return s.counters.messages_done; }));
    out.end_object();
}

void write_sessions(json::writer& out, const sum& total) {
    out.key("sessions").begin_object();
    out.key("open").number(total([](const auto& s) { return s.counters.connections_open; }));
    out.key("total").number(total([](const auto& s) { return s.counters.connections_total; }));
    out.key("refused").number(total([](const auto& s) { return s.counters.connections_refused; }));
    out.key("tls_handshakes").number(total([](const auto& s) {
        return s.counters.tls_handshakes;
    }));
    out.key("logins").number(total([](const auto& s) { return s.counters.logins; }));
    out.key("logins_failed").number(total([](const auto& s) { return s.counters.logins_failed; }));
    out.key("accept_pauses").number(total([](const auto& s) { return s.accept_pauses; }));
    out.end_object();
}

void write_bans(json::writer& out, const bans::ban_keeper::status_values& bans) {
    out.key("bans").begin_object();
    // "kernel": connect() fails with ECONNREFUSED. "reset": accepted and reset at once.
    out.member("mode", bans.refused_by_kernel ? std::string_view("kernel") : "reset");
    if (!bans.refused_by_kernel) {
        out.member("why_reset", bans.why_reset);
    }
    out.key("in_force").number(bans.bans);
    out.key("addresses_with_strikes").number(bans.strikers);
    out.key("strikes").number(bans.found);
    out.key("ignored").number(bans.ignored);
    out.key("banned").number(bans.banned);
    out.key("displaced").number(bans.displaced_bans + bans.displaced_strikers);
    out.key("not_yet_durable").number(bans.not_yet_durable);
    out.key("faults").number(bans.kernel_faults + bans.store_faults);
    if (!bans.last_fault.empty()) {
        out.member("last_fault", bans.last_fault);
    }
    out.end_object();
}

void write_spool(json::writer& out, const daemon_facts& facts, const sum& total) {
    out.key("spool").begin_object();
    out.member("durable_by", facts.durable_by);
    out.key("commit_groups").number(total([](const auto& s) { return s.spool.groups; }));
    out.key("records").number(total([](const auto& s) { return s.spool.records; }));
    out.key("bytes_written").number(total([](const auto& s) { return s.spool.bytes; }));
    out.key("failed_groups").number(total([](const auto& s) { return s.spool.failed_groups; }));
    out.key("log_bytes").number(total([](const auto& s) { return s.log_bytes; }));
    out.key("relocated").number(total([](const auto& s) { return s.relocated; }));
    out.key("hot_bytes").number(total([](const auto& s) { return s.counters.hot_bytes; }));
    out.key("intake_open").boolean(total([](const auto& s) { return s.intake_open ? 0 : 1; }) == 0);
    out.end_object();
}

void write_ring(json::writer& out, const sum& total, const relay::shard_status& first) {
    out.key("ring").begin_object();
    out.key("enters").number(total([](const auto& s) { return s.ring.enters; }));
    out.key("completions").number(total([](const auto& s) { return s.ring.completions; }));
    out.key("overflows").number(total([](const auto& s) { return s.ring.completion_overflows; }));
    out.key("submission_full").number(total([](const auto& s) { return s.ring.submission_full; }));
    out.key("buffers_exhausted").number(total([](const auto& s) {
        return s.ring.buffers_exhausted;
    }));
    out.key("stale_completions").number(total([](const auto& s) {
        return s.ring.stale_completions;
    }));
    out.key("features").begin_object();
    out.key("defer_taskrun").boolean(first.features.defer_taskrun);
    out.key("single_issuer").boolean(first.features.single_issuer);
    out.key("registered_ring").boolean(first.features.registered_ring);
    out.key("min_wait").boolean(first.features.min_wait);
    out.end_object();
    out.end_object();
}

void write_files(json::writer& out, const file_facts& files) {
    out.key("files").begin_object();
    out.key("requests").number(files.requests);
    out.key("downloads").number(files.downloads);
    out.key("sent_bytes").number(files.sent_bytes);
    out.key("not_found").number(files.not_found);
    out.key("limited").number(files.limited);
    out.key("challenges").number(files.challenges);
    out.end_object();
}

} // namespace

std::string status_json(const daemon_facts& facts, const std::vector<relay::shard_status>& shards) {
    std::string text;
    json::writer out(text);
    const sum total{shards};
    out.begin_object();
    out.member("version", facts.version);
    out.member("hostname", facts.hostname);
    out.key("uptime_seconds").number(facts.uptime_seconds);
    out.key("shards").number(shards.size());
    out.key("listeners").begin_array();
    for (std::size_t index = 0; index < facts.ports.size(); ++index) {
        out.begin_object();
        out.member("name", facts.listener_names[index]);
        out.member("kind", facts.listener_kinds[index]);
        out.key("port").number(facts.ports[index]);
        out.end_object();
    }
    out.end_array();
    if (facts.http_port != 0) {
        out.key("admin").begin_object().member("http_port", facts.http_port).end_object();
    }
    out.key("policy").begin_object();
    out.member("fingerprint", fmt::format("{:016x}", facts.policy_fingerprint));
    out.key("stale").boolean(facts.policy_is_stale);
    if (facts.policy_is_stale) {
        out.member("fault", facts.policy_fault);
    }
    out.key("tenants").number(facts.tenants);
    out.key("reloads").number(facts.policy_reloads);
    out.key("reloads_refused").number(facts.policy_reloads_refused);
    out.end_object();
    write_bans(out, facts.bans);
    write_sessions(out, total);
    write_mail(out, total);
    write_queue(out, total, shards);
    write_spool(out, facts, total);
    write_ring(out, total, shards.front());
    if (facts.files) {
        write_files(out, *facts.files);
    }
    out.key("log_blocks_dropped").number(facts.log_blocks_dropped);
    out.key("log_bytes_unwritten").number(facts.log_bytes_unwritten);
    out.end_object();
    return text;
}

} // namespace ebbgate::admin
