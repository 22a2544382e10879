// From the durable message to its outcome: routes, lanes, connections, retries.
//
// Input   Messages from inbound and recovery, grants of the scheduler, outcomes of connections.
// Output  Journal records, state and done records of the spool.
// Owner   The shard; on_turn() once a loop turn.
// Fails   Never: what cannot be delivered now waits, what cannot be delivered ever is recorded.
// Bounds  The policy's connections per destination and in all; one message in work a connection;
//         what waits is a slot and a cold record.

#pragma once

#include "ebbgate/spool/reader.h"
#include "ebbgate/spool/recovery.h"

#include "relay/context.h"
#include "relay/destinations.h"
#include "relay/idle_connections.h"
#include "relay/live_messages.h"
#include "relay/outbound_parts.h"
#include "relay/queue_view.h"
#include "relay/recent_attempts.h"
#include "relay/reporter.h"
#include "relay/tls_policies.h"
#include "relay/waiting_lanes.h"
#include "runtime/resolve/mail_hosts.h"
#include "stage/deliver/client.h"
#include "stage/schedule/scheduler.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace ebbgate::relay {

class outbound final : public task::turn_hook, public deliver::client_owner {
public:
    explicit outbound(relay::context& context);
    ~outbound();
    outbound(const outbound&) = delete;
    outbound& operator=(const outbound&) = delete;

    void add(std::unique_ptr<queued_message> message);
    // After a restart.
    void add_recovered(const spool::recovered_message& recovered, byte_view meta);
    // Its envelope is there, its body is not: its recipients bounce.
    void bounce_damaged(const spool::recovered_message& recovered, byte_view meta);
    void policy_changed();

    // Held messages, one or all, go by the first route that matches and does not hold; what has
    // none stays. `then` is told how many left.
    void release(std::optional<std::uint64_t> message_id, std::function<void(std::size_t)> then);
    // What is deferred is tried now, and where it goes too if it was left alone for a while. Never
    // what an operator suspended. `then` is told how many items it was.
    void flush(const queue_filter& asked, std::function<void(std::size_t)> then);
    // What waits and came before now ends with this reason. `then` is told when all has; `so_far`
    // counts meanwhile.
    void bounce(const queue_filter& asked,
                const std::string& reason,
                bool is_quiet,
                std::function<void(const bounce_count&)> so_far,
                std::function<void()> then);
    // In the place of those before. Those that have ended need not be taken out.
    void set_suspensions(std::shared_ptr<const suspensions> suspended);

    // By lanes; with a tenant or `by_age` from each item. In steps, as what follows.
    void overview(const queue_filter& asked, bool by_age, std::function<void(queue_overview)> then);
    // Items in no order, from `after` on.
    void list(const queue_filter& asked,
              bool held_only,
              std::uint32_t after,
              std::size_t rows_max,
              std::function<void(queue_page)> then);
    // The header of a message, at most bytes_max of it. Nothing: it cannot be read, or is gone.
    void read_header(std::uint64_t message_id,
                     std::size_t bytes_max,
                     std::function<void(std::optional<std::string>)> then);

    // Ends connections after their running message.
    void shut_down();
    // Those that still run: their messages stay, with the doubt on record where there is one.
    void cut();

    [[nodiscard]] live_messages& messages() noexcept { return messages_; }

    // What the spool remembers of a message besides its envelope; empty: nothing yet.
    [[nodiscard]] std::string state_of(std::uint64_t message_id) const;

    // The first of those that are outstanding.
    [[nodiscard]] std::vector<recipient_standing> standing_of(const queued_message& message,
                                                              std::size_t recipients_max) const;

    [[nodiscard]] std::size_t connection_count() const noexcept { return connections_.size(); }

    [[nodiscard]] const schedule::scheduler& queue() const noexcept { return scheduler_; }

    [[nodiscard]] std::int64_t clock_ms() const noexcept;

    // There may be room for a connection at a site; or another shard waits for some.
    void room_at(const std::string& site);
    void wanted_at(const std::string& site);

    bool on_turn() noexcept override;

    // deliver::client_owner
    void on_ready(deliver::client& client) override;
    deliver::next_job_result next_job(deliver::client& client, deliver::job& next) override;
    void send_body(deliver::client& client) override;
    void on_room(deliver::client& client) override;
    void on_outcome(deliver::client& client,
                    std::vector<deliver::recipient_outcome> outcomes) override;
    void on_closed(deliver::client& client, bool before_ready, const std::string& why) override;

private:
    static constexpr std::size_t endings_waiting_max = 1000;
    using connection = outbound_connection;
    struct placement; // Where the routes send recipients.
    // With the state it had; null: its envelope cannot be read.
    queued_message*
    restore(const spool::recovered_message& recovered, byte_view meta, delivery_state& state);
    void enqueue(queued_message& message, const delivery_state& state);
    // Gives the recipients to lanes, to the hold, or ends them, as the routes say. True: some of
    // them left for a lane.
    bool place(queued_message& message,
               const schedule::recipient_set& recipients,
               const delivery_state& state,
               held_routes held);
    [[nodiscard]] placement sort(const queued_message& message,
                                 const schedule::recipient_set& recipients,
                                 held_routes held) const;
    [[nodiscard]] schedule::delivery_item blank_item(const queued_message& message,
                                                     const delivery_state& state);
    void place_again(std::uint64_t message_id, held_routes held, std::function<void(bool)> then);
    [[nodiscard]] const policy::route* route_of(std::string_view address, held_routes held) const;
    [[nodiscard]] bool is_left(destination& to) const; // No route leads there any more.
    [[nodiscard]] bool is_on_the_way(std::string_view address, const destination& to) const;
    void leave(connection& opened);
    void move(queued_message& message, schedule::delivery_item item, schedule::recipient_set moved);
    bool move_some(connection& asking); // True: all that it has, and it asks again.
    [[nodiscard]] std::uint32_t tenant_number(const std::string& name);

    // reporter_.send() follows when all of an attempt have ended.
    void
    finish_recipient(queued_message& message, const recipient_end& end, const attempt_place& place);
    [[nodiscard]] std::string_view class_of(const smtp::reply& reply) const;
    void note_late(const schedule::delivery_item& item);
    // After a change of `outstanding` or of an item: the spool is told.
    void settle(queued_message& message);
    void unused(queued_message& message); // Nobody works on it: it ends, or goes cold.
    void item_done(queued_message& message, const schedule::delivery_item& item);
    // The item's recipients get this outcome once the message has been read.
    void end(const schedule::delivery_item& item,
             outcome::event_type type,
             const smtp::reply& reply,
             bool is_quiet = false);
    void end_next();

    // outbound_standing.cc
    void add_destination(const queued_message& message,
                         schedule::lane_id lane,
                         recipient_standing& standing) const;

    // outbound_sweep.cc
    struct sweep;
    class lane_filter;
    void start_sweep(std::shared_ptr<sweep> made);
    void go_on(const std::shared_ptr<sweep>& under_way);
    void post_sweep(const std::shared_ptr<sweep>& under_way);
    void sweep_lanes(std::function<void(const schedule::lane_view&)> visit,
                     std::function<void()> then,
                     schedule::lane_id from = 0);
    [[nodiscard]] std::vector<std::uint32_t> slots_of(std::uint64_t message_id) const;
    [[nodiscard]] const destination* destination_of(schedule::lane_id lane) const;
    [[nodiscard]] std::string key_of(schedule::lane_id lane) const;  // Its destination's.
    [[nodiscard]] static std::string name_of(const destination& to); // What operators call it.

    // outbound_commands.cc
    struct bouncing;
    void bounce_items(bouncing& how, queued_message& message, lane_filter& filter);

    // outbound_suspend.cc
    bool keep_back(schedule::lane_id lane, const destination& to); // For suspensions.
    bool keep_back(connection& asking); // Its item is not to be tried now: it waits.
    const suspension* suspension_of(const std::string& tenant, std::string_view domain) const;
    [[nodiscard]] std::int64_t clock_at(std::int64_t unix_s) const;

    void split_item(schedule::delivery_item& item, queued_message& message, std::size_t most);
    void note_chunks(connection& used);
    [[nodiscard]] bool must_wait_for_reports() const;
    bool take_item(connection& asking);
    void load_item(connection& asking);
    void ask_again(connection& asking);
    void let_go(connection& used);
    void note_push(connection& used, const std::vector<deliver::recipient_outcome>& outcomes);

    // outbound_failures.cc
    void try_other_hosts(connection& used, const smtp::reply& why);
    bool back_off(const connection& failed, const smtp::reply& why, bool others_work = false);
    void wait_for_room(connection& ended);
    void tell_not_reached(schedule::lane_id lane, const smtp::reply& why);
    void expire_unrouted(std::uint64_t message_id);

    // outbound_connect.cc
    void open(schedule::lane_id lane);
    void ask_dns(connection& opened);
    void end_asking(connection& opened);
    [[nodiscard]] std::size_t open_count() const noexcept;
    void resolved(connection& opened);
    void answer_all(connection& opened, const smtp::reply& reply);
    void set_limits(destination& to, schedule::lane_id lane); // Again when policy or hosts change.
    [[nodiscard]] target_list targets_of(const connection& opened);
    void set_out(connection& opened);
    // False: it has no room, the lane stands in line.
    bool enter_site(connection& opened, const source_list& sources, const target_list& targets);
    deliver::client_settings settings_for(const destination& to, const std::string& ehlo) const;
    void connect(connection& opened);
    void fail_to_open(connection& opened,
                      const std::string& why,
                      smtp::enhanced_status status = {4, 4, 1});
    void give_back(connection& opened); // Its permit, before anything was open.
    void tell_line(const std::string& site, std::size_t most);
    void block_until(schedule::lane_id lane, std::int64_t until_ms);
    void unblock_due(std::int64_t now_ms);
    void cool_lane(schedule::lane_id lane);
    [[nodiscard]] bool waits_long(const queued_message& message) const;
    void cool(queued_message& message); // It may be gone from the memory after.
    void forget_destinations();

    // outbound_share.cc
    [[nodiscard]] bool has_more_than_its_share(const site_limit& site, std::uint64_t limit) const;
    [[nodiscard]] bool owes_its_place(const connection& used) const; // To others that wait for it.
    void leave_site(connection& used);
    void stand_back(connection& asking);
    void send_away(connection* one, bool makes_room = false); // Null: there is none.
    bool take_over(connection& opened, const source_list& sources, const target_list& targets);
    void keep_site(const connection& used);
    void leave_lane(connection& idle);
    void offer(connection& idle);
    void give_way(const site_limit& site);
    void close_spare(const std::string& site);

    // outbound_tls.cc
    void ask_tls(connection& opened);
    [[nodiscard]] target_list permitted(connection& opened, target_list all, std::string& why_not);
    void count_session(const connection& used);
    void count_tls(const connection& used,
                   const std::string& host,
                   const deliver::tls_decision& decision,
                   tls_report::result_type result);

    [[nodiscard]] bool grant_some(std::int64_t now_ms);
    void wake(schedule::lane_id lane);
    void drop(connection& connection);
    void pump_body(connection& connection);
    void start_reader(connection& connection);
    void free_reader(connection& connection);
    static void on_read(spool::message_reader&, spool::read_status status, void* who) noexcept;
    void set_wake_timer();
    [[nodiscard]] std::vector<deliver::client*> open_clients() const;
    [[nodiscard]] attempt_place place_of(const connection& connection) const;
    [[nodiscard]] std::int64_t unix_ms_at(std::int64_t clock_ms) const;

    relay::context& context_;
    schedule::scheduler scheduler_;
    live_messages messages_;
    recent_attempts attempts_;
    reporter reporter_;
    dns::mail_hosts dns_;
    tls_policies tls_policies_;
    deliver::client_settings client_settings_;
    std::unordered_map<std::string, destination> destinations_; // By key, as lanes.
    bad_addresses bad_addresses_;
    choices draw_;
    std::unordered_map<connection*, std::unique_ptr<connection>> connections_;
    std::unordered_map<schedule::lane_id, std::vector<connection*>> parked_;
    idle_connections idle_;
    site_counts entered_;
    site_lines lines_; // Lanes that are blocked,
    timed<schedule::lane_id> blocked_until_;
    lane_line capped_;       // For there are connections_max_,
    lane_line unasked_;      // Or asking_max.
    std::size_t asking_ = 0; // Connections that wait for names, not for a peer.
    std::unordered_map<std::string, std::uint32_t> tenants_;
    std::vector<const std::string*> tenant_names_; // By number.
    timed_messages unrouted_; // Held because no route matched, to the end of their max_age.
    std::deque<ending> endings_;
    std::size_t ending_count_ = 0; // Under way.
    outbound_wake_timer wake_timer_;
    std::size_t connections_max_ = 1000;
    std::uint64_t policy_number_ = 0; // Counts those that were in force.
    std::size_t destinations_sweep_ = 2048;
    std::int64_t wake_at_ms_ = -1;
    bool stopping_ = false;
};

} // namespace ebbgate::relay
