#include "relay/shard.h"

#include "relay/identities.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::uint64_t tick_ms = 200;
constexpr std::uint64_t drain_ms_max = 20'000;
constexpr std::uint64_t cut_ms_max = 1'000;     // For what is left to be written after it.
constexpr std::uint64_t pause_note_ms = 60'000; // So often at most: a flapping limit is one fact.
// Descriptors that clients cannot take: a quarter, for next hops, the spool, logs, the operator.
constexpr std::uint64_t reserve_descriptors_min = 112;
constexpr std::uint64_t reserve_descriptors_max = 16'384;
constexpr std::uint64_t reserve_part = 4;
constexpr std::uint64_t own_descriptors = 64; // Of these, what no next hop can take.

std::int64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

ring::use use_of(config::feature_override wanted) {
    switch (wanted) {
    case config::feature_override::automatic:
        return ring::use::automatic;
    case config::feature_override::on:
        return ring::use::on;
    case config::feature_override::off:
        return ring::use::off;
    }
    return ring::use::automatic;
}

std::uint64_t reserve_of(std::uint64_t all) {
    return std::clamp(all / reserve_part, reserve_descriptors_min, reserve_descriptors_max);
}

// How many clients all shards take, by configuration and by RLIMIT_NOFILE.
std::uint64_t connections_max_of(const config::connection_limits& limits) {
    rlimit files{};
    std::uint64_t possible = limits.max_connections;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY) {
        const std::uint64_t all = files.rlim_cur;
        const std::uint64_t reserve = reserve_of(all);
        possible = std::min(possible, all > reserve ? all - reserve : 1);
    }
    return possible;
}

// How many connections to next hops all shards may have.
std::uint32_t next_hop_connections_max() {
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) {
        return reserve_descriptors_max;
    }
    return static_cast<std::uint32_t>(reserve_of(files.rlim_cur) - own_descriptors);
}

} // namespace

shard::shard(const shared_parts& shared, std::uint32_t index) : shared_(shared), index_(index) {
    tick_.owner = this;
    tick_.on_expire = [](task::timer& timer) noexcept {
        static_cast<tick_timer&>(timer).owner->arm_tick();
    };
}

shard::~shard() = default;

result<std::unique_ptr<shard>>
shard::start(const shared_parts& shared, std::uint32_t index, spool::recovered_shard&& recovered) {
    std::unique_ptr<shard> made(new shard(shared, index));
    auto done = made->set_up(std::move(recovered));
    if (!done) {
        return std::unexpected(std::move(done.error()));
    }
    return made;
}

result<void> shard::set_up(spool::recovered_shard&& recovered) {
    const config::server& server = shared_.server;
    ring::options ring_options;
    ring_options.defer_taskrun = use_of(server.io_uring.defer_taskrun);
    auto opened = task::reactor::open(ring_options);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    reactor_ = std::move(*opened);
    connections_max_ = connections_max_of(server.limits);
    device_ = std::make_unique<stage_spool::ring_device>(reactor_->io(), shared_.durable_by);
    spool::writer_options options;
    options.shard = index_;
    options.segment_bytes = server.spool.segment_bytes;
    // What clients send goes to files of its own above the setting. The spool takes more: reports
    // of ours, and copies of messages from before the setting was lowered.
    options.inline_bytes_max =
        std::max(server.spool.inline_bytes_max, config::spool_settings{}.inline_bytes_max);
    // The largest inline message fits a group, with the largest envelope and the record's own
    // bytes.
    constexpr std::size_t record_bytes_more = 64 * kib;
    constexpr std::size_t block_bytes = 4 * kib; // A group is whole blocks.
    const std::size_t largest =
        options.inline_bytes_max + options.meta_bytes_max + record_bytes_more;
    options.group_bytes_max =
        std::max(options.group_bytes_max, (largest + block_bytes - 1) / block_bytes * block_bytes);
    options.free_bytes_reserve = server.spool.free_bytes_min;
    writer_ = std::make_unique<spool::writer>(*device_, options, std::move(recovered.start));
    journal_ = std::make_unique<relay::journal>(
        server.hostname, static_cast<std::uint32_t>(getpid()), shared_.events, shared_.text);
    ids_ = std::make_unique<message::id_source>(static_cast<std::uint8_t>(index_),
                                                recovered.highest_message_id);
    // Hooks run in this order each turn: mail first, then the commit it waits for, then the wire.
    reactor_->add_hook(*this);
    flusher_ = std::make_unique<net::flusher>(*reactor_);
    flows_ = std::make_unique<task::scope>(*reactor_);
    signing_ = std::make_unique<signing_batch>(*reactor_);
    context_.reset(new relay::context{*reactor_,
                                      *flusher_,
                                      *device_,
                                      *writer_,
                                      *journal_,
                                      *ids_,
                                      *flows_,
                                      *signing_,
                                      shared_.workers,
                                      shared_.file_workers,
                                      shared_.files,
                                      shared_.credentials,
                                      shared_.connections,
                                      shared_.guard,
                                      shared_.limiter,
                                      shared_.limit_clock,
                                      shared_.sites,
                                      shared_.names,
                                      shared_.suppression,
                                      shared_.sts,
                                      shared_.tls_sessions,
                                      server,
                                      shared_.policy,
                                      shared_.keys,
                                      shared_.bounce_rules,
                                      nullptr,
                                      nullptr,
                                      shared_.authorities,
                                      index_,
                                      shared_.shard_count,
                                      next_hop_connections_max(),
                                      server.limits.memory_bytes / 2 / shared_.shard_count,
                                      server.limits.memory_bytes / shared_.shard_count,
                                      {}});
    if (shared_.suspended != nullptr) {
        context_->suspended = shared_.suspended;
    }
    upkeep_ = std::make_unique<spool_upkeep>(
        *context_, shared_.segment_worker, shared_.spool_folder, *this);
    auto client_tls = tls::context::for_client();
    if (!client_tls) {
        return std::unexpected(std::move(client_tls.error()));
    }
    context_->client_tls = *client_tls;
    auto identities = load_identities(server, *shared_.policy);
    if (!identities) {
        return fail(failure_kind::bad_input, config::to_text(identities.error()));
    }
    context_->server_tls = *identities;
    outbound_ = std::make_unique<relay::outbound>(*context_);
    shared_.sites.set_listener(index_, [this](std::string site, site_limits::news what) {
        post([this, site = std::move(site), what] {
            what == site_limits::news::room ? outbound_->room_at(site) : outbound_->wanted_at(site);
        });
    });
    relocation_ = std::make_unique<relay::relocation>(*context_, *outbound_);
    recovered_ = std::move(recovered);
    return {};
}

// One envelope at a time: each is cold again before the next is read.
result<void> shard::restore() {
    if (auto done = upkeep_->make_first_segment(); !done) {
        return done;
    }
    spool::recovered_shard recovered = std::exchange(recovered_, {});
    const auto meta_or_none = [](std::optional<byte_view> meta) {
        return meta.value_or(byte_view()); // Not decoded: noted, and kept in the spool.
    };
    spool::read_metas(shared_.spool_folder,
                      writer_->files(),
                      std::move(recovered.live),
                      [&](const spool::recovered_message& message, std::optional<byte_view> meta) {
                          outbound_->add_recovered(message, meta_or_none(meta));
                      });
    spool::read_metas(shared_.spool_folder,
                      writer_->files(),
                      std::move(recovered.damaged),
                      [&](const spool::recovered_message& message, std::optional<byte_view> meta) {
                          outbound_->bounce_damaged(message, meta_or_none(meta));
                      });
    return {};
}

result<void> shard::bind_listeners(std::vector<std::uint16_t>& ports) {
    const config::server& server = shared_.server;
    for (std::size_t place = 0; place < server.listeners.size(); ++place) {
        const config::listener& wanted = server.listeners[place];
        if (config::is_for_files(wanted.kind)) {
            continue; // Of a thread of its own.
        }
        auto made = std::make_unique<listening>();
        made->owner = this;
        made->settings.session.hostname = server.hostname;
        made->settings.tenant = wanted.tenant;
        made->settings.proxies = wanted.proxies;
        made->settings.session.implicit_tls = wanted.kind == config::listener_kind::smtps;
        made->settings.session.tls_available = context_->server_tls != nullptr;
        auto bound = net::listener::open(
            *reactor_, {config::to_text(wanted.listen.address), ports[place]}, *made);
        if (!bound) {
            return std::unexpected(std::move(bound.error()));
        }
        made->listener = std::move(*bound);
        shared_.guard.protect(made->listener->descriptor());
        ports[place] = made->listener->port();
        listeners_.push_back(std::move(made));
    }
    refresh_settings();
    shared_.policy.reset(); // Else they would outlive their reload.
    shared_.keys.reset();
    reactor_->timers().set(tick_, reactor_->now_ms() + tick_ms);
    return {};
}

void shard::refresh_settings() {
    const std::uint64_t largest = context_->policy->largest_upload_bytes();
    for (auto& one : listeners_) {
        session::limits& limits = one->settings.session.limits;
        if (largest > 0) {
            limits.message_bytes_max = largest;
        }
        limits.recipients_per_message_max =
            std::max(1000U, context_->policy->largest_recipients_per_message());
        limits.errors_max = shared_.server.limits.max_errors_per_connection;
        limits.commands_max = shared_.server.limits.max_commands_per_connection;
        limits.messages_per_session_max = shared_.server.limits.max_messages_per_connection;
    }
}

void shard::body_file_failed(failure_kind why) {
    for (draft* waiting : std::exchange(waiting_drafts_, {})) {
        waiting->body_file_failed(why);
    }
}

void shard::open_listeners() {
    upkeep_->start();
    for (auto& one : listeners_) {
        one->listener->start();
    }
}

void shard::listening::on_accepted(int fd) noexcept {
    const std::optional<config::ip_address> client =
        config::parse_ip_address(net::peer_of(fd).address);
    if (client && owner->shared_.guard.is_banned(*client)) {
        // Without its privilege the kernel does not refuse; and some wait in the backlog.
        const linger reset{1, 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        return;
    }
    auto* connection =
        new inbound_connection(*owner->context_, *owner->outbound_, *owner, settings, fd);
    connection->start();
}

admission shard::admit(inbound_connection& connection) {
    connections_.insert(&connection);
    const config::ip_address client = config::client_key(connection.client());
    ++per_address_[client];
    const admission counted = shared_.connections.enter(
        client, connections_max_, shared_.server.limits.max_connections_per_ip);
    const bool busy = draining_ || context_->counters.hot_bytes > context_->memory_bytes_max;
    return busy ? admission::too_busy : counted;
}

void shard::gone(inbound_connection& connection) {
    connections_.erase(&connection);
    const config::ip_address client = config::client_key(connection.client());
    shared_.connections.leave(client);
    const auto found = per_address_.find(client);
    if (found != per_address_.end() && --found->second == 0) {
        per_address_.erase(found);
    }
}

void shard::cut(const config::ip_network& network, const std::vector<config::ip_network>& spared) {
    const bool is_one_client = config::client_key(network.address) == network.address &&
                               network.prefix_bits == config::client_prefix_bits(network.address);
    if (is_one_client && !per_address_.contains(network.address)) {
        return; // Nobody of it is here, which is nearly always so.
    }
    const std::vector<inbound_connection*> open(connections_.begin(), connections_.end());
    for (inbound_connection* connection : open) {
        const config::ip_address& client = connection->client();
        if (network.holds(client) &&
            std::none_of(spared.begin(), spared.end(), [&](const config::ip_network& one) {
                return one.holds(client);
            })) {
            connection->cut();
        }
    }
}

void shard::set_policy(policy::snapshot_pointer policy,
                       std::shared_ptr<const signing_keys> keys,
                       std::shared_ptr<const bounces::classifier> bounce_rules) {
    context_->policy = std::move(policy);
    context_->keys = std::move(keys);
    context_->bounce_rules = std::move(bounce_rules);
    refresh_settings();
    for (inbound_connection* connection : connections_) {
        connection->policy_changed();
    }
    outbound_->policy_changed();
}

void shard::let_go_of_old_policies() {
    const std::vector<inbound_connection*> open(connections_.begin(), connections_.end());
    for (inbound_connection* connection : open) {
        connection->let_go_of_old_policy();
    }
}

void shard::listening::on_pause() noexcept {
    owner->note_accept_pause();
}

void shard::note_accept_pause() {
    if (pause_noted_ms_ == 0 || reactor_->now_ms() >= pause_noted_ms_ + pause_note_ms) {
        pause_noted_ms_ = reactor_->now_ms();
        journal_->note(reactor_->unix_us(),
                       "smtpd",
                       "out of file descriptors: new connections wait until some are free again");
    }
}

bool shard::on_turn() noexcept {
    const bool is_more = outbound_->on_turn();
    if (!waiting_drafts_.empty()) {
        std::vector<draft*> waiting;
        waiting.swap(waiting_drafts_);
        for (draft* one : waiting) {
            one->body_file_may_be_free();
        }
    }
    relocation_->on_turn();
    writer_->pump(monotonic_ns());
    upkeep_->on_turn();
    journal_->flush_if_due(reactor_->now_ms());
    arm_tick();
    if (draining_) {
        go_on_draining();
    }
    return is_more;
}

void shard::go_on_draining() {
    const bool late = reactor_->now_ms() > drain_until_ms_;
    if (late && !cutting_) {
        // Who is not through by now is cut off; what that leaves is written down.
        cutting_ = true;
        drain_until_ms_ = reactor_->now_ms() + cut_ms_max;
        outbound_->cut();
    } else if (late || is_drained()) {
        journal_->flush();
        reactor_->stop();
    }
}

// The writer's deadlines are not on the wheel: a tick wakes the turn that pumps it.
void shard::arm_tick() {
    const std::int64_t due_ns = writer_->next_deadline_ns();
    const auto longest = static_cast<std::int64_t>(tick_ms);
    const std::int64_t wait_ms =
        due_ns == INT64_MAX
            ? longest
            : std::clamp<std::int64_t>((due_ns - monotonic_ns()) / 1'000'000 + 1, 1, longest);
    std::uint64_t due_ms = reactor_->now_ms() + static_cast<std::uint64_t>(wait_ms);
    if (journal_->has_lines()) {
        due_ms = std::min(due_ms, reactor_->now_ms() + relay::journal::hold_ms);
    }
    if (!tick_.is_set() || due_ms < tick_.due_ms) {
        reactor_->timers().set(tick_, due_ms);
    }
}

void shard::drain() {
    draining_ = true;
    drain_until_ms_ = reactor_->now_ms() + drain_ms_max;
    for (auto& one : listeners_) {
        one->listener->stop();
    }
    const std::vector<inbound_connection*> open(connections_.begin(), connections_.end());
    for (inbound_connection* connection : open) {
        connection->shut_down();
    }
    outbound_->shut_down();
    flows_->stop();
}

bool shard::is_drained() const {
    return connections_.empty() && outbound_->connection_count() == 0 && writer_->idle() &&
           device_->idle() && flows_->count() == 0;
}

void shard::run() {
    constexpr std::uint64_t settle_ms_max = 1000;
    reactor_->run();
    reactor_->settle(settle_ms_max);
}

shard_status shard::status() {
    journal_->flush();
    shard_status status;
    status.counters = context_->counters;
    status.ring = reactor_->io().statistics();
    status.features = reactor_->io().features();
    status.spool = writer_->counters();
    status.queue = outbound_->queue().total();
    status.lanes = outbound_->queue().lane_count();
    status.oldest_age_ms = outbound_->queue().oldest_age_ms(outbound_->clock_ms());
    status.log_bytes = writer_->log_bytes();
    status.relocated = relocation_->moved();
    status.intake_open = writer_->intake_open();
    for (const auto& one : listeners_) {
        status.accept_pauses += one->listener->pauses();
    }
    return status;
}

} // namespace ebbgate::relay
