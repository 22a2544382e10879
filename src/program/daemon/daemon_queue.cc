// queue, message, flush, bounce, suspend, resume: what operators ask of the queue of all shards.
//
// Bounds  A shard works on each in steps; this thread waits for the answer for a bounded time, and
//         what is not through by then goes on.

#include "codec/json/writer.h"
#include "config/units.h"
#include "program/daemon/daemon.h"
#include "relay/suspensions.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace ebbgate::program {

namespace {

using admin::argument_kind;
using admin::refusal_reason;
using admin::request;

constexpr std::size_t name_bytes_max = 255;
constexpr std::size_t reason_bytes_max = 400;
constexpr std::size_t rows_max = 1000;
constexpr std::size_t lanes_shown = 20;
constexpr std::size_t header_bytes_max = 64 * kib;
constexpr std::size_t recipients_max = 1000;
constexpr std::chrono::seconds suspension_time{300};
constexpr std::chrono::seconds suspension_time_max{365LL * 24 * 3600};

std::int64_t unix_s() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// Empty: it is not one that can be asked for.
std::optional<relay::queue_filter> filter_of(const request& asked) {
    relay::queue_filter filter;
    filter.domain = config::lower_ascii(asked.text("domain"));
    filter.tenant = asked.text("tenant");
    if (const std::string_view id = asked.text("id"); !id.empty()) {
        filter.message_id = message::from_text(id);
        if (!filter.message_id) {
            return std::nullopt;
        }
    }
    return filter;
}

std::string not_an_id() {
    return admin::refusal(refusal_reason::usage, "expected a message's id");
}

std::string too_late() {
    return admin::refusal(refusal_reason::failed, "the queue does not answer in time");
}

// What it is about, for the audit.
std::string subject_of(const request& asked) {
    const std::string_view id = asked.text("id");
    const std::string_view domain = asked.text("domain");
    return std::string(!id.empty() ? id : domain.empty() ? std::string_view("*") : domain);
}

// Replies and reasons are one line of ASCII: they are said to other servers.
bool is_reason(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
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
        out.key("ages").begin_array();
        for (const std::uint64_t count : lane.ages) {
            out.number(count);
        }
        out.end_array();
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

} // namespace

void daemon::add_queue_commands() {
    const auto operators = admin::permission::operators;
    const admin::argument id{"id", argument_kind::text, false, 64};
    const admin::argument domain{"domain", argument_kind::text, false, name_bytes_max};
    const admin::argument tenant{"tenant", argument_kind::text, false, name_bytes_max};
    const admin::argument rows{"rows", argument_kind::number, false};
    const admin::argument after{"after", argument_kind::number, false};
    const admin::argument held{"held", argument_kind::flag, false};
    commands_->add({"queue",
                    {domain, tenant, rows, {"ages", argument_kind::flag, false}},
                    operators,
                    [this](const request& asked) { return queue(asked); }});
    commands_->add({"queue list",
                    {domain, tenant, rows, after, held},
                    operators,
                    [this](const request& asked) { return queue_list(asked); }});
    commands_->add(
        {"message",
         {{"id", argument_kind::text, true, 64}, {"headers", argument_kind::flag, false}},
         operators,
         [this](const request& asked) { return show_message(asked); }});
    commands_->add({"flush",
                    {id, domain, tenant},
                    operators,
                    [this](const request& asked) { return flush(asked); },
                    true});
    commands_->add({"bounce",
                    {id,
                     domain,
                     tenant,
                     {"all", argument_kind::flag, false},
                     {"reason", argument_kind::text, true, reason_bytes_max},
                     {"quiet", argument_kind::flag, false}},
                    operators,
                    [this](const request& asked) { return bounce(asked); }});
    commands_->add({"suspend",
                    {domain,
                     tenant,
                     {"reason", argument_kind::text, true, reason_bytes_max},
                     {"duration", argument_kind::text, false, 64}},
                    operators,
                    [this](const request& asked) { return suspend(asked); }});
    commands_->add({"resume",
                    {domain, tenant, {"all", argument_kind::flag, false}},
                    operators,
                    [this](const request& asked) { return resume(asked); }});
    commands_->add({"suspend list", {after, rows}, operators, [this](const request&) {
                        return suspend_list();
                    }});
}

std::string daemon::queue(const admin::request& asked) {
    struct gathering {
        std::mutex lock;
        std::map<std::string, relay::lane_standing> lanes;
        relay::lane_standing held;
    };

    const auto filter = filter_of(asked);
    const bool by_age = asked.flag("ages");
    const auto all = std::make_shared<gathering>();
    if (!ask_each_shard([&](relay::shard& shard, std::function<void()> done) {
            shard.queue().overview(
                *filter, by_age, [all, done = std::move(done)](relay::queue_overview seen) {
                    {
                        const std::lock_guard hold(all->lock);
                        for (relay::lane_standing& lane : seen.lanes) {
                            const auto [at, fresh] = all->lanes.try_emplace(lane.lane, lane);
                            if (!fresh) {
                                at->second.add(lane);
                            }
                        }
                        all->held.add(seen.held);
                    }
                    done();
                });
        })) {
        return too_late();
    }
    const std::lock_guard hold(all->lock);
    relay::lane_standing total;
    std::vector<const relay::lane_standing*> sorted;
    for (const auto& [key, lane] : all->lanes) {
        total.add(lane);
        sorted.push_back(&lane);
    }
    const auto wanted = static_cast<std::size_t>(
        asked.has("rows") ? std::clamp<std::int64_t>(asked.number("rows"), 0, rows_max)
                          : std::int64_t{lanes_shown});
    const std::size_t shown = std::min(wanted, sorted.size());
    std::partial_sort(sorted.begin(),
                      sorted.begin() + static_cast<std::ptrdiff_t>(shown),
                      sorted.end(),
                      [](const auto* left, const auto* right) {
                          const auto size = left->counters.waiting();
                          const auto other = right->counters.waiting();
                          return size != other ? size > other : left->lane < right->lane;
                      });
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("lanes").begin_array();
    for (std::size_t at = 0; at < shown; ++at) {
        write_lane(out, *sorted[at], by_age);
    }
    out.end_array().member("more_lanes", sorted.size() - shown);
    total.lane = "total";
    total.fault.clear();
    out.key("total");
    write_lane(out, total, by_age);
    out.member("held", all->held.counters.held);
    if (by_age) {
        out.key("held_ages").begin_array();
        for (const std::uint64_t count : all->held.ages) {
            out.number(count);
        }
        out.end_array();
    }
    out.end_object();
    return text;
}

// The shards one after another: `after` is the shard and the place in it.
std::string daemon::queue_list(const admin::request& asked) {
    struct gathering {
        std::mutex lock;
        relay::queue_page page;
    };

    const auto filter = filter_of(asked);
    const bool held = asked.flag("held");
    const auto wanted = static_cast<std::size_t>(
        asked.has("rows") ? std::clamp<std::int64_t>(asked.number("rows"), 1, rows_max) : 100);
    const std::int64_t after = std::max<std::int64_t>(0, asked.number("after"));
    std::int64_t shard_index = after >> 32;
    auto slot = static_cast<std::uint32_t>(after & 0xffff'ffff);
    std::vector<relay::listed_item> items;
    while (items.size() < wanted && shard_index < static_cast<std::int64_t>(shards_.size())) {
        const auto all = std::make_shared<gathering>();
        const std::size_t left = wanted - items.size();
        if (!ask_each_shard([&](relay::shard& shard, std::function<void()> done) {
                if (shard.index() != shard_index) {
                    done();
                    return;
                }
                shard.queue().list(*filter,
                                   held,
                                   slot,
                                   left,
                                   [all, done = std::move(done)](relay::queue_page page) {
                                       {
                                           const std::lock_guard hold(all->lock);
                                           all->page = std::move(page);
                                       }
                                       done();
                                   });
            })) {
            return too_late();
        }
        const std::lock_guard hold(all->lock);
        items.insert(items.end(), all->page.items.begin(), all->page.items.end());
        slot = all->page.next;
        if (slot != 0) {
            break;
        }
        ++shard_index;
    }
    const bool is_last = shard_index >= static_cast<std::int64_t>(shards_.size());
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("messages").begin_array();
    for (const relay::listed_item& item : items) {
        write_item(out, item);
    }
    out.end_array().member("next", is_last ? 0 : (shard_index << 32) + slot).end_object();
    return text;
}

std::string daemon::show_message(const admin::request& asked) {
    const auto id = message::from_text(asked.text("id"));
    if (!id) {
        return not_an_id();
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true);
    const std::string fault = write_message(out, *id, recipients_max, true);
    if (!fault.empty()) {
        return fault;
    }
    if (asked.flag("headers")) {
        struct gathering {
            std::mutex lock;
            std::optional<std::string> header;
        };

        const auto read = std::make_shared<gathering>();
        (void)ask_each_shard([&](relay::shard& shard, std::function<void()> done) {
            shard.queue().read_header(
                *id,
                header_bytes_max,
                [read, done = std::move(done)](std::optional<std::string> header) {
                    {
                        const std::lock_guard hold(read->lock);
                        if (header) {
                            read->header = std::move(header);
                        }
                    }
                    done();
                });
        });
        const std::lock_guard hold(read->lock);
        if (!read->header) {
            return admin::refusal(refusal_reason::failed, "its header cannot be read now");
        }
        out.member("header", *read->header);
    }
    out.end_object();
    return text;
}

std::string daemon::flush(const admin::request& asked) {
    const auto filter = filter_of(asked);
    if (!filter) {
        return not_an_id();
    }
    const auto count = std::make_shared<std::atomic<std::uint64_t>>(0);
    const bool is_through = ask_each_shard([&](relay::shard& shard, std::function<void()> done) {
        shard.queue().flush(*filter, [count, done = std::move(done)](std::size_t flushed) {
            *count += flushed;
            done();
        });
    });
    note_change(asked, fmt::format("{} items", count->load()));
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).member("flushed", count->load());
    out.member("through", is_through).end_object();
    return text;
}

std::string daemon::bounce(const admin::request& asked) {
    const auto filter = filter_of(asked);
    if (!filter) {
        return not_an_id();
    }
    const bool all = asked.flag("all");
    const bool is_some = filter->message_id || !filter->domain.empty() || !filter->tenant.empty();
    if (all == is_some) {
        return admin::refusal(refusal_reason::usage,
                              "expected a message, a domain, a tenant, or --all alone");
    }
    const std::string reason(asked.text("reason"));
    if (reason.empty() || !is_reason(reason)) {
        return admin::refusal(refusal_reason::usage, "expected a reason, one line of ASCII");
    }

    struct counting {
        std::atomic<std::uint64_t> recipients = 0;
        std::atomic<std::uint64_t> messages = 0;
        std::atomic<std::uint64_t> in_flight = 0;
    };

    // Before: a crash amid it must not leave what nobody asked for.
    note_change(asked, (asked.flag("quiet") ? "quiet: " : "") + reason);
    const auto count = std::make_shared<counting>();
    const bool is_quiet = asked.flag("quiet");
    const bool is_through = ask_each_shard([&](relay::shard& shard, std::function<void()> done) {
        shard.queue().bounce(
            *filter,
            reason,
            is_quiet,
            [count](const relay::bounce_count& more) {
                count->recipients += more.recipients;
                count->messages += more.messages;
                count->in_flight += more.in_flight;
            },
            std::move(done));
    });
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).member("bounced", count->recipients.load());
    out.member("messages", count->messages.load());
    out.member("in_flight", count->in_flight.load());
    out.member("through", is_through).end_object();
    return text;
}

std::string daemon::suspend(const admin::request& asked) {
    overlay::suspension added;
    added.domain = config::lower_ascii(asked.text("domain"));
    added.tenant = asked.text("tenant");
    added.reason = asked.text("reason");
    if (added.domain.empty() && added.tenant.empty()) {
        return admin::refusal(refusal_reason::usage, "expected a domain, a tenant, or both");
    }
    if (added.reason.empty() || !is_reason(added.reason)) {
        return admin::refusal(refusal_reason::usage, "expected a reason, one line of ASCII");
    }
    std::chrono::seconds time = suspension_time;
    if (const std::string_view duration = asked.text("duration"); !duration.empty()) {
        const auto parsed = config::parse_duration(duration);
        if (!parsed || parsed->count() < 1 || *parsed > suspension_time_max) {
            return admin::refusal(refusal_reason::usage,
                                  "expected a duration such as 1h, at most a year");
        }
        time = *parsed;
    }
    added.created_unix_s = unix_s();
    added.until_unix_s = added.created_unix_s + time.count();
    const auto done = overlay_->suspend({{.uid = asked.from().uid}, "suspend"}, added);
    if (!done) {
        return admin::refusal(refusal_reason::failed, done.error().detail);
    }
    if (done->verdict == overlay::verdict::refused) {
        return admin::refusal(refusal_reason::refused, done->why);
    }
    if (const std::string fault = put_suspensions_in_force(); !fault.empty()) {
        return fault;
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).member("changed", true).member("in_force", true);
    out.member("until", added.until_unix_s).end_object();
    return text;
}

std::string daemon::resume(const admin::request& asked) {
    const std::string domain = config::lower_ascii(asked.text("domain"));
    const std::string_view tenant = asked.text("tenant");
    const bool all = asked.flag("all");
    if (all != (domain.empty() && tenant.empty())) {
        return admin::refusal(refusal_reason::usage,
                              "expected a domain, a tenant or both, or --all alone");
    }
    const auto done = overlay_->resume({{.uid = asked.from().uid}, "resume"}, domain, tenant, all);
    if (!done) {
        return admin::refusal(refusal_reason::failed, done.error().detail);
    }
    if (const std::string fault = put_suspensions_in_force(); !fault.empty()) {
        return fault;
    }
    return admin::change_answer(done->verdict == overlay::verdict::changed);
}

std::string daemon::suspend_list() {
    const auto all = overlay_->suspensions(unix_s());
    if (!all) {
        return admin::refusal(refusal_reason::failed, all.error().detail);
    }
    std::string text;
    json::writer out(text);
    out.begin_object().member("ok", true).key("suspended").begin_array();
    for (const overlay::suspension& one : *all) {
        out.begin_object().member("domain", one.domain).member("tenant", one.tenant);
        out.member("reason", one.reason).member("created", one.created_unix_s);
        out.member("until", one.until_unix_s).end_object();
    }
    out.end_array().member("next", 0).end_object();
    return text;
}

result<std::shared_ptr<const relay::suspensions>> daemon::read_suspensions() {
    const auto all = overlay_->suspensions(unix_s());
    if (!all) {
        return std::unexpected(all.error());
    }
    std::vector<relay::suspension> suspended;
    for (const overlay::suspension& one : *all) {
        suspended.push_back(
            {one.domain, one.tenant, one.reason, one.created_unix_s, one.until_unix_s});
    }
    return std::make_shared<const relay::suspensions>(suspended);
}

std::string daemon::put_suspensions_in_force() {
    const auto suspended = read_suspensions();
    if (!suspended) {
        return admin::refusal(refusal_reason::failed, suspended.error().detail);
    }
    on_each_shard([&](relay::shard& shard) { shard.queue().set_suspensions(*suspended); });
    return {};
}

void daemon::note_change(const admin::request& asked, std::string after) {
    audit_.note(asked,
                {.tenant = std::string(asked.text("tenant")),
                 .subject = subject_of(asked),
                 .after = std::move(after),
                 .result = "done"});
}

} // namespace ebbgate::program
