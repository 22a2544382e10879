#include "service/admin/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <utility>

namespace ebbgate::admin {

namespace {

std::string escaped(std::string_view value) {
    std::string text;
    for (const char c : value) {
        if (c == '\\' || c == '"') {
            text += '\\';
        }
        text += c == '\n' ? std::string_view("\\n") : std::string_view(&c, 1);
    }
    return text;
}

class exposition {
public:
    explicit exposition(const std::vector<relay::shard_status>& shards) : shards_(shards) {}

    void gauge(std::string_view name, std::string_view help, std::uint64_t value) {
        one(name, help, "gauge", value);
    }

    void counter(std::string_view name, std::string_view help, std::uint64_t value) {
        one(name, help, "counter", value);
    }

    // The sum over the shards.
    template <typename pick>
    void gauge_of(std::string_view name, std::string_view help, pick which) {
        one(name, help, "gauge", sum(which));
    }

    template <typename pick>
    void counter_of(std::string_view name, std::string_view help, pick which) {
        one(name, help, "counter", sum(which));
    }

    void family(std::string_view name, std::string_view help, std::string_view type) {
        fmt::format_to(
            std::back_inserter(text_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
    }

    void labelled(std::string_view name,
                  std::string_view label,
                  std::string_view label_value,
                  std::uint64_t value) {
        fmt::format_to(std::back_inserter(text_),
                       "{}{{{}=\"{}\"}} {}\n",
                       name,
                       label,
                       escaped(label_value),
                       value);
    }

    template <typename pick>
    [[nodiscard]] std::uint64_t sum(pick which) const {
        std::uint64_t total = 0;
        for (const relay::shard_status& shard : shards_) {
            total += static_cast<std::uint64_t>(which(shard));
        }
        return total;
    }

    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    void
    one(std::string_view name, std::string_view help, std::string_view type, std::uint64_t value) {
        family(name, help, type);
        fmt::format_to(std::back_inserter(text_), "{} {}\n", name, value);
    }

    const std::vector<relay::shard_status>& shards_;
    std::string text_;
};

void add_daemon(exposition& out, const daemon_facts& facts) {
    out.family("ebbgate_build_info", "Always 1; the version is the label.", "gauge");
    out.labelled("ebbgate_build_info", "version", facts.version, 1);
    out.gauge("ebbgate_uptime_seconds", "Since the start.", facts.uptime_seconds);
    out.gauge("ebbgate_policy_stale",
              "1 while the newest policy is refused and the one before is in force.",
              facts.policy_is_stale ? 1 : 0);
    out.family("ebbgate_policy_reloads_total", "Reloads of the policy.", "counter");
    out.labelled("ebbgate_policy_reloads_total", "result", "done", facts.policy_reloads);
    out.labelled("ebbgate_policy_reloads_total", "result", "refused", facts.policy_reloads_refused);
    out.gauge("ebbgate_policy_tenants", "Tenants of the policy in force.", facts.tenants);
    out.counter("ebbgate_log_blocks_dropped_total",
                "Blocks of log lines that could not be written.",
                facts.log_blocks_dropped);
    out.gauge("ebbgate_log_bytes_unwritten",
              "Log lines that are not in their file yet.",
              facts.log_bytes_unwritten);
}

void add_bans(exposition& out, const bans::ban_keeper::status_values& bans) {
    out.gauge("ebbgate_bans", "Bans in force.", bans.bans);
    out.family("ebbgate_ban_mode",
               "1 for how banned clients are kept out: refused by the kernel, or reset by us.",
               "gauge");
    out.labelled("ebbgate_ban_mode", "mode", "kernel", bans.refused_by_kernel ? 1 : 0);
    out.labelled("ebbgate_ban_mode", "mode", "reset", bans.refused_by_kernel ? 0 : 1);
    out.counter("ebbgate_bans_made_total", "Bans made since the start.", bans.banned);
    out.counter("ebbgate_ban_strikes_total", "Strikes counted.", bans.found);
    out.counter("ebbgate_ban_strikes_ignored_total", "Strikes of the white list.", bans.ignored);
    out.gauge("ebbgate_ban_strikers", "Addresses with strikes.", bans.strikers);
    out.gauge("ebbgate_ban_changes_not_durable",
              "Changes that a power cut now would lose.",
              bans.not_yet_durable);
    out.counter("ebbgate_ban_faults_total",
                "Faults of the kernel's map or the store.",
                bans.kernel_faults + bans.store_faults);
}

void add_sessions(exposition& out) {
    out.gauge_of("ebbgate_sessions_open", "SMTP sessions that are open.", [](const auto& s) {
        return s.counters.connections_open;
    });
    out.counter_of("ebbgate_sessions_total", "SMTP sessions begun.", [](const auto& s) {
        return s.counters.connections_total;
    });
    out.counter_of("ebbgate_sessions_refused_total",
                   "SMTP sessions refused because a limit was reached.",
                   [](const auto& s) { return s.counters.connections_refused; });
    out.counter_of("ebbgate_tls_handshakes_total",
                   "TLS handshakes of clients that were completed.",
                   [](const auto& s) { return s.counters.tls_handshakes; });
    out.family("ebbgate_logins_total", "Logins.", "counter");
    out.labelled("ebbgate_logins_total", "result", "done", out.sum([](const auto& s) {
        return s.counters.logins;
    }));
    out.labelled("ebbgate_logins_total", "result", "failed", out.sum([](const auto& s) {
        return s.counters.logins_failed;
    }));
    out.counter_of("ebbgate_accept_pauses_total",
                   "How often accepting rested for want of descriptors.",
                   [](const auto& s) { return s.accept_pauses; });
}

void add_mail(exposition& out) {
    out.counter_of("ebbgate_messages_received_total", "Messages taken.", [](const auto& s) {
        return s.counters.messages_received;
    });
    out.counter_of("ebbgate_received_bytes_total", "Bytes of messages taken.", [](const auto& s) {
        return s.counters.bytes_received;
    });
    out.counter_of("ebbgate_messages_refused_total", "Messages refused.", [](const auto& s) {
        return s.counters.messages_refused;
    });
    out.counter_of("ebbgate_messages_done_total",
                   "Messages of which every recipient is settled.",
                   [](const auto& s) { return s.counters.messages_done; });
    out.counter_of("ebbgate_deliveries_total", "Recipients delivered to.", [](const auto& s) {
        return s.counters.deliveries;
    });
    out.counter_of("ebbgate_deferrals_total", "Recipients put off until later.", [](const auto& s) {
        return s.counters.deferrals;
    });
    out.counter_of("ebbgate_bounces_total", "Recipients given up.", [](const auto& s) {
        return s.counters.bounces;
    });
    out.counter_of("ebbgate_ambiguous_total",
                   "Recipients in doubt: the connection was lost behind the final dot.",
                   [](const auto& s) { return s.counters.ambiguous; });
}

void add_queue(exposition& out, const std::vector<relay::shard_status>& shards) {
    constexpr std::string_view name = "ebbgate_queue_items";
    out.family(name, "Messages at a destination each, by state.", "gauge");
    out.labelled(name, "state", "ready", out.sum([](const auto& s) { return s.queue.ready; }));
    out.labelled(
        name, "state", "deferred", out.sum([](const auto& s) { return s.queue.deferred; }));
    out.labelled(
        name, "state", "in_flight", out.sum([](const auto& s) { return s.queue.in_flight; }));
    out.labelled(name, "state", "held", out.sum([](const auto& s) { return s.queue.held; }));
    out.gauge_of(
        "ebbgate_queue_lanes", "Destinations with mail.", [](const auto& s) { return s.lanes; });
    out.gauge_of("ebbgate_queue_connections", "Connections to next hops.", [](const auto& s) {
        return s.queue.connections;
    });
    std::int64_t oldest_ms = 0;
    for (const relay::shard_status& shard : shards) {
        oldest_ms = std::max(oldest_ms, shard.oldest_age_ms);
    }
    out.gauge("ebbgate_queue_oldest_seconds",
              "Age of the oldest message.",
              static_cast<std::uint64_t>(oldest_ms / 1000));
}

void add_spool(exposition& out, const daemon_facts& facts) {
    out.family("ebbgate_spool_info", "Always 1; how writes are made durable.", "gauge");
    out.labelled("ebbgate_spool_info", "durable_by", facts.durable_by, 1);
    out.gauge("ebbgate_spool_intake_open",
              "0 while a shard takes no new mail for want of space or after write errors.",
              out.sum([](const auto& s) { return s.intake_open ? 0 : 1; }) == 0 ? 1 : 0);
    out.counter_of("ebbgate_spool_commit_groups_total", "Commits.", [](const auto& s) {
        return s.spool.groups;
    });
    out.counter_of("ebbgate_spool_records_total", "Records written.", [](const auto& s) {
        return s.spool.records;
    });
    out.counter_of("ebbgate_spool_written_bytes_total", "Bytes written.", [](const auto& s) {
        return s.spool.bytes;
    });
    out.counter_of("ebbgate_spool_failed_groups_total", "Commits that failed.", [](const auto& s) {
        return s.spool.failed_groups;
    });
    out.counter_of("ebbgate_spool_relocated_total",
                   "Messages copied out of old segments.",
                   [](const auto& s) { return s.relocated; });
    out.gauge_of("ebbgate_spool_log_bytes", "Bytes of all segments.", [](const auto& s) {
        return s.log_bytes;
    });
    out.gauge_of("ebbgate_spool_hot_bytes", "Message bodies in memory.", [](const auto& s) {
        return s.counters.hot_bytes;
    });
}

void add_ring(exposition& out) {
    out.counter_of("ebbgate_ring_enters_total", "Calls of io_uring_enter.", [](const auto& s) {
        return s.ring.enters;
    });
    out.counter_of("ebbgate_ring_completions_total", "Completions.", [](const auto& s) {
        return s.ring.completions;
    });
    out.counter_of("ebbgate_ring_overflows_total",
                   "Completions that did not fit the queue.",
                   [](const auto& s) { return s.ring.completion_overflows; });
    out.counter_of("ebbgate_ring_submission_full_total",
                   "How often the submission queue was full.",
                   [](const auto& s) { return s.ring.submission_full; });
    out.counter_of("ebbgate_ring_buffers_exhausted_total",
                   "How often there was no receive buffer.",
                   [](const auto& s) { return s.ring.buffers_exhausted; });
    out.counter_of("ebbgate_ring_stale_completions_total",
                   "Completions for nobody: a fault of ours when not 0.",
                   [](const auto& s) { return s.ring.stale_completions; });
}

void add_files(exposition& out, const file_facts& files) {
    constexpr std::string_view name = "ebbgate_file_requests_total";
    out.family(name, "Answers of the listeners for files, by class of status.", "counter");
    constexpr std::array<std::string_view, 6> classes = {"", "", "2xx", "3xx", "4xx", "5xx"};
    for (std::size_t index = 2; index < classes.size(); ++index) {
        out.labelled(name, "class", classes[index], files.by_class[index]);
    }
    out.counter("ebbgate_file_downloads_total",
                "GETs of a file or a part of it that were answered in full.",
                files.downloads);
    out.counter("ebbgate_file_sent_bytes_total", "Bytes of files sent.", files.sent_bytes);
    out.counter("ebbgate_file_not_found_total", "Answers with 404.", files.not_found);
    out.counter(
        "ebbgate_file_limited_total", "Answers with 429: a client asked too much.", files.limited);
    out.counter("ebbgate_file_challenges_total", "ACME challenges answered.", files.challenges);
}

} // namespace

std::string metrics_text(const daemon_facts& facts,
                         const std::vector<relay::shard_status>& shards) {
    exposition out(shards);
    add_daemon(out, facts);
    out.gauge("ebbgate_shards", "Threads that carry mail.", shards.size());
    add_bans(out, facts.bans);
    add_sessions(out);
    add_mail(out);
    add_queue(out, shards);
    add_spool(out, facts);
    add_ring(out);
    if (facts.files) {
        add_files(out, *facts.files);
    }
    return out.take();
}

} // namespace ebbgate::admin
