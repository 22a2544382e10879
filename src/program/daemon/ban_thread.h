// The thread that counts strikes and keeps bans, and the shards' way to it.
//
// Input   Strikes from the shards; commands from the management thread.
// Output  Verdicts, posted back to the shard that asked; sessions to cut, through the daemon.
// Owner   The daemon; started before the shards, ended after them.
// Fails   strike() beyond strikes_waiting_max is not counted and answered as not banned.
// Bounds  strikes_waiting_max.

#pragma once

#include "ebbgate/base/result.h"

#include "relay/guard.h"
#include "service/bans/ban_keeper.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ebbgate::program {

class ban_thread final : public relay::guard {
public:
    static constexpr std::size_t strikes_waiting_max = 100'000;

    struct options {
        std::string store_path;
        bans::ban_keeper::write_lines log;
        bans::ban_keeper::write_lines log_restored;
        bans::ban_keeper::cut_sessions cut; // On the ban thread.
        std::function<void(const std::string&)> note;
    };

    explicit ban_thread(options options);
    ~ban_thread();
    ban_thread(const ban_thread&) = delete;
    ban_thread& operator=(const ban_thread&) = delete;

    // Stored bans are in force when it returns.
    [[nodiscard]] result<void> start(bans::settings settings);
    // Strikes that wait are dropped; what is known is made durable.
    void stop();

    // Runs `work` on the ban thread, and waits for it.
    template <typename work>
    auto ask(work&& question) {
        using answer = std::invoke_result_t<work, bans::ban_keeper&, std::int64_t>;
        std::promise<answer> promise;
        std::future<answer> waiting = promise.get_future();
        push([&](bans::ban_keeper& keeper, std::int64_t now_us) {
            if constexpr (std::is_void_v<answer>) {
                question(keeper, now_us);
                promise.set_value();
            } else {
                promise.set_value(question(keeper, now_us));
            }
        });
        return waiting.get();
    }

    // relay::guard
    void strike(const std::string& address,
                relay::offence cause,
                task::reactor& home,
                std::function<void(bool banned)> done) override;
    [[nodiscard]] bool is_banned(const config::ip_address& client) const override;
    void protect(int listening_fd) override;

private:
    using job = std::function<void(bans::ban_keeper&, std::int64_t now_us)>;

    struct settled {
        task::reactor* home = nullptr;
        std::function<void(bool banned)> done;
        bool is_banned = false;
        bool is_new = false;
    };

    void push(job work);
    void tell_settled();
    void run();
    [[nodiscard]] std::int64_t now_us() const;

    options options_;
    std::unique_ptr<bans::ban_keeper> keeper_;
    // The wall clock at the start and what has passed since: it is not set back.
    std::int64_t started_unix_us_;
    std::chrono::steady_clock::time_point started_;
    mutable std::mutex lock_;
    std::condition_variable more_;
    std::deque<job> jobs_;
    std::size_t strikes_waiting_ = 0;
    std::vector<settled> settled_; // Of the jobs under way; told when what they banned is durable.
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace ebbgate::program
