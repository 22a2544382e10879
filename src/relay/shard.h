// One shard: a thread, its ring, and everything that lives on it.
//
// Input   The spool as recovery left it, the configuration, the policy.
// Output  Mail relayed; counts for `status`.
// Owner   The thread that runs it. post() and fill() through the reactor are the only ways in.
// Fails   start() says what could not be opened. Later failures are handled where they happen.
// Bounds  The configuration's connection limits and memory.

#pragma once

#include "ebbgate/spool/posix_storage.h"
#include "ebbgate/spool/recovery.h"

#include "relay/inbound.h"
#include "relay/outbound.h"
#include "relay/relocation.h"
#include "relay/spool_upkeep.h"
#include "runtime/net/listener.h"
#include "stage/spool/ring_device.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace ebbgate::relay {

// What all shards share; outlives them.
struct shared_parts {
    const config::server& server;
    policy::snapshot_pointer policy; // At the start; later ones come by shard::set_policy(),
    std::shared_ptr<const signing_keys> keys;                // these too,
    std::shared_ptr<const bounces::classifier> bounce_rules; // and these.
    spool::posix_directory& spool_folder;
    stage_spool::durable_by durable_by = stage_spool::durable_by::linked_sync;
    shard::worker_pool& workers;
    shard::worker_pool& file_workers;
    blob::blob_store& files;
    shard::worker_pool& segment_worker; // One thread: segments are made in the order asked for.
    crypto::credential_cache& credentials;
    connection_counts& connections;
    relay::guard& guard;
    limits::limiter& limiter;
    const limits::clock& limit_clock;
    site_limits& sites;
    dns::asker& names;
    bounces::suppression& suppression;
    mta_sts::policy_finder& sts;
    tls_report::session_counters& tls_sessions;
    std::shared_ptr<const tls::trust_store> authorities; // At the start.
    outcome::log_file& events;
    outcome::log_file& text;
    std::uint32_t shard_count = 1;
    std::shared_ptr<const suspensions> suspended; // At the start. Null: none.
};

struct shard_status {
    relay_counters counters;
    ring::counters ring;
    ring::capabilities features;
    spool::writer_counters spool;
    schedule::counters queue;
    std::uint64_t lanes = 0;
    std::int64_t oldest_age_ms = 0;
    std::uint64_t log_bytes = 0;
    std::uint64_t relocated = 0; // Messages, since the start.
    bool intake_open = true;
    std::uint64_t accept_pauses = 0;
};

class shard final : public task::turn_hook, public connection_registry, public body_file_waiters {
public:
    // In this order, all on the thread that runs it:
    // Opens the ring, and the spool where recovery says that it goes on.
    [[nodiscard]] static result<std::unique_ptr<shard>>
    start(const shared_parts& shared, std::uint32_t index, spool::recovered_shard&& recovered);
    ~shard();
    // Makes the first segment, and queues the messages that recovery found. Other shards may do so
    // at the same time.
    [[nodiscard]] result<void> restore();
    // Binds the listeners. `ports` holds the port of each configured listener: 0 on the first
    // shard, which lets the kernel choose and writes the choice back.
    [[nodiscard]] result<void> bind_listeners(std::vector<std::uint16_t>& ports);
    // Runs until drain() is through.
    void run();

    // From any thread.
    void post(std::function<void()> work) { reactor_->post(std::move(work)); }

    [[nodiscard]] std::uint32_t index() const noexcept { return index_; }

    // The rest belongs to the shard's thread (use post).
    void open_listeners();
    void set_policy(policy::snapshot_pointer policy,
                    std::shared_ptr<const signing_keys> keys,
                    std::shared_ptr<const bounces::classifier> bounce_rules);
    // Ends the sessions that keep an older one without sending a message.
    void let_go_of_old_policies();

    void set_tls(std::shared_ptr<const tls::server_identities> tls) {
        context_->server_tls = std::move(tls);
    }

    // For connections that are opened from now on.
    void set_authorities(std::shared_ptr<const tls::trust_store> authorities) {
        context_->authorities = std::move(authorities);
    }

    // Ends the sessions of a network that was banned, but for those of `spared`.
    void cut(const config::ip_network& network, const std::vector<config::ip_network>& spared);

    void drain();
    // What it tells is in the hands of the log files.
    [[nodiscard]] shard_status status();

    [[nodiscard]] relay::outbound& queue() noexcept { return *outbound_; }

    bool on_turn() noexcept override;

    // connection_registry
    admission admit(inbound_connection& connection) override;
    void gone(inbound_connection& connection) override;

    void wait_for_body_file(draft& draft) override { waiting_drafts_.push_back(&draft); }

    void forget(draft& draft) override { std::erase(waiting_drafts_, &draft); }

    // body_file_waiters
    void body_file_failed(failure_kind why) override;

private:
    struct listening final : net::listener_observer {
        shard* owner = nullptr;
        listener_settings settings;
        std::unique_ptr<net::listener> listener;
        void on_accepted(int fd) noexcept override;
        void on_pause() noexcept override;
    };

    struct tick_timer : task::timer {
        shard* owner = nullptr;
    };

    shard(const shared_parts& shared, std::uint32_t index);

    [[nodiscard]] result<void> set_up(spool::recovered_shard&& recovered);
    void refresh_settings();
    void note_accept_pause();
    void arm_tick();
    void go_on_draining();
    [[nodiscard]] bool is_drained() const;

    shared_parts shared_;
    std::uint32_t index_;
    spool::recovered_shard recovered_; // Until restore().
    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<stage_spool::ring_device> device_;
    std::unique_ptr<spool::writer> writer_;
    std::unique_ptr<relay::journal> journal_;
    std::unique_ptr<message::id_source> ids_;
    std::unique_ptr<task::scope> flows_;
    std::unique_ptr<signing_batch> signing_;
    std::unique_ptr<relay::context> context_;
    std::unique_ptr<net::flusher> flusher_;
    std::unique_ptr<relay::outbound> outbound_;
    std::unique_ptr<spool_upkeep> upkeep_;
    std::unique_ptr<relay::relocation> relocation_;
    std::vector<std::unique_ptr<listening>> listeners_;
    std::unordered_set<inbound_connection*> connections_;
    // By client_key(): an IPv4 address, or the /64 of an IPv6 one.
    std::unordered_map<config::ip_address, std::uint32_t, config::ip_address_hash> per_address_;
    std::vector<draft*> waiting_drafts_;
    tick_timer tick_;
    std::uint64_t drain_until_ms_ = 0;
    std::uint64_t pause_noted_ms_ = 0;  // 0: never.
    std::uint64_t connections_max_ = 0; // Of all shards.
    bool draining_ = false;
    bool cutting_ = false; // Behind drain_until_ms_.
};

} // namespace ebbgate::relay
