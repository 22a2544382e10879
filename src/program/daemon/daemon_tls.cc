// TLS on the way out: authorities, MTA-STS policies, and the counts for TLS-RPT.

#include "codec/json/writer.h"
#include "config/address.h"
#include "program/daemon/daemon.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <ctime>
#include <optional>
#include <string>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::chrono::minutes flush_interval{1};
constexpr std::size_t sts_disk_threads = 1;
constexpr std::size_t sts_disk_jobs_max = 10'000;
constexpr std::int64_t seconds_a_day = 86'400;
constexpr std::size_t domain_bytes_max = 253;
constexpr std::size_t day_bytes = 10;

// "2026-01-31", as days since 1970.
std::optional<std::int64_t> parse_day(std::string_view text) {
    const auto number = [&](std::size_t at, std::size_t bytes) {
        int value = -1;
        const char* end = text.data() + at + bytes;
        const auto read = std::from_chars(text.data() + at, end, value);
        return read.ec == std::errc() && read.ptr == end ? value : -1;
    };
    if (text.size() != day_bytes || text[4] != '-' || text[7] != '-') {
        return std::nullopt;
    }
    const int year = number(0, 4);
    const int month = number(5, 2);
    const int day = number(8, 2);
    if (year < 0 || month < 0 || day < 0) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok()) {
        return std::nullopt;
    }
    return std::chrono::sys_days(date).time_since_epoch().count();
}

} // namespace

result<std::shared_ptr<const tls::trust_store>> daemon::load_authorities() const {
    auto loaded = tls::trust_store::load(server_.authorities);
    if (!loaded && server_.authorities == tls::trust_store::standard_path) {
        // Nobody asked for it: a machine without authorities can still deliver.
        note(fmt::format("{}; no certificate authority is trusted", loaded.error().detail));
        return std::make_shared<const tls::trust_store>();
    }
    return loaded;
}

result<void> daemon::open_tls() {
    auto authorities = load_authorities();
    if (!authorities) {
        return std::unexpected(std::move(authorities.error()));
    }
    authorities_ = std::move(*authorities);
    sts_workers_ = std::make_unique<shard::worker_pool>(sts_disk_threads, sts_disk_jobs_max);
    mta_sts::fetch_settings fetch;
    fetch.ca_file = server_.mta_sts.ca;
    if (server_.mta_sts.connect_to) {
        fetch.connect_to = config::to_text(*server_.mta_sts.connect_to);
    }
    sts_fetcher_ = std::make_unique<mta_sts::fetcher>(std::move(fetch));
    mta_sts::finder_settings settings;
    settings.path = server_.data_dir + "/mta_sts.db";
    auto finder = mta_sts::policy_finder::open(std::move(settings), *sts_workers_, *sts_fetcher_);
    if (!finder) {
        return std::unexpected(std::move(finder.error()));
    }
    sts_ = std::move(*finder);
    auto counters = tls_report::session_counters::open(server_.data_dir + "/tls_report.db");
    if (!counters) {
        return std::unexpected(std::move(counters.error()));
    }
    tls_sessions_ = std::move(*counters);
    tls_flush_ = started_ + flush_interval;
    return {};
}

// Those in force stay when the new ones cannot be read.
void daemon::reload_authorities() {
    auto loaded = load_authorities();
    if (!loaded) {
        note("authorities: " + loaded.error().detail);
        return;
    }
    authorities_ = std::move(*loaded);
    on_each_shard([this](relay::shard& shard) { shard.set_authorities(authorities_); });
}

void daemon::flush_tls_sessions() {
    const auto now = std::chrono::steady_clock::now();
    if (now < tls_flush_) {
        return;
    }
    tls_flush_ = now + flush_interval;
    background_.post([this] {
        if (const auto flushed = tls_sessions_->flush(std::time(nullptr)); !flushed) {
            note("TLS-RPT: " + flushed.error().detail);
        }
    });
}

// No other flush is under way when it returns.
void daemon::stop_tls_sessions() {
    background_.run([this] {
        if (const auto flushed = tls_sessions_->flush(std::time(nullptr)); !flushed) {
            note("TLS-RPT: " + flushed.error().detail);
        }
    });
}

void daemon::add_tls_commands() {
    commands_->add({"tls-report",
                    {{"domain", admin::argument_kind::text, false, domain_bytes_max},
                     {"day", admin::argument_kind::text, false, day_bytes}},
                    admin::permission::operators,
                    [this](const admin::request& asked) { return tls_report(asked); },
                    true});
}

std::string daemon::tls_report(const admin::request& asked) {
    const std::int64_t now_s = std::time(nullptr);
    std::int64_t day = now_s / seconds_a_day;
    if (!asked.text("day").empty()) {
        const auto given = parse_day(asked.text("day"));
        if (!given) {
            return admin::refusal(admin::refusal_reason::usage,
                                  "expected a day such as 2026-01-31");
        }
        day = *given;
    }
    const std::string domain = config::lower_ascii(asked.text("domain"));
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true);
    std::optional<failure> fault;
    background_.run([&] {
        if (auto flushed = tls_sessions_->flush(now_s); !flushed) {
            fault = std::move(flushed.error());
        } else if (domain.empty()) {
            auto domains = tls_sessions_->domains(day);
            if (!domains) {
                fault = std::move(domains.error());
                return;
            }
            out.key("domains").begin_array();
            for (const std::string& one : *domains) {
                out.string(one);
            }
            out.end_array();
        } else {
            tls_report::report_head head;
            head.organization = server_.hostname;
            head.contact = "postmaster@" + server_.hostname;
            head.report_id = fmt::format("{}-{}-{}", day, domain, server_.hostname);
            head.domain = domain;
            head.day = day;
            auto report = tls_sessions_->report(head);
            if (!report) {
                fault = std::move(report.error());
                return;
            }
            out.key("report").raw(*report);
        }
    });
    if (fault) {
        return admin::refusal(admin::refusal_reason::failed, fault->detail);
    }
    out.end_object();
    return text;
}

} // namespace ebbgate::program
