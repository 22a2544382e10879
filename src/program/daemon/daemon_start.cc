// The start: folders, the spool and what it holds, policy, services, shards, and then the
// listeners.
//
// Fails   With the first fault, in words for the operator; the process then ends.

#include "program/daemon/daemon.h"
#include "program/process/file_limit.h"
#include "service/admin/metrics.h"
#include "service/overlay/commands.h"

#include <fmt/format.h>

#include <sys/signalfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <future>
#include <thread>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::size_t login_checks_max = 1000;
constexpr std::size_t file_jobs_max = 10'000; // A message has a few under way at most.

} // namespace

result<void> daemon::start() {
    started_ = std::chrono::steady_clock::now();
    process::raise_file_limit();
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
        sigaddset(&signals, number);
    }
    // Before any thread starts: all inherit the mask, and only this thread reads the signals.
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    (void)std::signal(SIGPIPE, SIG_IGN);
    signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
    begin_names();
    if (auto done = open_folders(); !done) {
        return done;
    }
    std::vector<spool::recovered_shard> recovered;
    if (auto done = recover(recovered); !done) {
        return done;
    }
    const auto reading_since = std::chrono::system_clock::now();
    const auto loaded = open_overlay(); // Behind the spool's lock: one daemon has it.
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    if (auto done = open_limits(loaded->overrides); !done) {
        return done;
    }
    if (auto done = start_bans(); !done) {
        return done;
    }
    auto links =
        link_upkeep::open(server_.data_dir + "/files", [](const std::string& text) { note(text); });
    if (!links) {
        return std::unexpected(std::move(links.error()));
    }
    links_ = std::move(*links);
    auto suppressed = suppression::suppression_list::open(
        server_.data_dir + "/suppression.db", {}, [](const std::string& text) { note(text); });
    if (!suppressed) {
        return std::unexpected(std::move(suppressed.error()));
    }
    suppression_ = std::move(*suppressed);
    add_commands();
    (void)crypto::hash_of_nobody(); // Made once, now: the first unknown login must not be slower.
    workers_ = std::make_unique<shard::worker_pool>(2, login_checks_max);
    auto rules = load_bounce_rules(*policy_);
    if (!rules) {
        return fail(failure_kind::bad_input, rules.error());
    }
    bounce_rules_ = std::move(*rules);
    if (auto done = open_names(); !done) {
        return done;
    }
    if (auto done = open_tls(); !done) {
        return done;
    }
    file_workers_ = std::make_unique<shard::worker_pool>(4, file_jobs_max);
    segment_worker_ = std::make_unique<shard::worker_pool>(1, 10'000);
    stage_spool::durable_by durable_by = stage_spool::durable_by::linked_sync;
    switch (server_.spool.log_sync) {
    case config::log_sync::automatic:
        durable_by = stage_spool::choose_durable_by(server_.data_dir + "/spool");
        break;
    case config::log_sync::dsync:
        durable_by = stage_spool::durable_by::dsync;
        break;
    case config::log_sync::fsync:
        break;
    }
    shared_.reset(
        new relay::shared_parts{server_,         policy_,
                                keys_,           bounce_rules_,
                                *spool_folder_,  durable_by,
                                *workers_,       *file_workers_,
                                links_->store(), *segment_worker_,
                                credentials_,    connections_,
                                *bans_,          *limiter_,
                                limit_clock_,    sites_,
                                *resolver_,      *suppression_,
                                *sts_,           *tls_sessions_,
                                authorities_,    *events_,
                                *text_,          static_cast<std::uint32_t>(recovered.size())});
    auto suspended = read_suspensions();
    if (!suspended) {
        return std::unexpected(std::move(suspended.error()));
    }
    shared_->suspended = std::move(*suspended);
    for (const config::listener& listener : server_.listeners) {
        ports_.push_back(listener.listen.port);
    }
    if (auto done = start_shards(std::move(recovered)); !done) {
        return done;
    }
    shared_->policy.reset(); // Each shard has them.
    shared_->keys.reset();
    shared_->bounce_rules.reset();
    if (auto done = open_files(); !done) {
        return done;
    }
    if (auto done = open_admin(); !done) {
        return done;
    }
    watch_files(*policy_, reading_since);
    on_each_shard([](relay::shard& shard) { shard.open_listeners(); });
    return {};
}

result<void> daemon::open_folders() {
    std::error_code error;
    for (const std::string& folder : {server_.data_dir + "/spool", server_.log_dir}) {
        std::filesystem::create_directories(folder, error);
        if (error) {
            return fail(failure_kind::io, folder + ": " + error.message());
        }
    }
    (void)chmod((server_.data_dir + "/spool").c_str(), 0700);
    auto events = outcome::log_file::open(server_.log_dir + "/events.jsonl");
    auto text = outcome::log_file::open(server_.log_dir + "/mail.log");
    if (!events || !text) {
        return std::unexpected(events ? text.error() : events.error());
    }
    events_ = std::move(*events);
    text_ = std::move(*text);
    return {};
}

result<void> daemon::recover(std::vector<spool::recovered_shard>& shards) {
    spool_folder_ = std::make_unique<spool::posix_directory>(server_.data_dir + "/spool");
    const std::uint32_t wanted =
        server_.shards != 0
            ? server_.shards
            : std::clamp(std::thread::hardware_concurrency(), 1U, config::shards_max);
    const auto meta = spool::open_spool(*spool_folder_, wanted);
    if (!meta) {
        return std::unexpected(meta.error());
    }
    if (server_.shards != 0 && meta->shard_count != server_.shards) {
        return fail(failure_kind::bad_input,
                    fmt::format("{}/spool was made with {} shards and the configuration says {}; "
                                "export it or let it run empty before the number changes",
                                server_.data_dir,
                                meta->shard_count,
                                server_.shards));
    }
    for (std::uint32_t index = 0; index < meta->shard_count; ++index) {
        threads_.push_back(std::make_unique<shard_thread>());
    }
    shards = std::vector<spool::recovered_shard>(meta->shard_count);
    auto done = on_each_thread([&](std::uint32_t index) -> result<void> {
        auto shard = spool::recover_shard(
            *spool_folder_, *meta, {.shard = index, .segment_bytes = server_.spool.segment_bytes});
        if (!shard) {
            return std::unexpected(shard.error());
        }
        shards[index] = std::move(*shard);
        return {};
    });
    if (!done) {
        return done;
    }
    for (std::size_t index = 0; index < shards.size(); ++index) {
        const spool::recovery_counts& counts = shards[index].counts;
        note(fmt::format("spool shard {}: {} messages in {} segments, {} records; torn tail {} "
                         "bytes, corrupt {}, damaged bodies {}, voided {}",
                         index,
                         shards[index].live.size(),
                         counts.segments,
                         counts.records,
                         counts.torn_tail_bytes,
                         counts.corrupt_records,
                         shards[index].damaged.size(),
                         counts.voided));
    }
    return {};
}

result<policy::loaded> daemon::open_overlay() {
    auto opened = overlay::overlay_store::open(server_.data_dir + "/overlay.db");
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    overlay_ = std::move(*opened);
    auto loaded = load_policy(false);
    if (!loaded) {
        return fail(failure_kind::bad_input, loaded.error());
    }
    auto keys = relay::signing_keys::load(*loaded->policy, nullptr);
    if (!keys) {
        return fail(failure_kind::bad_input, config::to_text(keys.error()));
    }
    policy_ = loaded->policy;
    keys_ = std::move(*keys);
    for (const std::string& left_out : loaded->notes) {
        note(left_out);
    }
    return std::move(*loaded);
}

result<void> daemon::open_limits(const std::vector<policy::rate_override>& overrides) {
    auto opened = limits::counter_table::open(
        server_.data_dir + "/counters", server_.limits.counters, limit_clock_.now());
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    counters_ = std::move(*opened);
    limiter_ = std::make_unique<limits::limiter>(*counters_);
    return apply_overrides(overrides);
}

result<void> daemon::start_bans() {
    const std::filesystem::path log_path =
        std::filesystem::path(server_.log_dir) / policy_->bans().log;
    std::error_code ignored; // open() says what is wrong.
    std::filesystem::create_directories(log_path.parent_path(), ignored);
    auto log = outcome::log_file::open(log_path);
    if (!log) {
        return std::unexpected(std::move(log.error()));
    }
    ban_log_ = std::move(*log);
    bans_ = std::make_unique<ban_thread>(ban_thread::options{
        .store_path = server_.data_dir + "/bans.db",
        .log = [this](std::string lines) { ban_log_->append(std::move(lines)); },
        .log_restored = [this](std::string lines) { ban_log_->append_waiting(std::move(lines)); },
        .cut =
            [this](const config::ip_network& network,
                   const std::vector<config::ip_network>& spared) {
                for (const auto& shard : shards_) {
                    shard->post(
                        [target = shard.get(), network, spared] { target->cut(network, spared); });
                }
                if (files_ != nullptr) {
                    files_->cut(network, spared);
                }
            },
        .note = [](const std::string& text) { note(text); }});
    return bans_->start(ban_settings_of(*policy_, server_));
}

result<void> daemon::on_each_thread(const std::function<result<void>(std::uint32_t index)>& step) {
    std::vector<std::future<result<void>>> waiting;
    for (std::uint32_t index = 0; index < threads_.size(); ++index) {
        waiting.push_back(threads_[index]->tell([&step, index] { return step(index); }));
    }
    result<void> all;
    for (std::future<result<void>>& one : waiting) {
        if (auto done = one.get(); !done) {
            all = std::move(done);
        }
    }
    return all;
}

result<void> daemon::start_shards(std::vector<spool::recovered_shard>&& recovered) {
    shards_.resize(recovered.size());
    for (std::uint32_t index = 0; index < recovered.size(); ++index) {
        auto made = threads_[index]->tell([&]() -> result<void> {
            auto started = relay::shard::start(*shared_, index, std::move(recovered[index]));
            if (!started) {
                return std::unexpected(std::move(started.error()));
            }
            shards_[index] = std::move(*started);
            return {};
        });
        if (auto done = made.get(); !done) {
            return done;
        }
    }
    // What takes long with a large queue.
    if (auto done =
            on_each_thread([this](std::uint32_t index) { return shards_[index]->restore(); });
        !done) {
        return done;
    }
    for (std::uint32_t index = 0; index < shards_.size(); ++index) {
        auto bound = threads_[index]->tell([&] { return shards_[index]->bind_listeners(ports_); });
        if (auto done = bound.get(); !done) {
            return done;
        }
    }
    for (std::uint32_t index = 0; index < shards_.size(); ++index) {
        threads_[index]->let_go([shard = shards_[index].get()] { shard->run(); });
    }
    return {};
}

result<void> daemon::open_admin() {
    if (!server_.admin_socket.empty()) {
        std::error_code ignored; // bind() says what is wrong.
        std::filesystem::create_directories(
            std::filesystem::path(server_.admin_socket).parent_path(), ignored);
        auto opened = admin::admin_socket::open(
            server_.admin_socket, [this](std::string_view request, const admin::peer& from) {
                return commands_->answer(request, from);
            });
        if (!opened) {
            return std::unexpected(std::move(opened.error()));
        }
        admin_ = std::move(*opened);
    }
    if (server_.admin_listen) {
        http_api_ =
            std::make_unique<api::http_api>(*commands_, overlay::token_check_of(*overlay_), [this] {
                std::vector<relay::shard_status> all;
                const admin::daemon_facts facts = gather(all);
                return admin::metrics_text(facts, all);
            });
        auto started = http_thread::start(*server_.admin_listen, &api::http_api::body_bytes_max);
        if (!started) {
            return std::unexpected(std::move(started.error()));
        }
        http_ = std::move(*started);
    }
    return {};
}

} // namespace ebbgate::program
