// What a connection asks of the queue: the next message, its text, and what became of it.

#include "ebbgate/base/assert.h"

#include "relay/outbound.h"

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

// So many replies in a row that ask for less, without one that is taken, mean all of the lane.
constexpr std::uint32_t deferred_in_a_row_max = 10;
constexpr std::int64_t reports_pause_ms = 100;

// How long a connection works before it makes room for others that wait for its site: long against
// a handshake, short for who waits.
constexpr std::int64_t turn_ms = 1'000;

constexpr std::uint32_t turned_away_max = 5; // In a row, before a lane is put off like any other.

// It says that it takes no more for now, and connections of other lanes work there; one that
// answers, and has others on their way, has taken those, as far as we know. But it may mean this
// lane only, which it shows by going on so.
bool says_full(const outbound_connection& failed, deliver::push_back push, std::int64_t now_ms) {
    if ((push != deliver::push_back::shutdown_421 && push != deliver::push_back::greeting_4xx) ||
        !failed.to->without.empty() || failed.to->turned_away_in_a_row >= turned_away_max) {
        return false;
    }
    return failed.site->works(now_ms) || failed.site->connections() > 1;
}

} // namespace

void outbound::wake(schedule::lane_id lane) {
    std::vector<connection*>& idle = parked_[lane];
    EBBGATE_ASSERT(!idle.empty());
    connection& woken = *idle.back();
    idle.pop_back();
    idle_.remove(woken);
    scheduler_.unpark(woken.permit);
    if (!woken.client->wake()) {
        scheduler_.close(woken.permit); // It is saying good-bye: the lane gets another.
    }
}

void outbound::on_ready(deliver::client& client) {
    connection& ready = *static_cast<connection*>(client.context);
    bad_addresses_.worked(ready.targets[ready.next_target - 1].address);
    ready.to->fault.clear();
    count_session(ready);
    ready.to->turned_away_in_a_row = 0;
    ready.ready_ms = clock_ms();
    ready.works = true;
    ready.site->begin_work();
}

// Bounces must not pile up. Where they cannot be stored at all, the disk is full, and deliveries
// are what frees it: they go on.
bool outbound::must_wait_for_reports() const {
    return reporter_.is_full() || (reporter_.is_busy() && context_.writer.intake_open());
}

bool outbound::take_item(connection& asking) {
    if (asking.has_item) {
        return true; // It has been read meanwhile.
    }
    const schedule::lane_id lane = asking.permit.lane;
    destination& to = *asking.to;
    const policy::shaping& limits = to.limits;
    if (stopping_ || scheduler_.view(lane, clock_ms()).counters.ready == 0 || keep_back(lane, to)) {
        return false;
    }
    if (to.limits_of != policy_number_) {
        set_limits(to, lane); // A policy holds for the connections that there are, too.
    }
    if (is_left(to)) {
        send_away(&asking); // The next one for this lane moves what waits.
        return false;
    }
    if (must_wait_for_reports()) {
        scheduler_.pause(lane, clock_ms() + reports_pause_ms, clock_ms());
        return false;
    }
    if (asking.site->is_over(limits.connection_limit) && asking.client->uses() > 0) {
        send_away(&asking); // The site takes fewer than there are.
        return false;
    }
    if (asking.client->uses() > 0 && clock_ms() - asking.ready_ms >= turn_ms &&
        owes_its_place(asking)) {
        stand_back(asking);
        return false;
    }
    const std::int64_t now_us = context_.reactor.unix_us();
    if (const std::int64_t due_us = asking.site->take_message(limits.message_rate, now_us)) {
        scheduler_.pause(lane, clock_ms() + (due_us - now_us) / 1000 + 1, clock_ms());
        return false;
    }
    auto item = scheduler_.take_next(asking.permit, clock_ms());
    if (!item) {
        return false;
    }
    asking.item = std::move(*item);
    asking.has_item = true;
    // What was read for the item before must not be taken for this one.
    EBBGATE_ASSERT(asking.reader == nullptr || !asking.reader->busy());
    asking.reader.reset();
    asking.has_envelope = false;
    return true;
}

// The envelope is on the disk: the connection waits for it, and is woken.
void outbound::load_item(connection& asking) {
    asking.is_awaited = true;
    connection* const waiting = &asking;
    messages_.with(asking.item.message_id, [this, waiting](queued_message* message, auto reader) {
        waiting->is_awaited = false;
        if (message == nullptr) {
            // For now it cannot be read. Nothing was tried.
            scheduler_.put_aside(waiting->item,
                                 clock_ms() +
                                     context_.policy->delivery().retry.first.count() * 1000,
                                 clock_ms());
            waiting->has_item = false;
            ask_again(*waiting);
            return;
        }
        live_messages::keep(*message);
        waiting->message = message;
        waiting->reader = std::move(reader);
        waiting->has_envelope = waiting->reader != nullptr;
        if (waiting->client == nullptr) {
            let_go(*waiting);
            drop(*waiting);
        } else if (!waiting->client->wake()) {
            let_go(*waiting); // It says good-bye. The next one takes it.
        }
    });
}

// In the next turn. It is not to go away meanwhile.
void outbound::ask_again(connection& asking) {
    asking.is_awaited = true;
    context_.reactor.post([this, waiting = &asking] {
        waiting->is_awaited = false;
        if (waiting->client == nullptr) {
            drop(*waiting);
        } else {
            (void)waiting->client->wake();
        }
    });
}

// The item, when there is one that was not tried, goes back; and so does its message.
void outbound::let_go(connection& used) {
    if (used.has_item) {
        scheduler_.put_back(used.item, clock_ms());
        used.has_item = false;
    }
    if (queued_message* message = std::exchange(used.message, nullptr)) {
        messages_.let_go(*message);
    }
    if (used.reader != nullptr && !used.reader->busy()) {
        used.reader.reset();
    }
    used.has_envelope = false;
}

deliver::next_job_result outbound::next_job(deliver::client& client, deliver::job& next) {
    connection& asking = *static_cast<connection*>(client.context);
    if (!take_item(asking)) {
        scheduler_.opened(asking.permit);
        scheduler_.park(asking.permit);
        parked_[asking.permit.lane].push_back(&asking);
        if (!asking.is_counted) {
            return deliver::next_job_result::none; // It was told to go.
        }
        idle_.add(asking);
        if (!capped_.empty()) {
            send_away(idle_.longest()); // A lane waits for what this shard may have.
        } else if (asking.site->is_wanted() &&
                   scheduler_.view(asking.permit.lane, clock_ms()).paused_until_ms == 0) {
            offer(asking); // What pauses this lane would mostly pause the next one too.
        }
        return deliver::next_job_result::none;
    }
    if (asking.message == nullptr) {
        queued_message* warm = messages_.find(asking.item.message_id);
        if (warm == nullptr) {
            load_item(asking);
            return deliver::next_job_result::coming;
        }
        live_messages::keep(*warm);
        asking.message = warm;
    }
    if (keep_back(asking) || move_some(asking)) {
        return deliver::next_job_result::coming;
    }
    queued_message& message = *asking.message;
    asking.job_began_us = context_.reactor.unix_us();
    next.message_id = message.envelope.id;
    next.envelope = &message.envelope;
    next.message_bytes = message.bytes();
    split_item(asking.item, message, client.recipients_max());
    asking.item.recipients.for_each([&](std::uint32_t index) { next.recipients.push_back(index); });
    return deliver::next_job_result::here;
}

// More recipients than the destination takes at once would be deferred by it, round after round:
// the rest becomes an item of its own, due now.
void outbound::split_item(schedule::delivery_item& item,
                          queued_message& message,
                          std::size_t recipients_max) {
    if (item.recipients.count() <= recipients_max) {
        return;
    }
    schedule::delivery_item rest = item;
    std::size_t place = 0;
    item.recipients.for_each([&](std::uint32_t index) {
        if (place++ < recipients_max) {
            rest.recipients.remove(index);
        }
    });
    rest.recipients.for_each([&](std::uint32_t index) { item.recipients.remove(index); });
    rest.not_before_ms = 0;
    ++message.items;
    scheduler_.keep(item);
    const std::string destination(scheduler_.destination(item.lane));
    (void)scheduler_.add(rest, destination, clock_ms(), item.slot);
}

attempt_place outbound::place_of(const connection& used) const {
    const deliver::client& client = *used.client;
    attempt_place place;
    place.site = used.to->key;
    place.host = client.where().host;
    place.address = client.where().address.address;
    place.port = client.where().address.port;
    place.source = client.where().source;
    place.source_address = client.local_address();
    place.connection_uses = client.uses();
    place.tls = deliver::log_text(
        *used.targets[used.next_target - 1].tls, client.tls_state(), client.tls_facts());
    place.tls_session = &client.tls_facts();
    place.queued_us = std::max<std::int64_t>(
        0, used.job_began_us - used.message->envelope.received_unix_ms * 1000);
    place.connection_us =
        client.uses() == 1 ? static_cast<std::int64_t>(client.connection_us()) : 0;
    place.transmission_us =
        std::max<std::int64_t>(0, context_.reactor.unix_us() - used.job_began_us);
    return place;
}

// What the destination asks of us between the lines.
void outbound::note_push(connection& used,
                         const std::vector<deliver::recipient_outcome>& outcomes) {
    const schedule::lane_id lane = used.permit.lane;
    const deliver::recipient_outcome& outcome = *std::max_element(
        outcomes.begin(), outcomes.end(), [](const auto& left, const auto& right) {
            return left.push < right.push;
        });
    if (std::any_of(outcomes.begin(), outcomes.end(), [](const auto& one) {
            return one.result == deliver::attempt_result::delivered;
        })) {
        used.site->succeeded(used.to->limits.connection_limit, clock_ms());
        used.to->deferred_in_a_row = 0;
    }
    switch (outcome.push) {
    case deliver::push_back::shutdown_421:
        used.site->pushed_back(clock_ms());
        if (used.client->uses() <= 1) {
            (void)scheduler_.pushed_back(lane, clock_ms()); // It takes nothing at all now.
        }
        return;
    case deliver::push_back::rate_4xx:
        if (++used.to->deferred_in_a_row >= deferred_in_a_row_max) {
            used.to->deferred_in_a_row = 0;
            used.site->pushed_back(clock_ms());
            (void)scheduler_.pushed_back(lane, clock_ms());
            return;
        }
        break;
    case deliver::push_back::none:
    case deliver::push_back::unreachable:
    case deliver::push_back::connection_refused:
    case deliver::push_back::lost_early:
    case deliver::push_back::greeting_4xx:
    case deliver::push_back::greeting_5xx:
    case deliver::push_back::mail_4xx:
        break;
    }
    if (outcome.reply.code != 0) {
        scheduler_.connected(used.permit); // It answers: the probing ends.
    }
}

void outbound::note_chunks(connection& used) {
    if (used.client->refuses_chunks() && !std::exchange(used.to->refuses_chunks, true)) {
        context_.journal.note(context_.reactor.unix_us(),
                              "smtp",
                              used.client->where().host +
                                  ": CHUNKING is offered and refused: DATA from here on");
    }
}

void outbound::on_outcome(deliver::client& client,
                          std::vector<deliver::recipient_outcome> outcomes) {
    connection& used = *static_cast<connection*>(client.context);
    if (used.reader != nullptr && !used.reader->busy()) {
        free_reader(used); // Its envelope was refused: nothing of it is sent any more.
    }
    queued_message& message = *used.message;
    const attempt_place place = place_of(used);
    const std::uint32_t attempts = used.item.attempts + 1U;
    const smtp::reply damaged = damaged_reply();
    const bool lacks = outcomes.front().peer_lacks; // As all of them.
    note_chunks(used);
    if (lacks && used.has_other_hosts) {
        note_push(used, outcomes);
        try_other_hosts(used, outcomes.front().reply);
        return;
    }
    if (lacks && used.misses_hosts) {
        send_away(&used); // The next attempt asks DNS again.
    }
    for (const deliver::recipient_outcome& outcome : outcomes) {
        const bool is_over =
            outcome.result == deliver::attempt_result::delivered ||
            (outcome.result == deliver::attempt_result::permanent && !(lacks && used.misses_hosts));
        if (is_over || used.damaged) {
            used.item.recipients.remove(outcome.index);
            finish_recipient(message,
                             {outcome.index,
                              outcome.result == deliver::attempt_result::delivered
                                  ? outcome::event_type::delivery
                                  : outcome::event_type::bounce,
                              is_over ? &outcome.reply : &damaged,
                              is_over ? outcome.command : "",
                              attempts,
                              outcome.dsn_passed_on,
                              false,
                              is_over && !lacks},
                             place);
            continue;
        }
        const bool doubt = outcome.result == deliver::attempt_result::ambiguous;
        ++(doubt ? context_.counters.ambiguous : context_.counters.deferrals);
        context_.journal.attempted(
            context_.reactor.unix_us(),
            message.envelope,
            message.bytes(),
            {doubt ? outcome::event_type::ambiguous : outcome::event_type::transient_failure,
             outcome.index,
             &outcome.reply,
             outcome.command,
             attempts,
             class_of(outcome.reply)},
            place);
    }
    reporter_.send(message);
    note_push(used, outcomes);
    used.message = nullptr;
    used.has_item = false;
    if (used.item.recipients.empty()) {
        item_done(message, used.item);
        settle(message);
        messages_.let_go(message);
        return;
    }
    const schedule::defer_result again = scheduler_.defer(used.item, clock_ms());
    if (again.expired) {
        settle(message);
        messages_.let_go(message);
        end(used.item, outcome::event_type::expiration, expired_reply());
        return;
    }
    for (const deliver::recipient_outcome& outcome : outcomes) {
        if (used.item.recipients.contains(outcome.index)) {
            attempts_.add(
                message.envelope.id,
                outcome.index,
                {attempts,
                 clock_ms(),
                 again.due_ms,
                 outcome.reply.code == 0 ? outcome.reply.text : smtp::to_line(outcome.reply)});
        }
    }
    settle(message);
    if (waits_long(message)) {
        cool(message);
    }
    messages_.let_go(message);
}

void outbound::on_closed(deliver::client& client, bool before_ready, const std::string& why) {
    connection& ended = *static_cast<connection*>(client.context);
    if (before_ready) {
        count_session(ended);
    }
    note_chunks(ended);
    ended.client = nullptr;
    if (before_ready) {
        const delivery_target& target = ended.targets[ended.next_target - 1];
        // What this domain asks of TLS says nothing to others whose mail goes to the same hosts.
        const bool is_by_tls = target.tls->tls == deliver::tls_use::required &&
                               client.tls_state() != deliver::tls_state::untried &&
                               client.tls_state() != deliver::tls_state::established;
        const bool is_full = !is_by_tls && says_full(ended, client.pushed_back(), clock_ms());
        if (!is_by_tls && !is_full) {
            bad_addresses_.failed(target.address, clock_ms());
        }
        ended.has_failed_otherwise = ended.has_failed_otherwise || !is_full;
        ended.to->fault = "connect to " + target.host + "[" + config::to_text(target.address) +
                          "]:" + std::to_string(target.port) + ": " + why;
        context_.journal.note(context_.reactor.unix_us(), "smtp", ended.to->fault);
        if (!stopping_ && ended.next_target < ended.targets.size()) {
            connect(ended); // The next address, or the next host.
            return;
        }
        if (!is_by_tls && ended.to->without.empty()) {
            ended.site->turned_away(ended.entered_as, clock_ms()); // Else those left out do work.
        }
        if (back_off(
                ended, smtp::reply(0, {4, 4, 1}, ended.to->fault), !ended.has_failed_otherwise)) {
            wait_for_room(ended);
            return;
        }
    }
    drop(ended);
}

void outbound::drop(connection& ended) {
    idle_.remove(ended);
    leave_lane(ended);
    if (ended.is_awaited) {
        return; // That comes back here.
    }
    if (ended.has_item) {
        let_go(ended);
    }
    if (ended.permit.stage != schedule::connection_permit::stage_type::closed) {
        scheduler_.close(ended.permit);
    }
    if (ended.site != nullptr) {
        leave_site(ended);
    }
    if (ended.reader != nullptr && ended.reader->busy()) {
        return; // The reader's last event comes back here.
    }
    // Not under the feet of the reader whose event this may be.
    context_.reactor.post([this, gone = &ended] { connections_.erase(gone); });
}

} // namespace ebbgate::relay
