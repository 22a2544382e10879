#include "relay/outbound.h"

#include "ebbgate/base/assert.h"
#include "ebbgate/spool/stored_meta.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

namespace {

schedule::settings settings_of(const policy::delivery_settings& delivery) {
    const auto ms = [](std::chrono::seconds time) { return std::int64_t{time.count()} * 1000; };
    schedule::settings settings;
    settings.connections_per_lane_max = delivery.connections_per_destination;
    settings.retry.first_ms = ms(delivery.retry.first);
    settings.retry.factor = delivery.retry.factor;
    settings.retry.max_ms = ms(delivery.retry.max);
    settings.retry.max_age_ms = ms(delivery.retry.max_age);
    settings.suspend_first_ms = std::min<std::int64_t>(settings.retry.first_ms, 30'000);
    return settings;
}

void set_timeouts(deliver::client_settings& client, const policy::delivery_timeouts& policy) {
    const auto ms = [](std::chrono::seconds time) {
        return static_cast<std::uint64_t>(time.count()) * 1000;
    };
    client.connect_timeout_ms = ms(policy.connect);
    client.greeting_timeout_ms = ms(policy.greeting);
    client.command_timeout_ms = ms(policy.command);
    client.data_timeout_ms = ms(policy.data);
    client.body_timeout_ms = ms(policy.body);
    client.final_timeout_ms = ms(policy.final);
}

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    EBBGATE_ASSERT(getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed));
    return seed;
}

smtp::reply damaged_reply() {
    return smtp::reply(554, {5, 3, 0}, "The stored message is damaged");
}

} // namespace

outbound::outbound(relay::context& context)
    : context_(context), scheduler_(settings_of(context.policy->delivery()), random_seed()),
      look_ups_(context.reactor) {
    wake_timer_.owner = this;
    wake_timer_.on_expire = [](task::timer& timer) noexcept {
        static_cast<wake_timer&>(timer).owner->wake_at_ms_ = -1;
    };
    policy_changed();
}

outbound::~outbound() {
    context_.reactor.timers().clear(wake_timer_);
}

void outbound::policy_changed() {
    const policy::delivery_settings& delivery = context_.policy->delivery();
    scheduler_.configure(settings_of(delivery));
    client_settings_.ehlo_name = context_.server.hostname;
    client_settings_.messages_max = delivery.messages_per_connection;
    client_settings_.idle_timeout_ms =
        static_cast<std::uint64_t>(delivery.idle_timeout.count()) * 1000;
    set_timeouts(client_settings_, delivery.timeouts);
    client_settings_.chunking = delivery.chunking;
    client_settings_.bounce_eight_bit = delivery.eight_bit == policy::eight_bit_mode::bounce;
    for (const std::uint64_t id : std::exchange(unrouted_, {})) {
        if (const auto item = scheduler_.release(id); item) {
            (void)place_again(*item, held_routes::hold);
        }
    }
    if (!unrouted_.empty()) { // One line, however many they are.
        context_.journal.note(context_.reactor.unix_us(),
                              "qmgr",
                              std::to_string(unrouted_.size()) +
                                  " messages are held, there is no route to a recipient any more");
    }
}

queued_message* outbound::find(std::uint64_t message_id) noexcept {
    const auto found = messages_.find(message_id);
    return found == messages_.end() ? nullptr : found->second.get();
}

std::int64_t outbound::clock_ms() const noexcept {
    return static_cast<std::int64_t>(context_.reactor.now_ms());
}

std::int64_t outbound::unix_ms_at(std::int64_t at_ms) const {
    return context_.reactor.unix_us() / 1000 + (at_ms - clock_ms());
}

void outbound::add(std::unique_ptr<queued_message> message) {
    queued_message& added = *message;
    messages_[added.envelope.id] = std::move(message);
    enqueue(added, 0, 0);
}

queued_message* outbound::restore(const spool::recovered_message& recovered,
                                  delivery_state& state) {
    auto stored = spool::decode_meta(recovered.meta);
    if (!stored) {
        context_.journal.note(context_.reactor.unix_us(),
                              "qmgr",
                              "a stored message has an unreadable envelope: " +
                                  message::to_text(recovered.id));
        return nullptr; // Kept in the spool for `spool export`; never delivered, never forgotten.
    }
    auto message = std::make_unique<queued_message>();
    message->prefix = stored->prefix;
    message->envelope = std::move(stored->envelope);
    message->where = recovered.where;
    message->body_bytes = recovered.where.body_bytes;
    if (auto remembered = decode_state(recovered.state); remembered) {
        state = std::move(*remembered);
    } else {
        for (std::uint32_t index = 0; index < message->envelope.recipients.size(); ++index) {
            state.outstanding.add(index);
        }
    }
    message->outstanding = state.outstanding;
    message->recovered_attempts = state.attempts;
    message->recovered_next_unix_ms = state.next_unix_ms;
    message->state = recovered.state;
    queued_message& added = *message;
    messages_[added.envelope.id] = std::move(message);
    return &added;
}

void outbound::add_recovered(const spool::recovered_message& recovered) {
    delivery_state state;
    if (queued_message* added = restore(recovered, state); added != nullptr) {
        enqueue(*added, state.attempts, state.next_unix_ms);
    }
}

void outbound::bounce_damaged(const spool::recovered_message& recovered) {
    delivery_state state;
    queued_message* added = restore(recovered, state);
    if (added == nullptr) {
        return;
    }
    state.outstanding.for_each([&](std::uint32_t index) {
        finish_recipient(
            *added, index, outcome::event_type::bounce, damaged_reply(), "", {}, state.attempts);
    });
    settle(*added, state.attempts, 0);
}

void outbound::finish_recipient(queued_message& message,
                                std::uint32_t index,
                                outcome::event_type type,
                                const smtp::reply& reply,
                                std::string_view command,
                                const attempt_place& place,
                                std::uint32_t attempts) {
    message.outstanding.remove(index);
    message.tried.remove(index);
    if (type == outcome::event_type::delivery) {
        ++context_.counters.deliveries;
    } else {
        ++context_.counters.bounces;
    }
    context_.journal.attempted(context_.reactor.unix_us(),
                               message.envelope,
                               message.bytes(),
                               {type, index, &reply, command, attempts},
                               place);
}

void outbound::settle(queued_message& message, std::uint32_t attempts, std::int64_t next_unix_ms) {
    if (!message.outstanding.empty()) {
        // Also without an attempt, when some recipients have ended: they must not end twice.
        if (attempts > 0 || message.outstanding.count() < message.envelope.recipients.size()) {
            message.state = encode_state({attempts, next_unix_ms, message.outstanding});
            context_.writer.note_state(message.envelope.id, message.state);
        }
        return;
    }
    if (message.items > 0) {
        return;
    }
    // Beyond this point the message is gone: its outcomes are in the log, its bytes may be reused.
    context_.writer.mark_done(message.envelope.id, message.where);
    unrouted_.erase(message.envelope.id);
    context_.counters.hot_bytes -= message.body.bytes();
    ++context_.counters.messages_done;
    context_.journal.removed(context_.reactor.unix_us(), message.envelope.id);
    messages_.erase(message.envelope.id);
}

void outbound::expire(const schedule::delivery_item& item) {
    const auto found = messages_.find(item.message_id);
    if (found == messages_.end()) {
        return;
    }
    queued_message& message = *found->second;
    const smtp::reply reply(550, {4, 4, 7}, "Delivery time expired");
    item.recipients.for_each([&](std::uint32_t index) {
        finish_recipient(
            message, index, outcome::event_type::expiration, reply, "", {}, item.attempts);
    });
    --message.items;
    settle(message, item.attempts, 0);
}

bool outbound::on_turn() noexcept {
    const std::int64_t now_ms = clock_ms();
    while (auto item = scheduler_.next_expired(now_ms)) {
        expire(*item);
    }
    if (!stopping_) {
        while (auto work = scheduler_.next_due(now_ms)) {
            if (work->action == schedule::grant_action::open) {
                open(work->lane);
            } else {
                wake(work->lane);
            }
        }
        set_wake_timer();
    }
    return false;
}

void outbound::set_wake_timer() {
    const auto next_ms = scheduler_.next_wakeup_ms(clock_ms());
    const std::int64_t at_ms = next_ms ? std::max(*next_ms, clock_ms() + 1) : -1;
    if (at_ms == wake_at_ms_) {
        return;
    }
    wake_at_ms_ = at_ms;
    if (at_ms < 0) {
        context_.reactor.timers().clear(wake_timer_);
    } else {
        context_.reactor.timers().set(wake_timer_, static_cast<std::uint64_t>(at_ms));
    }
}

void outbound::wake(schedule::lane_id lane) {
    std::vector<connection*>& idle = parked_[lane];
    EBBGATE_ASSERT(!idle.empty());
    connection& woken = *idle.back();
    idle.pop_back();
    scheduler_.unpark(woken.permit);
    if (!woken.client->wake()) {
        scheduler_.close(woken.permit); // It is saying good-bye: the lane gets another.
    }
}

void outbound::on_ready(deliver::client& client) {
    const schedule::connection_permit& permit = static_cast<connection*>(client.context)->permit;
    scheduler_.connected(permit);
    destinations_.at(std::string(scheduler_.destination(permit.lane))).fault.clear();
}

bool outbound::next_job(deliver::client& client, deliver::job& next) {
    connection& asking = *static_cast<connection*>(client.context);
    auto item = stopping_ ? std::nullopt : scheduler_.take_next(asking.permit, clock_ms());
    if (!item) {
        scheduler_.park(asking.permit);
        parked_[asking.permit.lane].push_back(&asking);
        return false;
    }
    queued_message& message = *messages_.at(item->message_id);
    asking.item = std::move(*item);
    asking.message = &message;
    asking.job_began_us = context_.reactor.unix_us();
    next.message_id = message.envelope.id;
    next.envelope = &message.envelope;
    next.message_bytes = message.bytes();
    split_item(asking.item, message, client.recipients_max());
    asking.item.recipients.for_each([&](std::uint32_t index) { next.recipients.push_back(index); });
    return true;
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
    const std::string destination(scheduler_.destination(item.lane));
    (void)scheduler_.add(rest, destination, clock_ms());
}

void outbound::send_body(deliver::client& client) {
    connection& sending = *static_cast<connection*>(client.context);
    if (sending.message->hot) {
        client.write_body(sending.message->prefix);
        client.write_body(sending.message->body);
        client.body_written();
        return;
    }
    start_reader(sending);
}

void outbound::start_reader(connection& sending) {
    sending.reader = std::make_unique<spool::message_reader>(
        context_.device,
        context_.writer.files(),
        [](spool::message_reader&, spool::read_status status, void* who) noexcept {
            connection& self = *static_cast<connection*>(who);
            self.reading = false;
            if (self.client == nullptr) {
                self.owner->drop(self); // The connection went away while the disk was read.
            } else if (status != spool::read_status::ready) {
                self.damaged = status == spool::read_status::damaged;
                self.client->body_failed("the stored message cannot be read");
            } else {
                self.owner->pump_body(self);
            }
        },
        &sending);
    sending.reading = true;
    sending.block_due = false;
    sending.damaged = false;
    sending.client->write_body(sending.message->prefix);
    sending.reader->start(sending.message->envelope.id, sending.message->where);
}

void outbound::pump_body(connection& sending) {
    // After next() said false, the event that came brought the block: it is not asked for again.
    bool here = std::exchange(sending.block_due, false);
    for (;;) {
        if (!here) {
            if (!sending.client->can_write()) {
                return; // on_room() goes on.
            }
            if (!sending.reader->next()) {
                sending.reading = true;
                sending.block_due = true;
                return;
            }
        }
        here = false;
        const byte_view block = sending.reader->block();
        if (block.empty()) {
            // Its own event may be what brought us here: it ends after this turn.
            context_.reactor.post(
                [ended = std::shared_ptr<spool::message_reader>(std::move(sending.reader))] {});
            sending.client->body_written();
            return;
        }
        sending.client->write_body(block);
    }
}

void outbound::on_room(deliver::client& client) {
    connection& sending = *static_cast<connection*>(client.context);
    if (sending.reader != nullptr && !sending.reading) {
        pump_body(sending);
    }
}

attempt_place outbound::place_of(const connection& used) const {
    const deliver::client& client = *used.client;
    attempt_place place;
    place.site = scheduler_.destination(used.permit.lane);
    place.host = client.where().host;
    place.address = client.where().address.address;
    place.port = client.where().address.port;
    place.connection_uses = client.uses();
    place.tls_cipher = client.tls_cipher();
    place.queued_us = std::max<std::int64_t>(
        0, used.job_began_us - used.message->envelope.received_unix_ms * 1000);
    place.connection_us =
        client.uses() == 1 ? static_cast<std::int64_t>(client.connection_us()) : 0;
    place.transmission_us =
        std::max<std::int64_t>(0, context_.reactor.unix_us() - used.job_began_us);
    return place;
}

void outbound::on_outcome(deliver::client& client,
                          std::vector<deliver::recipient_outcome> outcomes) {
    connection& used = *static_cast<connection*>(client.context);
    queued_message& message = *used.message;
    const attempt_place place = place_of(used);
    const std::uint32_t attempts = used.item.attempts + 1U;
    for (const deliver::recipient_outcome& outcome : outcomes) {
        switch (outcome.result) {
        case deliver::attempt_result::delivered:
        case deliver::attempt_result::permanent:
            used.item.recipients.remove(outcome.index);
            finish_recipient(message,
                             outcome.index,
                             outcome.result == deliver::attempt_result::delivered
                                 ? outcome::event_type::delivery
                                 : outcome::event_type::bounce,
                             outcome.reply,
                             outcome.command,
                             place,
                             attempts);
            break;
        case deliver::attempt_result::transient:
        case deliver::attempt_result::ambiguous: {
            if (used.damaged) {
                used.item.recipients.remove(outcome.index);
                finish_recipient(message,
                                 outcome.index,
                                 outcome::event_type::bounce,
                                 damaged_reply(),
                                 "",
                                 place,
                                 attempts);
                break;
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
                 attempts},
                place);
            break;
        }
        }
    }
    used.message = nullptr;
    if (used.item.recipients.empty()) {
        scheduler_.done(used.item);
        --message.items;
        settle(message, message.outstanding.empty() ? 0 : attempts, 0);
        return;
    }
    const schedule::defer_result again = scheduler_.defer(used.item, clock_ms());
    if (again.expired) {
        expire(used.item);
    } else {
        for (const deliver::recipient_outcome& outcome : outcomes) {
            if (used.item.recipients.contains(outcome.index)) {
                note_attempt(message, outcome, attempts, again.due_ms);
            }
        }
        settle(message, attempts, unix_ms_at(again.due_ms));
    }
}

void outbound::on_closed(deliver::client& client, bool before_ready, const std::string& why) {
    connection& ended = *static_cast<connection*>(client.context);
    if (before_ready) {
        // The next connection tries the host's next address; after the last they are looked up
        // anew.
        destination_entry& entry =
            destinations_.at(std::string(scheduler_.destination(ended.permit.lane)));
        entry.fault = "connect to " + client.where().host + "[" + client.where().address.address +
                      "]:" + std::to_string(client.where().address.port) + ": " + why;
        context_.journal.note(context_.reactor.unix_us(), "smtp", entry.fault);
        if (entry.next_address < entry.addresses.size() &&
            entry.addresses[entry.next_address] == client.where().address.address &&
            ++entry.next_address == entry.addresses.size()) {
            entry.addresses.clear();
        }
        (void)scheduler_.refused(ended.permit, clock_ms());
    }
    ended.client = nullptr;
    drop(ended);
}

void outbound::drop(connection& ended) {
    if (ended.permit.stage == schedule::connection_permit::stage_type::parked) {
        std::erase(parked_[ended.permit.lane], &ended);
    }
    if (ended.permit.stage != schedule::connection_permit::stage_type::closed) {
        scheduler_.close(ended.permit);
    }
    if (ended.reader != nullptr && ended.reader->busy()) {
        return; // The reader's last event comes back here.
    }
    // Not under the feet of the reader whose event this may be.
    context_.reactor.post([this, gone = &ended] { connections_.erase(gone); });
}

} // namespace ebbgate::relay
