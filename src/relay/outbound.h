// From the durable message to its outcome: routes, lanes, connections, retries.
//
// Input   Messages from inbound and recovery, grants of the scheduler, outcomes of connections.
// Output  Journal records, state and done records of the spool.
// Owner   The shard; on_turn() once a loop turn.
// Fails   Never: what cannot be delivered now waits, what cannot be delivered ever is recorded.
// Bounds  The policy's connections per destination; one message in work a connection.

#pragma once

#include "ebbgate/spool/reader.h"
#include "ebbgate/spool/recovery.h"

#include "relay/context.h"
#include "relay/queued_message.h"
#include "runtime/task/flow.h"
#include "runtime/task/scope.h"
#include "stage/deliver/client.h"
#include "stage/schedule/scheduler.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace ebbgate::relay {

// How a recipient of a queued message stands, for `why`.
struct recipient_standing {
    std::uint32_t recipient = 0; // In the envelope.
    // That reached its destination. Nothing: they are not known, nor is next_unix_ms.
    std::optional<std::uint32_t> attempts;
    std::int64_t next_unix_ms = 0; // 0: it is held, or tried now.
    std::string last_reply;        // Since the start of the process; empty: none.
    std::string destination_fault; // No connection works; empty: none was refused.
    bool is_held = false;
    bool is_tried_now = false;
};

class outbound final : public task::turn_hook, public deliver::client_owner {
public:
    explicit outbound(relay::context& context);
    ~outbound();
    outbound(const outbound&) = delete;
    outbound& operator=(const outbound&) = delete;

    void add(std::unique_ptr<queued_message> message);
    // After a restart.
    void add_recovered(const spool::recovered_message& recovered);
    // Its envelope is there, its body is not: its recipients bounce.
    void bounce_damaged(const spool::recovered_message& recovered);
    void policy_changed();

    // Held messages, one or all, go by the first route that matches and does not hold; what has
    // none stays. Returns how many left.
    std::size_t release(std::optional<std::uint64_t> message_id);
    // Deferred messages are tried now.
    std::size_t flush();

    // Ends connections after their running message.
    void shut_down();
    // Those that still run: their messages stay, with the doubt on record where there is one.
    void cut();

    // Null: it has ended.
    [[nodiscard]] queued_message* find(std::uint64_t message_id) noexcept;

    // The first of those that are outstanding.
    [[nodiscard]] std::vector<recipient_standing> standing_of(const queued_message& message,
                                                              std::size_t recipients_max) const;

    [[nodiscard]] std::size_t connection_count() const noexcept { return connections_.size(); }

    [[nodiscard]] std::size_t message_count() const noexcept { return messages_.size(); }

    [[nodiscard]] const schedule::scheduler& queue() const noexcept { return scheduler_; }

    [[nodiscard]] std::int64_t clock_ms() const noexcept;

    bool on_turn() noexcept override;

    // deliver::client_owner
    void on_ready(deliver::client& client) override;
    bool next_job(deliver::client& client, deliver::job& next) override;
    void send_body(deliver::client& client) override;
    void on_room(deliver::client& client) override;
    void on_outcome(deliver::client& client,
                    std::vector<deliver::recipient_outcome> outcomes) override;
    void on_closed(deliver::client& client, bool before_ready, const std::string& why) override;

private:
    struct connection {
        outbound* owner = nullptr;
        deliver::client* client = nullptr; // Null while the name is looked up.
        schedule::connection_permit permit;
        schedule::delivery_item item;
        queued_message* message = nullptr; // In work.
        std::unique_ptr<spool::message_reader> reader;
        std::int64_t job_began_us = 0;
        bool reading = false;   // Waits for the disk.
        bool damaged = false;   // The stored body is: the attempt's failure is for good.
        bool block_due = false; // The event that it waits for brings a block.
    };

    struct destination_entry {
        policy::route route;
        std::vector<std::string> addresses; // Of the host, in the resolver's order.
        std::size_t next_address = 0;       // The one that was not refused.
        std::int64_t addresses_until_ms = 0;
        std::string fault;                // Why the latest connection never worked; empty: it did.
        std::vector<connection*> waiting; // For the look-up under way.
    };

    enum class held_routes : std::uint8_t { hold, pass };

    // Where the routes send recipients.
    struct placement {
        std::vector<std::pair<const policy::route*, schedule::recipient_set>> out;
        schedule::recipient_set kept; // Held: by a route, or for want of one.
        schedule::recipient_set discarded;
        bool is_unrouted = false;
    };

    struct wake_timer : task::timer {
        outbound* owner = nullptr;
    };

    // Among messages_, with the state it had; null: its envelope cannot be read.
    queued_message* restore(const spool::recovered_message& recovered, delivery_state& state);
    void enqueue(queued_message& message, std::uint32_t attempts, std::int64_t not_before_unix_ms);
    // Gives the recipients to lanes, to the hold, or ends them, as the routes say. True: some of
    // them left for a lane.
    bool place(queued_message& message,
               const schedule::recipient_set& recipients,
               std::uint32_t attempts,
               std::int64_t not_before_unix_ms,
               held_routes held);
    [[nodiscard]] placement sort(const queued_message& message,
                                 const schedule::recipient_set& recipients,
                                 held_routes held) const;
    [[nodiscard]] schedule::delivery_item blank_item(const queued_message& message,
                                                     std::uint32_t attempts,
                                                     std::int64_t not_before_unix_ms) const;
    bool place_again(const schedule::delivery_item& item, held_routes held);
    [[nodiscard]] const policy::route* route_of(std::string_view address, held_routes held) const;
    void finish_recipient(queued_message& message,
                          std::uint32_t index,
                          outcome::event_type type,
                          const smtp::reply& reply,
                          std::string_view command,
                          const attempt_place& place,
                          std::uint32_t attempts);
    // outbound_standing.cc
    void note_attempt(queued_message& message,
                      const deliver::recipient_outcome& outcome,
                      std::uint32_t attempts,
                      std::int64_t due_ms);
    void add_destination(std::string_view address, recipient_standing& standing) const;

    [[nodiscard]] bool is_flushed_since(std::int64_t time_ms) const noexcept {
        return flushed_ms_ > time_ms;
    }

    void
    split_item(schedule::delivery_item& item, queued_message& message, std::size_t recipients_max);
    void expire(const schedule::delivery_item& item);
    // After a change of `outstanding` or of an item: done, or the state to remember.
    void settle(queued_message& message, std::uint32_t attempts, std::int64_t next_unix_ms);
    void open(schedule::lane_id lane);
    task::flow<> look_up(std::string key);
    void connect(connection& connection, const destination_entry& entry);
    void wake(schedule::lane_id lane);
    void drop(connection& connection);
    void pump_body(connection& connection);
    void start_reader(connection& connection);
    void set_wake_timer();
    [[nodiscard]] std::vector<deliver::client*> open_clients() const;
    [[nodiscard]] attempt_place place_of(const connection& connection) const;
    [[nodiscard]] std::int64_t unix_ms_at(std::int64_t clock_ms) const;

    relay::context& context_;
    schedule::scheduler scheduler_;
    task::scope look_ups_; // One may hang as long as the resolver likes: nothing waits for it.
    deliver::client_settings client_settings_;
    std::unordered_map<std::uint64_t, std::unique_ptr<queued_message>> messages_;
    std::unordered_map<std::string, destination_entry> destinations_;
    std::unordered_map<connection*, std::unique_ptr<connection>> connections_;
    std::unordered_map<schedule::lane_id, std::vector<connection*>> parked_;
    std::unordered_set<std::uint64_t> unrouted_; // Held because no route matched.
    wake_timer wake_timer_;
    std::int64_t wake_at_ms_ = -1;
    std::int64_t flushed_ms_ = 0; // What was deferred before it is due. 0: never.
    bool stopping_ = false;
};

} // namespace ebbgate::relay
