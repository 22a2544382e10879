// queue, message, flush, bounce: what operators ask of the queue of all shards.
//
// Bounds  A shard works on each in steps; this thread waits for the answer for a bounded time, and
//         what is not through by then goes on.

#include "codec/json/writer.h"
#include "program/daemon/daemon.h"
#include "program/daemon/queue_request.h"
#include "program/daemon/queue_rows.h"
#include "service/admin/arguments.h"

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

constexpr std::size_t rows_max = 1000;
constexpr std::size_t lanes_shown = 20;
constexpr std::size_t header_bytes_max = 64 * kib;
constexpr std::size_t recipients_max = 1000;

std::string not_an_id() {
    return admin::refusal(refusal_reason::usage, "expected a message's id");
}

std::string too_late() {
    return admin::refusal(refusal_reason::failed, "the queue does not answer in time");
}

} // namespace

void daemon::add_queue_commands() {
    const auto operators = admin::permission::operators;
    const admin::argument id{"id", argument_kind::text, false, 64};
    const admin::argument held{"held", argument_kind::flag, false};
    commands_->add(
        {"queue",
         {queue_domain, queue_tenant, admin::rows_argument, {"ages", argument_kind::flag, false}},
         operators,
         [this](const request& asked) { return queue(asked); }});
    commands_->add({"queue list",
                    {queue_domain, queue_tenant, admin::rows_argument, admin::after_argument, held},
                    operators,
                    [this](const request& asked) { return queue_list(asked); }});
    commands_->add(
        {"message",
         {{"id", argument_kind::text, true, 64}, {"headers", argument_kind::flag, false}},
         operators,
         [this](const request& asked) { return show_message(asked); }});
    commands_->add({"flush",
                    {id, queue_domain, queue_tenant},
                    operators,
                    [this](const request& asked) { return flush(asked); },
                    true});
    commands_->add({"bounce",
                    {id,
                     queue_domain,
                     queue_tenant,
                     {"all", argument_kind::flag, false},
                     queue_reason,
                     {"quiet", argument_kind::flag, false}},
                    operators,
                    [this](const request& asked) { return bounce(asked); }});
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
        write_ages(out, all->held, "held_ages");
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

void daemon::note_change(const admin::request& asked, std::string after) {
    audit_.note(asked,
                {.tenant = std::string(asked.text("tenant")),
                 .subject = subject_of(asked),
                 .after = std::move(after),
                 .result = "done"});
}

} // namespace ebbgate::program
