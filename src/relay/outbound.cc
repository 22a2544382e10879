#include "relay/outbound.h"

#include "ebbgate/base/assert.h"
#include "ebbgate/spool/stored_meta.h"

#include "runtime/resolve/address_rules.h"

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
    settings.notice_age_ms = ms(delivery.retry.delay_notice);
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

constexpr std::int64_t held_up_ms = 100;
constexpr std::size_t grants_max = 128; // A turn.
constexpr std::size_t endings_max = 64; // At a time.

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    EBBGATE_ASSERT(getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed));
    return seed;
}

dns::mail_hosts_settings dns_settings_of(const config::server& server) {
    dns::mail_hosts_settings settings;
    settings.rules.own_names = {config::lower_ascii(server.hostname)};
    settings.rules.own_addresses = dns::own_addresses();
    settings.rules.family = server.dns.family;
    settings.rules.allow_private = server.dns.allow_private;
    return settings;
}

void note_hard_bounce(context& context,
                      const message::envelope& envelope,
                      const recipient_end& end,
                      std::string_view name) {
    const policy::tenant* tenant = context.policy->find_tenant(envelope.tenant);
    if (tenant == nullptr || !tenant->suppression_keep || end.reply->code / 100 != 5 ||
        !context.bounce_rules->is_hard(name)) {
        return;
    }
    const std::int64_t now_s = context.reactor.unix_us() / 1'000'000;
    const std::string reply = smtp::to_line(*end.reply);
    context.suppression.note_bounce({envelope.tenant,
                                     envelope.recipients[end.index].address,
                                     name,
                                     reply,
                                     now_s,
                                     now_s + tenant->suppression_keep->count()});
}

} // namespace

outbound::outbound(relay::context& context)
    : context_(context), scheduler_(settings_of(context.policy->delivery()), random_seed()),
      messages_(context.reactor, context.device, context.writer.files(), scheduler_),
      reporter_(context, messages_),
      dns_(context.reactor, context.names, dns_settings_of(context.server)),
      tls_policies_(context.reactor, context.names, context.sts), draw_(random_seed()) {
    scheduler_.set_soon_due([this](std::span<const std::uint64_t> ids) { messages_.ask_for(ids); });
    messages_.set_unused([this](queued_message& message) { unused(message); });
    reporter_.set_queue([this](std::unique_ptr<queued_message> report) { add(std::move(report)); },
                        [this](queued_message& message) { settle(message); });
    wake_timer_.owner = this;
    wake_timer_.on_expire = [](task::timer& timer) noexcept {
        static_cast<outbound_wake_timer&>(timer).owner->wake_at_ms_ = -1;
    };
    policy_changed();
}

outbound::~outbound() {
    context_.reactor.timers().clear(wake_timer_);
}

void outbound::policy_changed() {
    const policy::delivery_settings& delivery = context_.policy->delivery();
    ++policy_number_;
    scheduler_.configure(settings_of(delivery));
    set_timeouts(client_settings_, delivery.timeouts);
    client_settings_.chunking = delivery.chunking;
    client_settings_.bounce_eight_bit = delivery.eight_bit == policy::eight_bit_mode::bounce;
    connections_max_ = std::max<std::size_t>(
        1,
        std::min<std::size_t>(delivery.connections_max, context_.descriptors_max) /
            context_.shard_count);
    for (const auto& [key, one] : connections_) {
        if (one->client != nullptr && one->source.address) {
            const auto sources = sources_in_order(*context_.policy, *one->to, "", 0);
            if (std::none_of(sources.begin(), sources.end(), [&](const delivery_source& source) {
                    return source.address == one->source.address;
                })) {
                send_away(one.get()); // Drained, or no longer the tenant's.
            }
        }
    }
    lines_.look_at_all(clock_ms());
    const auto waiting = std::exchange(unrouted_, {});
    waiting.for_each([this](std::uint64_t id) { place_again(id, held_routes::hold, [](bool) {}); });
}

std::int64_t outbound::clock_ms() const noexcept {
    return static_cast<std::int64_t>(context_.reactor.now_ms());
}

std::int64_t outbound::unix_ms_at(std::int64_t at_ms) const {
    return context_.reactor.unix_us() / 1000 + (at_ms - clock_ms());
}

void outbound::add(std::unique_ptr<queued_message> message) {
    enqueue(messages_.add(std::move(message)), {});
}

queued_message* outbound::restore(const spool::recovered_message& recovered,
                                  byte_view meta,
                                  delivery_state& state) {
    auto stored = spool::decode_meta(meta);
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
    return &messages_.add(std::move(message));
}

void outbound::add_recovered(const spool::recovered_message& recovered, byte_view meta) {
    delivery_state state;
    if (queued_message* added = restore(recovered, meta, state); added != nullptr) {
        enqueue(*added, state);
    }
}

void outbound::bounce_damaged(const spool::recovered_message& recovered, byte_view meta) {
    delivery_state state;
    queued_message* added = restore(recovered, meta, state);
    if (added == nullptr) {
        return;
    }
    live_messages::keep(*added);
    added->is_damaged = true;
    const smtp::reply reply = damaged_reply();
    state.outstanding.for_each([&](std::uint32_t index) {
        finish_recipient(
            *added, {index, outcome::event_type::bounce, &reply, "", state.attempts}, {});
    });
    reporter_.send(*added);
    messages_.let_go(*added);
}

std::string_view outbound::class_of(const smtp::reply& reply) const {
    return context_.bounce_rules->classify(reply.code, reply.status, reply.text);
}

void outbound::finish_recipient(queued_message& message,
                                const recipient_end& end,
                                const attempt_place& place) {
    const std::int64_t now_us = context_.reactor.unix_us();
    const bool is_delivered = end.type == outcome::event_type::delivery;
    const message::envelope& envelope = message.envelope;
    message.outstanding.remove(end.index);
    std::string last_reply;
    if (end.type == outcome::event_type::expiration) {
        if (const auto* note = attempts_.find(envelope.id, end.index)) {
            last_reply = note->reply;
        }
    }
    attempts_.forget(envelope.id, end.index);
    ++(is_delivered ? context_.counters.deliveries : context_.counters.bounces);
    const std::string_view name = is_delivered ? std::string_view()
                                  : end.type == outcome::event_type::expiration
                                      ? std::string_view("MessageExpired")
                                      : class_of(*end.reply);
    context_.journal.attempted(now_us,
                               envelope,
                               message.bytes(),
                               {end.type, end.index, end.reply, end.command, end.attempts, name},
                               place);
    if (end.type == outcome::event_type::bounce && !place.host.empty()) {
        note_hard_bounce(context_, envelope, end, name);
    }
    if (end.is_quiet || (is_delivered && place.host.empty())) {
        return; // Discarded, as the operator wishes.
    }
    report_line line;
    line.recipient = end.index;
    line.event.event = is_delivered ? dsn::event::handed_over : dsn::event::failed;
    line.event.next_hop_reports = end.dsn_passed_on;
    line.reply = *end.reply;
    line.expired = end.type == outcome::event_type::expiration;
    if (end.is_said) {
        line.host = place.host;
    } else {
        line.reply.code = 0;
        if (!last_reply.empty()) {
            line.reply.text += "; the last attempt: " + last_reply;
        }
    }
    line.last_attempt_unix_s = place.host.empty() ? 0 : now_us / 1'000'000;
    reporter_.note(message, line);
}

// Of an item that has become late: its sender is told once, and may do something else.
void outbound::note_late(const schedule::delivery_item& item) {
    messages_.with(item.message_id, [this, item](queued_message* message, auto) {
        if (message == nullptr) {
            return;
        }
        const message::envelope& envelope = message->envelope;
        const std::int64_t max_age_s = context_.policy->delivery().retry.max_age.count();
        item.recipients.for_each([&](std::uint32_t index) {
            if (!message->outstanding.contains(index)) {
                return; // It has ended meanwhile.
            }
            report_line line;
            line.recipient = index;
            line.event.event = dsn::event::delayed;
            line.retry_until_unix_s = envelope.received_unix_ms / 1000 + max_age_s;
            if (const auto* note = attempts_.find(envelope.id, index)) {
                line.reply = smtp::reply(0, {4, 0, 0}, note->reply);
                line.last_attempt_unix_s = unix_ms_at(note->made_ms) / 1000;
            } else {
                line.reply = smtp::reply(0, {4, 4, 1}, "It has not been possible to try it yet");
            }
            reporter_.note(*message, line);
        });
        settle(*message); // That it was told.
        reporter_.send(*message);
    });
}

void outbound::settle(queued_message& message) {
    if (message.outstanding.empty() && message.reporting.empty()) {
        return; // It ends: nothing is to be remembered.
    }
    // Also without an attempt, when some recipients have ended: they must not end twice.
    if (const std::string state = state_of(message.envelope.id); !state.empty()) {
        context_.writer.note_state(message.envelope.id, state);
    }
}

std::string outbound::state_of(std::uint64_t message_id) const {
    delivery_state state;
    for (const std::uint32_t slot : slots_of(message_id)) {
        const schedule::waiting_item item = scheduler_.look_at(slot, clock_ms());
        state.attempts = std::max<std::uint32_t>(state.attempts, item.attempts);
        state.is_noticed = state.is_noticed || item.is_noticed;
        if (item.is_deferred && !item.is_put_off) { // A suspension is remembered by itself.
            state.next_unix_ms = std::max(state.next_unix_ms, unix_ms_at(item.due_ms));
        }
    }
    state.outstanding = messages_.outstanding(message_id);
    std::size_t recipients = 0; // Unknown of a cold one, of which the spool knows already.
    if (const queued_message* warm = messages_.find(message_id)) {
        recipients = warm->envelope.recipients.size();
        for (const auto* more : {&warm->outstanding, &warm->reporting}) {
            more->for_each([&](std::uint32_t index) { state.outstanding.add(index); });
        }
    }
    const bool is_new = state.attempts == 0 && !state.is_noticed && state.next_unix_ms == 0 &&
                        state.outstanding.count() == recipients;
    return state.outstanding.empty() || is_new ? std::string() : encode_state(state);
}

void outbound::unused(queued_message& message) {
    const std::uint64_t id = message.envelope.id;
    if (!message.outstanding.empty() || !message.reporting.empty() || message.items > 0) {
        if (!message.hot && message.reporting.empty()) {
            context_.counters.hot_bytes -= messages_.cool(message);
        }
        return;
    }
    // Beyond this point the message is gone: its outcomes are in the log, its bytes may be reused.
    context_.writer.mark_done(id, message.where);
    unrouted_.erase(id);
    attempts_.forget(id);
    context_.counters.hot_bytes -= message.body.bytes();
    ++context_.counters.messages_done;
    context_.journal.removed(context_.reactor.unix_us(), id);
    messages_.erase(id);
}

void outbound::item_done(queued_message& message, const schedule::delivery_item& item) {
    messages_.item_left(message.envelope.id, item.slot, scheduler_.done(item));
}

void outbound::end(const schedule::delivery_item& item,
                   outcome::event_type type,
                   const smtp::reply& reply,
                   bool is_quiet) {
    endings_.push_back({item, type, reply, key_of(item.lane), is_quiet});
    end_next();
}

// Each needs its envelope, which is mostly on the disk.
void outbound::end_next() {
    while (!endings_.empty() && ending_count_ < endings_max && !reporter_.is_busy()) {
        auto next = std::make_shared<ending>(std::move(endings_.front()));
        endings_.pop_front();
        ++ending_count_;
        const std::uint64_t id = next->item.message_id;
        messages_.with(id, [this, next, id](queued_message* message, auto) {
            --ending_count_;
            if (message == nullptr) {
                // Unreadable, for now or for ever: it stays, and is looked at again.
                context_.journal.note(context_.reactor.unix_us(),
                                      "qmgr",
                                      message::to_text(id) +
                                          ": cannot be read from the spool, and stays there");
                scheduler_.put_aside(next->item,
                                     clock_ms() +
                                         context_.policy->delivery().retry.max.count() * 1000,
                                     clock_ms());
                return;
            }
            attempt_place place;
            place.site = next->site;
            next->item.recipients.for_each([&](std::uint32_t index) {
                finish_recipient(*message,
                                 {index,
                                  next->type,
                                  &next->reply,
                                  "",
                                  next->item.attempts,
                                  false,
                                  next->is_quiet},
                                 place);
            });
            messages_.item_left(id, next->item.slot, scheduler_.drop(next->item));
            settle(*message);
            reporter_.send(*message);
        });
    }
}

bool outbound::on_turn() noexcept {
    const std::int64_t now_ms = clock_ms();
    bool is_more = false;
    // What ends is told to its sender: no faster than that can be written.
    while (endings_.size() < endings_waiting_max) {
        const auto item = scheduler_.next_expired(now_ms);
        if (!item) {
            break;
        }
        end(*item, outcome::event_type::expiration, expired_reply());
    }
    while (!reporter_.is_busy() && messages_.reading_count() < live_messages::readings_max) {
        const auto item = scheduler_.next_late(now_ms);
        if (!item) {
            break;
        }
        note_late(*item);
    }
    while (!reporter_.is_busy() && messages_.reading_count() < live_messages::readings_max) {
        const auto id = unrouted_.take_due(now_ms);
        if (!id) {
            break;
        }
        expire_unrouted(*id);
    }
    end_next();
    if (!stopping_) {
        unblock_due(now_ms);
        is_more = !grant_some(now_ms);
        forget_destinations();
        set_wake_timer();
    }
    return is_more;
}

// False: there is more to grant. Sessions and commits have their turn in between.
bool outbound::grant_some(std::int64_t now_ms) {
    for (std::size_t granted = 0; granted < grants_max; ++granted) {
        const auto work = scheduler_.next_due(now_ms);
        if (!work) {
            return true;
        }
        if (work->action == schedule::grant_action::open) {
            open(work->lane);
        } else {
            wake(work->lane);
        }
    }
    return false;
}

void outbound::set_wake_timer() {
    auto next_ms = scheduler_.next_wakeup_ms(clock_ms());
    for (const auto& other_ms : {blocked_until_.next_ms(), lines_.next_ms(), unrouted_.next_ms()}) {
        if (other_ms) {
            next_ms = next_ms ? std::min(*next_ms, *other_ms) : *other_ms;
        }
    }
    // What ends or is late waits for reports: to look each millisecond would not hasten them.
    const bool is_held_up = reporter_.is_busy() || endings_.size() >= endings_waiting_max;
    const std::int64_t at_ms =
        next_ms ? std::max(*next_ms, clock_ms() + (is_held_up ? held_up_ms : 1)) : -1;
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

} // namespace ebbgate::relay
