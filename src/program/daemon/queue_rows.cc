#include "program/daemon/queue_rows.h"

#include "ebbgate/message/message_id.h"

#include <string>

namespace ebbgate::program {

void write_ages(json::writer& out, const relay::lane_standing& lane, std::string_view name) {
    out.key(name).begin_array();
    for (const std::uint64_t count : lane.ages) {
        out.number(count);
    }
    out.end_array();
}

void write_lane(json::writer& out, const relay::lane_standing& lane, bool by_age) {
    out.begin_object().member("lane", lane.lane).member("destination", lane.destination);
    out.member("ready", lane.counters.ready).member("deferred", lane.counters.deferred);
    out.member("in_flight", lane.counters.in_flight);
    out.member("connections", lane.counters.connections);
    out.member("connections_idle", lane.counters.connections_idle);
    out.member("oldest_seconds", lane.oldest_age_ms / 1000);
    std::string state;
    const auto say = [&](bool is_so, const char* word) {
        if (is_so) {
            state += (state.empty() ? "" : ", ") + std::string(word);
        }
    };
    say(lane.suspended_until_unix_s != 0, "suspended");
    say(lane.backed_off_until_unix_s != 0, "backed off");
    say(lane.paused_until_unix_s != 0, "rate");
    say(lane.is_blocked, "connection limit");
    out.member("state", state.empty() ? "open" : state);
    const auto until = [&](std::string_view name, std::int64_t at) {
        if (at != 0) {
            out.member(name, at);
        }
    };
    until("suspended_until", lane.suspended_until_unix_s);
    until("backed_off_until", lane.backed_off_until_unix_s);
    until("paused_until", lane.paused_until_unix_s);
    if (!lane.fault.empty()) {
        out.member("fault", lane.fault);
    }
    if (by_age) {
        write_ages(out, lane, "ages");
    }
    out.end_object();
}

void write_item(json::writer& out, const relay::listed_item& item) {
    out.begin_object().member("id", message::to_text(item.message_id));
    out.member("lane", item.lane).member("tenant", item.tenant);
    out.member("class", item.is_urgent ? "transactional" : "bulk");
    out.member("state",
               item.is_held        ? "held"
               : item.is_in_flight ? "in flight"
               : item.is_deferred  ? "deferred"
                                   : "ready");
    out.member("age_seconds", item.age_ms / 1000).member("recipients", item.recipients);
    out.member("attempts", item.attempts);
    if (item.next_unix_s != 0) {
        out.member("next_try", item.next_unix_s);
    }
    if (!item.last_reply.empty()) {
        out.member("last_reply", item.last_reply);
    }
    out.end_object();
}

} // namespace ebbgate::program
