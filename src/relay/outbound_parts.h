// What outbound keeps of a connection, and of what ends.
//
// Owner   Outbound of one shard.

#pragma once

#include "ebbgate/smtp/reply.h"
#include "ebbgate/spool/reader.h"

#include "relay/destinations.h"
#include "relay/queued_message.h"
#include "relay/site_limits.h"
#include "relay/tls_policies.h"
#include "stage/deliver/client.h"
#include "stage/outcome/event.h"
#include "stage/schedule/item.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ebbgate::relay {

class outbound;

// Whether a route that holds is taken or passed by.
enum class held_routes : std::uint8_t { hold, pass };

struct outbound_wake_timer : task::timer {
    outbound* owner = nullptr;
};

struct outbound_connection {
    outbound* owner = nullptr;
    deliver::client* client = nullptr; // Null while nothing is open yet.
    destination* to = nullptr;
    schedule::connection_permit permit;
    deliver::client_settings settings;
    site_limits::site_pointer site; // Entered,
    std::uint32_t entered_as = 0;   // and how many connections that made.
    delivery_source source;
    std::vector<delivery_target> targets; // In the order to try them.
    std::size_t next_target = 0;
    tls_facts_pointer tls; // Of a route by MX whose level is not `off`.
    schedule::delivery_item item;
    queued_message* message = nullptr; // In work, kept.
    std::unique_ptr<spool::message_reader> reader;
    std::int64_t job_began_us = 0;
    std::int64_t ready_ms = 0;         // Since when it works.
    std::uint64_t idle_number = 0;     // See idle_connections.
    bool works = false;                // Through its greeting: counted so at its site.
    bool has_failed_otherwise = false; // Than by a host that is full.
    bool is_counted = false;           // Among those of this shard at its site.
    bool makes_room = false;           // It was told to go, for other shards.
    bool has_item = false;             // Taken, and not yet settled.
    bool has_envelope = false;         // The reader has read it for this item.
    bool reading = false;              // Its reader is at the disk.
    bool is_awaited = false;           // Something under way comes back to it: it stays until then.
    bool damaged = false;              // The stored body is: the attempt's failure is for good.
    bool block_due = false;            // The event that it waits for brings a block.
    bool has_other_hosts = false;      // Among `targets` before they were cut.
    bool misses_hosts = false;         // There are more, of which DNS says nothing for now.
};

// Connections of this shard at each site, without those that were told to go.
class site_counts {
public:
    void add(outbound_connection& one) {
        one.is_counted = true;
        ++counts_[one.site.get()];
    }

    void remove(outbound_connection& one) {
        if (!std::exchange(one.is_counted, false)) {
            return;
        }
        if (const auto at = counts_.find(one.site.get()); --at->second == 0) {
            counts_.erase(at);
        }
    }

    [[nodiscard]] std::uint64_t at(const site_limit& site) const {
        const auto found = counts_.find(&site);
        return found == counts_.end() ? 0 : found->second;
    }

private:
    std::unordered_map<const site_limit*, std::uint32_t> counts_;
};

[[nodiscard]] inline smtp::reply damaged_reply() {
    return {554, {5, 3, 0}, "The stored message is damaged"};
}

[[nodiscard]] inline smtp::reply expired_reply() {
    return {550, {4, 4, 7}, "Delivery time expired"};
}

[[nodiscard]] inline smtp::reply lacking_reply() {
    return {554, {5, 3, 3}, "No mail host of the domain offers what the message needs"};
}

// How a recipient ends.
struct recipient_end {
    std::uint32_t index = 0;
    outcome::event_type type = outcome::event_type::bounce;
    const smtp::reply* reply = nullptr;
    std::string_view command;
    std::uint32_t attempts = 0;
    bool dsn_passed_on = false;
    bool is_quiet = false; // Its sender is not told.
    bool is_said = false;  // The reply came from the peer; else the words are ours.
};

// A message that ends when it has been read.
struct ending {
    schedule::delivery_item item; // In hand.
    outcome::event_type type = outcome::event_type::expiration;
    smtp::reply reply;
    std::string site;
    bool is_quiet = false;
};

} // namespace ebbgate::relay
