// The daemon: recovery, shards on their threads, signals, the operator's socket.
//
// Input   The configuration file's path.
// Output  An exit status.
// Owner   The main thread, which is the management thread.

#pragma once

#include "ebbgate/spool/posix_storage.h"

#include "config/server.h"
#include "crypto/password.h"
#include "relay/shard.h"
#include "service/admin/admin_socket.h"
#include "stage/outcome/log_file.h"
#include "stage/policy/snapshot.h"

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace ebbgate::program {

class daemon {
public:
    daemon(config::server server, policy::snapshot_pointer policy);
    ~daemon();
    daemon(const daemon&) = delete;
    daemon& operator=(const daemon&) = delete;

    // Opens everything; says what it could not.
    [[nodiscard]] result<void> start();
    // Until SIGTERM or SIGINT; returns when all shards have drained.
    void run();

private:
    [[nodiscard]] result<void> open_folders();
    [[nodiscard]] result<void> recover(std::vector<spool::recovered_shard>& shards);
    [[nodiscard]] result<void> start_shard(std::uint32_t index, spool::recovered_shard&& recovered);
    std::string on_command(std::string_view command);
    std::string status();
    std::string reload();
    std::string refuse_reload(const std::string& why);
    // Runs `work` on each shard's thread and waits for all.
    void on_each_shard(const std::function<void(relay::shard&)>& work);
    void note(const std::string& text);

    config::server server_;
    policy::snapshot_pointer policy_;
    bool policy_is_stale_ = false;
    std::unique_ptr<spool::posix_directory> spool_folder_;
    std::unique_ptr<outcome::log_file> events_;
    std::unique_ptr<outcome::log_file> text_;
    crypto::credential_cache credentials_;
    std::unique_ptr<shard::worker_pool> workers_;
    std::unique_ptr<shard::worker_pool> name_workers_;
    std::unique_ptr<shard::worker_pool> segment_worker_;
    std::unique_ptr<relay::shared_parts> shared_;
    std::vector<std::unique_ptr<relay::shard>> shards_;
    std::vector<std::thread> threads_;
    std::vector<std::uint16_t> ports_;
    std::unique_ptr<admin::admin_socket> admin_;
    int signal_fd_ = -1;
    std::int64_t started_seconds_ = 0;
};

} // namespace ebbgate::program
