// What waits, for people who ask: by lane, by age, one by one.

#include "ebbgate/base/chunks.h"

#include "relay/outbound_sweep.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

constexpr std::int64_t first_age_ms = 5LL * 60 * 1000;
// Of a page whose messages must be read to know whether they are meant.
constexpr std::size_t page_reads_max = 2000;

std::int64_t seconds_of(std::int64_t ms) {
    return (ms + 999) / 1000;
}

// Up to and with the empty line; false: there may be more of it.
bool append_header(std::string& header, byte_view bytes, std::size_t bytes_max) {
    const std::size_t from = header.size() < 3 ? 0 : header.size() - 3;
    header.append(bytes.substr(0, bytes_max - std::min(bytes_max, header.size())));
    if (const std::size_t end = header.find("\r\n\r\n", from); end != std::string::npos) {
        header.resize(end + 2);
        return true;
    }
    return header.size() >= bytes_max;
}

} // namespace

std::size_t age_class_of(std::int64_t age_ms) noexcept {
    std::size_t at = 0;
    for (std::int64_t bound = first_age_ms; at + 1 < age_classes && age_ms >= bound; bound *= 2) {
        ++at;
    }
    return at;
}

void lane_standing::add(const lane_standing& other) {
    counters.ready += other.counters.ready;
    counters.deferred += other.counters.deferred;
    counters.in_flight += other.counters.in_flight;
    counters.held += other.counters.held;
    counters.connections += other.counters.connections;
    counters.connections_idle += other.counters.connections_idle;
    for (std::size_t at = 0; at < age_classes; ++at) {
        ages[at] += other.ages[at];
    }
    suspended_until_unix_s = std::max(suspended_until_unix_s, other.suspended_until_unix_s);
    backed_off_until_unix_s = std::max(backed_off_until_unix_s, other.backed_off_until_unix_s);
    paused_until_unix_s = std::max(paused_until_unix_s, other.paused_until_unix_s);
    oldest_age_ms = std::max(oldest_age_ms, other.oldest_age_ms);
    is_blocked = is_blocked || other.is_blocked;
    if (fault.empty()) {
        fault = other.fault;
    }
}

void outbound::overview(const queue_filter& asked,
                        bool by_age,
                        std::function<void(queue_overview)> then) {
    struct gathering {
        queue_overview seen;
        std::unordered_map<schedule::lane_id, std::size_t> places;
    };

    auto all = std::make_shared<gathering>();
    auto filter = std::make_shared<lane_filter>(*this, asked);
    const bool by_item = by_age || !asked.tenant.empty();
    all->seen.held.counters.held = by_item || !asked.domain.empty() ? 0 : scheduler_.total().held;
    const auto visit = [this, all, filter, by_item](const schedule::lane_view& view) {
        const bool is_idle = view.counters.waiting() == 0 && view.counters.connections == 0 &&
                             view.waits_until_ms() == 0;
        if (is_idle || filter->of_lane(view.id) == likeness::none) {
            return;
        }
        const auto unix_s = [this](std::int64_t at_ms) {
            return at_ms == 0 ? 0 : seconds_of(unix_ms_at(at_ms));
        };
        lane_standing lane;
        lane.lane = view.destination;
        lane.counters = view.counters;
        if (const destination* to = destination_of(view.id)) {
            lane.destination = name_of(*to);
            lane.fault = to->fault;
        }
        lane.suspended_until_unix_s = unix_s(view.suspended_until_ms);
        lane.backed_off_until_unix_s = unix_s(view.backed_off_until_ms);
        lane.paused_until_unix_s = unix_s(view.paused_until_ms);
        lane.is_blocked = view.is_blocked || (view.is_full && view.counters.ready > 0);
        lane.oldest_age_ms = view.oldest_age_ms;
        if (by_item) {
            lane.counters.ready = lane.counters.deferred = lane.counters.in_flight = 0;
            lane.oldest_age_ms = 0;
            all->places.emplace(view.id, all->seen.lanes.size());
        }
        all->seen.lanes.push_back(std::move(lane));
    };
    const auto end = [all, then = std::move(then)] { then(std::move(all->seen)); };
    if (!by_item) {
        sweep_lanes(visit, end);
        return;
    }
    auto items = std::make_shared<sweep>();
    items->judge = [this, all, filter](const schedule::waiting_item& item) {
        if (filter->of(item) == likeness::none) {
            return false;
        }
        const std::int64_t age_ms = std::max<std::int64_t>(0, clock_ms() - item.arrived_ms);
        lane_standing* into = item.is_held ? &all->seen.held : nullptr;
        if (const auto at = all->places.find(item.lane); at != all->places.end()) {
            into = &all->seen.lanes[at->second];
        }
        if (into != nullptr) { // Else its lane is newer than this question.
            ++(item.is_held        ? into->counters.held
               : item.is_in_flight ? into->counters.in_flight
               : item.is_deferred  ? into->counters.deferred
                                   : into->counters.ready);
            ++into->ages[age_class_of(age_ms)];
            into->oldest_age_ms = std::max(into->oldest_age_ms, age_ms);
        }
        return false;
    };
    items->then = end;
    sweep_lanes(visit, [this, items] { start_sweep(items); });
}

void outbound::list(const queue_filter& asked,
                    bool held_only,
                    std::uint32_t after,
                    std::size_t rows_max,
                    std::function<void(queue_page)> then) {
    auto page = std::make_shared<queue_page>();
    auto filter = std::make_shared<lane_filter>(*this, asked);
    auto items = std::make_shared<sweep>();
    sweep* const here = items.get();
    const auto add = [this, page, here, rows_max](const schedule::waiting_item& item) {
        listed_item& one = page->items.emplace_back();
        const schedule::recipient_set recipients = scheduler_.item_at(item.slot).recipients;
        one.message_id = item.message_id;
        one.lane = item.is_held ? "" : scheduler_.destination(item.lane);
        one.tenant = *tenant_names_[item.tenant];
        one.age_ms = std::max<std::int64_t>(0, clock_ms() - item.arrived_ms);
        one.recipients = static_cast<std::uint32_t>(recipients.count());
        one.attempts = item.attempts;
        one.is_urgent = item.is_urgent;
        one.is_deferred = item.is_deferred;
        one.is_in_flight = item.is_in_flight;
        one.is_held = item.is_held;
        if (!item.is_held && !item.is_in_flight) {
            const std::int64_t wait_ms = scheduler_.view(item.lane, clock_ms()).waits_until_ms();
            const std::int64_t due_ms = item.is_deferred ? item.due_ms : 0;
            one.next_unix_s = seconds_of(unix_ms_at(std::max({wait_ms, due_ms, clock_ms()})));
        }
        recipients.for_each([&](std::uint32_t index) {
            const auto* note =
                one.last_reply.empty() ? attempts_.find(item.message_id, index) : nullptr;
            if (note != nullptr) {
                one.last_reply = note->reply;
            }
        });
        here->is_full = here->is_full || page->items.size() >= rows_max;
    };
    items->next = after;
    items->judge = [filter, add, here, held_only](const schedule::waiting_item& item) {
        const likeness like = held_only && !item.is_held ? likeness::none : filter->of(item);
        if (like == likeness::all) {
            add(item);
        }
        here->is_full = here->is_full || here->reads >= page_reads_max;
        return like == likeness::some;
    };
    items->use = [this, filter, add](queued_message& message, const schedule::waiting_item& item) {
        const auto now = scheduler_.waiting_at(item.slot, clock_ms());
        if (!now || now->message_id != item.message_id) {
            return; // It has gone meanwhile.
        }
        bool is_meant = false;
        scheduler_.item_at(item.slot).recipients.for_each([&](std::uint32_t index) {
            is_meant = is_meant || filter->takes(message, *now, index);
        });
        if (is_meant) {
            add(*now);
        }
    };
    items->then = [this, page, here, then = std::move(then)] {
        page->next = here->next < scheduler_.slots_made() ? here->next : 0;
        then(std::move(*page));
    };
    start_sweep(std::move(items));
}

void outbound::read_header(std::uint64_t message_id,
                           std::size_t bytes_max,
                           std::function<void(std::optional<std::string>)> then) {
    struct header_reading {
        outbound* owner = nullptr;
        queued_message* message = nullptr;
        std::unique_ptr<spool::message_reader> reader;
        std::string header;
        std::size_t bytes_max = 0;
        bool is_open = false; // The reader has verified it.
        std::function<void(std::optional<std::string>)> then;

        void end(bool is_good) {
            auto told = std::move(then);
            auto text = is_good ? std::optional(std::move(header)) : std::nullopt;
            // Not inside the reader's own event.
            owner->context_.reactor.post([this] { go_away(); });
            told(std::move(text));
        }

        void go_away() {
            queued_message* used = message;
            outbound* from = owner;
            delete this;
            from->messages_.let_go(*used);
        }

        void go_on(spool::read_status status) {
            if (status != spool::read_status::ready) {
                return end(false);
            }
            // The first event says that it is whole; each later one brings the block asked for.
            bool here = std::exchange(is_open, true);
            for (;;) {
                if (!here && !reader->next()) {
                    return;
                }
                here = false;
                const byte_view block = reader->block();
                if (block.empty() || append_header(header, block, bytes_max)) {
                    return end(true);
                }
            }
        }
    };

    messages_.with(
        message_id, [this, bytes_max, then = std::move(then)](queued_message* message, auto) {
            if (message == nullptr) {
                then(std::nullopt);
                return;
            }
            std::string header;
            bool is_whole = append_header(header, message->prefix, bytes_max);
            if (message->hot) {
                for (std::size_t at = 0; !is_whole && at < message->body.block_count(); ++at) {
                    is_whole = append_header(header, message->body.block(at), bytes_max);
                }
                is_whole = true;
            }
            if (is_whole) {
                then(std::move(header));
                return;
            }
            live_messages::keep(*message);
            auto* made = new header_reading; // Deleted by its end().
            made->owner = this;
            made->message = message;
            made->header = std::move(header);
            made->bytes_max = bytes_max;
            made->then = then;
            made->reader = std::make_unique<spool::message_reader>(
                context_.device,
                context_.writer.files(),
                [](spool::message_reader&, spool::read_status status, void* who) noexcept {
                    static_cast<header_reading*>(who)->go_on(status);
                },
                made);
            made->reader->start(message->envelope.id, message->where);
        });
}

} // namespace ebbgate::relay
