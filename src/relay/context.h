// What inbound and outbound of one shard share: the shard's own objects and the daemon's.
//
// Owner   The shard's thread, but for what says otherwise.

#pragma once

#include "ebbgate/message/message_id.h"
#include "ebbgate/spool/writer.h"

#include "config/server.h"
#include "crypto/password.h"
#include "relay/connection_counts.h"
#include "relay/guard.h"
#include "relay/journal.h"
#include "relay/signing_batch.h"
#include "relay/signing_keys.h"
#include "relay/site_limits.h"
#include "relay/suspensions.h"
#include "runtime/net/stream.h"
#include "runtime/resolve/answer.h"
#include "runtime/shard/worker_pool.h"
#include "runtime/task/reactor.h"
#include "runtime/task/scope.h"
#include "runtime/tls/tls.h"
#include "service/mta_sts/policy_finder.h"
#include "service/tls_report/session_counters.h"
#include "stage/bounces/classifier.h"
#include "stage/bounces/suppression.h"
#include "stage/limits/clock.h"
#include "stage/limits/limiter.h"
#include "stage/policy/snapshot.h"
#include "stage/session/settings.h"
#include "store/blob/blob_store.h"

#include <cstdint>
#include <memory>

namespace ebbgate::relay {

// Shown by `status`; plain counts of one shard.
struct relay_counters {
    std::uint64_t connections_total = 0;
    std::uint64_t connections_open = 0;
    std::uint64_t connections_refused = 0;
    std::uint64_t tls_handshakes = 0;
    std::uint64_t logins = 0;
    std::uint64_t logins_failed = 0;
    std::uint64_t messages_received = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t messages_refused = 0;
    std::uint64_t deliveries = 0;
    std::uint64_t deferrals = 0;
    std::uint64_t bounces = 0;
    std::uint64_t ambiguous = 0;
    std::uint64_t messages_done = 0;
    std::uint64_t links = 0; // Attachments that became one,
    std::uint64_t link_bytes = 0;
    std::uint64_t hot_bytes = 0; // Bodies in memory: coming in, or kept until delivered.
};

struct context {
    task::reactor& reactor;
    net::flusher& flusher;
    spool::device& device;
    spool::writer& writer;
    relay::journal& journal;
    message::id_source& ids;
    task::scope& flows;
    signing_batch& signing;
    shard::worker_pool& workers;           // Password checks. Shared by all shards; any thread.
    shard::worker_pool& file_workers;      // Of `files`. Shared; any thread.
    blob::blob_store& files;               // Attachments that became links. Shared; any thread.
    crypto::credential_cache& credentials; // Shared by all shards; any thread.
    connection_counts& connections;        // Shared by all shards; any thread.
    relay::guard& guard;                   // Shared by all shards; any thread.
    limits::limiter& limiter;              // Shared by all shards; any thread.
    const limits::clock& limit_clock;      // Shared by all shards; any thread.
    site_limits& sites;                    // Shared by all shards; any thread.
    dns::asker& names;                     // Shared by all shards; any thread.
    bounces::suppression& suppression;     // Shared by all shards; any thread.
    mta_sts::policy_finder& sts;           // Shared by all shards; any thread.
    tls_report::session_counters& tls_sessions; // Shared by all shards; any thread.
    const config::server& server;
    policy::snapshot_pointer policy;                          // Swapped between messages,
    std::shared_ptr<const signing_keys> keys;                 // and these with it,
    std::shared_ptr<const bounces::classifier> bounce_rules;  // and these.
    std::shared_ptr<const tls::server_identities> server_tls; // Null: no certificate.
    std::shared_ptr<tls::context> client_tls;
    std::shared_ptr<const tls::trust_store> authorities; // Of mail hosts.
    std::uint32_t shard = 0;
    std::uint32_t shard_count = 1;
    std::uint32_t descriptors_max = 0;  // For connections to next hops, of all shards.
    std::uint64_t hot_bytes_max = 0;    // Above: stored bodies are read back for delivery.
    std::uint64_t memory_bytes_max = 0; // Above: 421 for new clients, 452 for what is coming in.
    relay_counters counters;
    // Never null. Swapped by outbound::set_suspensions().
    std::shared_ptr<const suspensions> suspended = std::make_shared<const suspensions>();
};

} // namespace ebbgate::relay
