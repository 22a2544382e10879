// The daemon: recovery, shards on their threads, signals, the operator's socket.
//
// Input   The configuration file's path.
// Output  An exit status.
// Owner   The main thread, which is the management thread.

#pragma once

#include "ebbgate/spool/posix_storage.h"

#include "codec/json/writer.h"
#include "config/server.h"
#include "crypto/password.h"
#include "program/daemon/background.h"
#include "program/daemon/ban_thread.h"
#include "program/daemon/file_watch.h"
#include "program/daemon/files_thread.h"
#include "program/daemon/http_thread.h"
#include "program/daemon/link_upkeep.h"
#include "program/daemon/shard_thread.h"
#include "relay/shard.h"
#include "runtime/resolve/dnssec_probe.h"
#include "runtime/resolve/resolver.h"
#include "runtime/tls/trust_store.h"
#include "service/admin/admin_socket.h"
#include "service/admin/audit.h"
#include "service/admin/command.h"
#include "service/admin/status_report.h"
#include "service/api/http_api.h"
#include "service/mta_sts/policy_finder.h"
#include "service/overlay/overlay_store.h"
#include "service/suppression/suppression_list.h"
#include "service/tls_report/session_counters.h"
#include "stage/bounces/classifier.h"
#include "stage/limits/clock.h"
#include "stage/limits/counter_table.h"
#include "stage/limits/limiter.h"
#include "stage/outcome/log_file.h"
#include "stage/policy/snapshot.h"
#include "store/blob/blob_store.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ebbgate::program {

class daemon {
public:
    explicit daemon(config::server server);
    ~daemon();
    daemon(const daemon&) = delete;
    daemon& operator=(const daemon&) = delete;

    // Opens everything; says what it could not.
    [[nodiscard]] result<void> start();
    // Until SIGTERM or SIGINT; returns when all shards have drained.
    void run();

private:
    // Snapshots kept by messages that last: each may have a million senders. Beyond it, sessions
    // that keep one without a message end, and tenants change nothing by themselves.
    static constexpr std::size_t retired_max = 16;

    // Silent: nobody reads what changed, and to compare two large policies takes its time.
    // Overlay: a command changed it; certificates and remembered logins stay as they are.
    enum class reload_kind : std::uint8_t { dry_run, told, silent, overlay };

    [[nodiscard]] result<void> open_folders();
    [[nodiscard]] result<void> recover(std::vector<spool::recovered_shard>& shards);
    [[nodiscard]] result<void> start_shards(std::vector<spool::recovered_shard>&& recovered);
    // On each shard's thread, on all at once.
    [[nodiscard]] result<void>
    on_each_thread(const std::function<result<void>(std::uint32_t index)>& step);
    [[nodiscard]] result<policy::loaded> open_overlay();
    [[nodiscard]] result<void> open_limits(const std::vector<policy::rate_override>& overrides);
    [[nodiscard]] result<void> start_bans();
    [[nodiscard]] result<void> open_admin();
    static void note(const std::string& text);
    // Runs `work` on each shard's thread and waits for all.
    void on_each_shard(const std::function<void(relay::shard&)>& work);
    // The same for work that ends later, when it calls `done`; false: not all has within its time.
    // What `work` refers to must then still be there.
    [[nodiscard]] bool
    ask_each_shard(const std::function<void(relay::shard&, std::function<void()> done)>& work);
    void stop();

    // daemon_reload.cc
    [[nodiscard]] std::expected<policy::loaded, std::string> load_policy(bool is_overlay);
    std::string reload(reload_kind kind);
    std::string refuse_reload(const std::string& why);
    [[nodiscard]] static std::expected<std::shared_ptr<const bounces::classifier>, std::string>
    load_bounce_rules(const policy::snapshot& policy);
    void put_in_force(policy::snapshot_pointer policy,
                      std::shared_ptr<const relay::signing_keys> keys);
    void free_retired();
    [[nodiscard]] result<void> apply_overrides(const std::vector<policy::rate_override>& overrides);
    void watch_files(const policy::snapshot& policy,
                     std::chrono::system_clock::time_point reading_since);
    // Reloads when what changed has been quiet for a moment; frees snapshots nobody uses any more.
    // Returns how long poll() may wait.
    int tend(bool files_stirred);

    // daemon_files.cc
    [[nodiscard]] result<void> open_files();
    void add_link_commands();
    void add_suppression_commands();
    void log_download(const filelink::download& made);
    [[nodiscard]] std::optional<admin::file_facts> gather_files() const;

    // daemon_tls.cc
    [[nodiscard]] result<void> open_tls();
    [[nodiscard]] result<std::shared_ptr<const tls::trust_store>> load_authorities() const;
    void reload_authorities();

    // daemon_names.cc
    void begin_names(); // Asks the servers meanwhile.
    [[nodiscard]] result<void> open_names();
    void reload_names();
    void flush_tls_sessions();
    void stop_tls_sessions();
    void add_tls_commands();
    std::string tls_report(const admin::request& asked);

    // daemon_commands.cc
    void add_commands();
    void add_ban_commands();
    std::string status();
    // What `status` and /metrics show, and the shards' part of it.
    [[nodiscard]] admin::daemon_facts gather(std::vector<relay::shard_status>& all);
    std::string release(std::string_view id_text);
    std::string ban(const admin::request& asked);
    std::string unban(const admin::request& asked);
    std::string banned(const admin::request& asked);
    std::string ignore(const admin::request& asked, bool add);
    std::string ignore_list();

    // daemon_queue.cc
    void add_queue_commands();
    std::string queue(const admin::request& asked);
    std::string queue_list(const admin::request& asked);
    std::string show_message(const admin::request& asked);
    std::string flush(const admin::request& asked);
    std::string bounce(const admin::request& asked);
    void note_change(const admin::request& asked, std::string after);

    // daemon_suspend.cc
    void add_suspension_commands();
    std::string suspend(const admin::request& asked);
    std::string resume(const admin::request& asked);
    std::string suspend_list();
    [[nodiscard]] result<std::shared_ptr<const relay::suspensions>> read_suspensions();
    std::string put_suspensions_in_force(); // Empty, or why not.

    // daemon_why.cc
    std::string why(const admin::request& asked);
    std::string why_address(const config::ip_address& address);
    std::string why_sender(std::string_view sender);
    std::string why_message(std::uint64_t id);
    // The members of a message that waits. Empty, or the refusal.
    std::string
    write_message(json::writer& out, std::uint64_t id, std::size_t recipients_max, bool is_whole);

    config::server server_;
    background background_; // Outlives what it is given.
    policy::snapshot_pointer policy_;
    std::shared_ptr<const relay::signing_keys> keys_;         // Of policy_.
    std::shared_ptr<const bounces::classifier> bounce_rules_; // Of policy_.
    // Still used by a session: freed here, where a million senders take their time.
    std::vector<policy::snapshot_pointer> retired_;
    bool policy_is_stale_ = false;
    std::string policy_fault_; // Why it is stale.
    std::uint64_t reloads_ = 0;
    std::uint64_t reloads_refused_ = 0;
    file_watch watch_;
    std::chrono::steady_clock::time_point counters_flush_{};
    std::unique_ptr<spool::posix_directory> spool_folder_;
    std::unique_ptr<outcome::log_file> events_;
    std::unique_ptr<outcome::log_file> text_;
    std::unique_ptr<outcome::log_file> ban_log_;
    limits::clock limit_clock_;
    std::unique_ptr<limits::counter_table> counters_;
    std::unique_ptr<limits::limiter> limiter_;
    std::unique_ptr<ban_thread> bans_;
    crypto::credential_cache credentials_;
    relay::connection_counts connections_;
    std::unique_ptr<link_upkeep> links_; // Outlives who stores and serves files.
    std::unique_ptr<shard::worker_pool> workers_;
    std::unique_ptr<suppression::suppression_list> suppression_;
    std::unique_ptr<dns::resolver> resolver_;
    std::string name_files_; // What it was opened with.
    std::future<dns::dnssec_support> probed_;
    std::unique_ptr<shard::worker_pool> sts_workers_;
    std::unique_ptr<mta_sts::fetcher> sts_fetcher_;
    std::unique_ptr<mta_sts::policy_finder> sts_;
    std::unique_ptr<tls_report::session_counters> tls_sessions_;
    std::shared_ptr<const tls::trust_store> authorities_;
    std::chrono::steady_clock::time_point tls_flush_{};
    relay::site_limits sites_;
    std::unique_ptr<shard::worker_pool> file_workers_;
    std::unique_ptr<shard::worker_pool> segment_worker_;
    std::unique_ptr<relay::shared_parts> shared_;
    std::vector<std::unique_ptr<relay::shard>> shards_;
    std::vector<std::unique_ptr<shard_thread>> threads_;
    std::vector<std::uint16_t> ports_;
    std::unique_ptr<files_thread> files_; // Null: no http or https listener.
    std::unique_ptr<overlay::overlay_store> overlay_;
    admin::audit audit_; // In overlay_.
    std::unique_ptr<admin::dispatcher> commands_;
    std::unique_ptr<admin::admin_socket> admin_;
    std::unique_ptr<api::http_api> http_api_;
    std::unique_ptr<http_thread> http_; // Null: no admin.listen.
    int signal_fd_ = -1;
    std::chrono::steady_clock::time_point started_;
};

// With the relay hosts of all tenants and the listed proxies, which are never banned.
[[nodiscard]] bans::settings ban_settings_of(const policy::snapshot& policy,
                                             const config::server& server);

} // namespace ebbgate::program
