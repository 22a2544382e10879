#include "program/daemon/daemon.h"

#include "codec/json/writer.h"
#include "service/admin/status_report.h"

#include <fmt/format.h>

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <future>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace ebbgate::program {

namespace {

constexpr std::size_t credentials_max = 100'000;
constexpr std::uint64_t credentials_lifetime_ms = 600'000;
constexpr std::chrono::seconds workers_end_max{2}; // At the end; then the exit does not wait.
constexpr std::size_t look_ups_max = 1000;         // One a destination at a time.
constexpr std::size_t login_checks_max = 1000;

std::int64_t monotonic_seconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// For systemd's Type=notify (sd_notify(3)).
void notify_ready() {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) {
        return;
    }
    std::memcpy(address.sun_path, path, std::strlen(path));
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    if (address.sun_path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        const char text[] = "READY=1";
        (void)sendto(fd,
                     text,
                     sizeof text - 1,
                     MSG_NOSIGNAL,
                     reinterpret_cast<const sockaddr*>(&address),
                     bytes);
        close(fd);
    }
}

void raise_file_limit() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

std::string answer(bool good, std::string_view key, std::uint64_t count) {
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(good).key(key).number(count).end_object();
    return text;
}

} // namespace

daemon::daemon(config::server server, policy::snapshot_pointer policy)
    : server_(std::move(server)), policy_(std::move(policy)),
      credentials_(credentials_max, credentials_lifetime_ms) {}

daemon::~daemon() {
    if (signal_fd_ >= 0) {
        close(signal_fd_);
    }
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
        auto shard = spool::recover_shard(
            *spool_folder_, *meta, {.shard = index, .segment_bytes = server_.spool.segment_bytes});
        if (!shard) {
            return std::unexpected(shard.error());
        }
        const spool::recovery_counts& counts = shard->counts;
        note(fmt::format("spool shard {}: {} messages in {} segments, {} records; torn tail {} "
                         "bytes, corrupt {}, damaged bodies {}, voided {}",
                         index,
                         shard->live.size(),
                         counts.segments,
                         counts.records,
                         counts.torn_tail_bytes,
                         counts.corrupt_records,
                         shard->damaged.size(),
                         counts.voided));
        shards.push_back(std::move(*shard));
    }
    return {};
}

void daemon::note(const std::string& text) {
    fmt::print(stderr, "ebbgated: {}\n", text);
}

result<void> daemon::start() {
    started_seconds_ = monotonic_seconds();
    raise_file_limit();
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
        sigaddset(&signals, number);
    }
    // Before any thread starts: all inherit the mask, and only this thread reads the signals.
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    (void)std::signal(SIGPIPE, SIG_IGN);
    signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
    if (auto done = open_folders(); !done) {
        return done;
    }
    std::vector<spool::recovered_shard> recovered;
    if (auto done = recover(recovered); !done) {
        return done;
    }
    (void)crypto::hash_of_nobody(); // Made once, now: the first unknown login must not be slower.
    workers_ = std::make_unique<shard::worker_pool>(2, login_checks_max);
    name_workers_ = std::make_unique<shard::worker_pool>(2, look_ups_max);
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
    shared_.reset(new relay::shared_parts{server_,
                                          policy_,
                                          *spool_folder_,
                                          durable_by,
                                          *workers_,
                                          *name_workers_,
                                          *segment_worker_,
                                          credentials_,
                                          *events_,
                                          *text_,
                                          static_cast<std::uint32_t>(recovered.size())});
    for (const config::listener& listener : server_.listeners) {
        ports_.push_back(listener.listen.port);
    }
    for (std::uint32_t index = 0; index < recovered.size(); ++index) {
        if (auto done = start_shard(index, std::move(recovered[index])); !done) {
            return done;
        }
    }
    if (!server_.admin_socket.empty()) {
        std::error_code ignored; // bind() says what is wrong.
        std::filesystem::create_directories(
            std::filesystem::path(server_.admin_socket).parent_path(), ignored);
        auto opened = admin::admin_socket::open(
            server_.admin_socket, [this](std::string_view command) { return on_command(command); });
        if (!opened) {
            return std::unexpected(std::move(opened.error()));
        }
        admin_ = std::move(*opened);
    }
    on_each_shard([](relay::shard& shard) { shard.open_listeners(); });
    return {};
}

// A ring belongs to the thread that opened it: the shard is made on its own.
result<void> daemon::start_shard(std::uint32_t index, spool::recovered_shard&& recovered) {
    std::promise<result<relay::shard*>> made;
    auto waiting = made.get_future();
    shards_.emplace_back();
    threads_.emplace_back([this, index, &made, recovered = std::move(recovered)]() mutable {
        auto started = relay::shard::start(*shared_, index, std::move(recovered), ports_);
        if (!started) {
            made.set_value(std::unexpected(std::move(started.error())));
            return;
        }
        std::unique_ptr<relay::shard> mine = std::move(*started);
        relay::shard& running = *mine;
        shards_[index] = std::move(mine);
        made.set_value(&running);
        running.run();
    });
    const auto done = waiting.get();
    if (!done) {
        return std::unexpected(done.error());
    }
    return {};
}

void daemon::on_each_shard(const std::function<void(relay::shard&)>& work) {
    std::vector<std::future<void>> waiting;
    for (auto& shard : shards_) {
        if (shard == nullptr) {
            continue;
        }
        auto done = std::make_shared<std::promise<void>>();
        waiting.push_back(done->get_future());
        shard->post([&work, done, target = shard.get()] {
            work(*target);
            done->set_value();
        });
    }
    for (std::future<void>& one : waiting) {
        one.wait();
    }
}

std::string daemon::status() {
    std::vector<relay::shard_status> all;
    std::mutex lock;
    on_each_shard([&](relay::shard& shard) {
        relay::shard_status one = shard.status();
        const std::lock_guard hold(lock);
        all.push_back(one);
    });
    admin::daemon_facts facts;
    facts.version = EBBGATE_VERSION;
    facts.hostname = server_.hostname;
    facts.uptime_seconds = static_cast<std::uint64_t>(monotonic_seconds() - started_seconds_);
    facts.policy_fingerprint = policy_->fingerprint();
    facts.policy_is_stale = policy_is_stale_;
    facts.durable_by = shared_->durable_by == stage_spool::durable_by::dsync ? "dsync" : "fsync";
    facts.log_blocks_dropped = events_->dropped_blocks() + text_->dropped_blocks();
    for (const config::listener& listener : server_.listeners) {
        facts.listener_names.push_back(listener.name);
        facts.listener_kinds.emplace_back(listener.kind == config::listener_kind::smtps ? "smtps"
                                                                                        : "smtp");
    }
    facts.ports = ports_;
    return admin::status_json(facts, all);
}

std::string daemon::refuse_reload(const std::string& why) {
    policy_is_stale_ = true;
    note("nothing reloaded, what was in force stays:\n" + why);
    std::string text;
    json::writer out(text);
    out.begin_object().key("ok").boolean(false);
    out.member("error", why).end_object();
    return text;
}

std::string daemon::reload() {
    auto loaded = policy::load(server_.policy);
    if (!loaded) {
        return refuse_reload(config::to_text(loaded.error()));
    }
    // All of it is loaded before any of it is in force. A context belongs to one shard.
    std::vector<std::shared_ptr<tls::context>> contexts;
    while (!server_.tls.certificate.empty() && contexts.size() < shards_.size()) {
        auto made = tls::context::for_server(server_.tls.certificate, server_.tls.key);
        if (!made) {
            return refuse_reload(made.error().detail);
        }
        contexts.push_back(std::move(*made));
    }
    policy_is_stale_ = false;
    policy_ = *loaded;
    credentials_.clear();
    on_each_shard([&](relay::shard& shard) {
        shard.set_policy(policy_);
        if (!contexts.empty()) {
            shard.set_tls(contexts[shard.index()]);
        }
    });
    note("policy reloaded");
    return answer(true, "fingerprint", policy_->fingerprint());
}

std::string daemon::on_command(std::string_view command) {
    const std::size_t blank = command.find(' ');
    const std::string_view verb = command.substr(0, blank);
    const std::string_view rest =
        blank == std::string_view::npos ? std::string_view() : command.substr(blank + 1);
    if (verb == "status") {
        return status();
    }
    if (verb == "reload") {
        return reload();
    }
    std::atomic<std::uint64_t> count = 0;
    if (verb == "flush") {
        on_each_shard([&](relay::shard& shard) { count += shard.queue().flush(); });
        return answer(true, "flushed", count);
    }
    if (verb == "release") {
        const auto id = message::from_text(rest);
        if (!rest.empty() && !id) {
            return answer(false, "released", 0);
        }
        on_each_shard([&](relay::shard& shard) { count += shard.queue().release(id); });
        return answer(true, "released", count);
    }
    return R"({"ok":false,"error":"unknown command"})";
}

void daemon::run() {
    fmt::print("ready\n");
    std::fflush(stdout);
    notify_ready();
    for (;;) {
        pollfd waiting[2] = {{signal_fd_, POLLIN, 0},
                             {admin_ ? admin_->descriptor() : -1, POLLIN, 0}};
        (void)poll(waiting, 2, -1);
        if ((waiting[1].revents & POLLIN) != 0) {
            admin_->serve();
        }
        if ((waiting[0].revents & POLLIN) == 0) {
            continue;
        }
        signalfd_siginfo signal{};
        if (read(signal_fd_, &signal, sizeof signal) != sizeof signal) {
            continue;
        }
        if (signal.ssi_signo == SIGHUP) {
            (void)reload();
        }
        if (signal.ssi_signo == SIGHUP || signal.ssi_signo == SIGUSR1) {
            events_->reopen();
            text_->reopen();
            continue;
        }
        break;
    }
    note("draining");
    on_each_shard([](relay::shard& shard) { shard.drain(); });
    for (std::thread& thread : threads_) {
        thread.join();
    }
    // While the shards that they answer to are there: a worker may be amid a password or a name.
    const auto until = std::chrono::steady_clock::now() + workers_end_max;
    bool all_ended = true;
    for (auto* pool : {&workers_, &name_workers_, &segment_worker_}) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        all_ended = (*pool)->stop(std::max(left, std::chrono::milliseconds(0))) && all_ended;
    }
    if (!all_ended) {
        // A name look-up hangs in the resolver. Everything else is over: what is durable is on the
        // disk, the logs are written here, and the hanging thread must not meet a destructor.
        events_.reset();
        text_.reset();
        admin_.reset();
        note("stopped, without waiting for a look-up");
        std::fflush(nullptr);
        std::_Exit(0);
    }
    note("stopped");
}

} // namespace ebbgate::program
