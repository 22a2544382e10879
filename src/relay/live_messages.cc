#include "relay/live_messages.h"

#include "ebbgate/base/assert.h"
#include "ebbgate/spool/stored_meta.h"

#include "runtime/task/reactor.h"

#include <utility>

namespace ebbgate::relay {

queued_message& live_messages::add(std::unique_ptr<queued_message> message) {
    queued_message& added = *message;
    warm_[added.envelope.id] = std::move(message);
    return added;
}

queued_message* live_messages::find(std::uint64_t id) noexcept {
    const auto found = warm_.find(id);
    return found == warm_.end() ? nullptr : found->second.get();
}

const queued_message* live_messages::find(std::uint64_t id) const noexcept {
    const auto found = warm_.find(id);
    return found == warm_.end() ? nullptr : found->second.get();
}

const spool::location* live_messages::where(std::uint64_t id) const noexcept {
    if (const auto found = warm_.find(id); found != warm_.end()) {
        return &found->second->where;
    }
    const cold_message* cold = cold_.find(id);
    return cold == nullptr ? nullptr : &cold->where;
}

void live_messages::moved(std::uint64_t id, const spool::location& where) noexcept {
    if (queued_message* warm = find(id)) {
        warm->where = where;
    } else if (cold_message* cold = cold_.find(id)) {
        cold->where = where;
    }
}

void live_messages::item_left(std::uint64_t id,
                              std::uint32_t slot,
                              std::uint32_t sibling) noexcept {
    const auto leave = [&](auto& message) {
        if (message.first_slot == slot) {
            message.first_slot = sibling;
        }
        EBBGATE_ASSERT(message.items > 0);
        --message.items;
    };
    if (queued_message* warm = find(id)) {
        leave(*warm);
    } else if (cold_message* cold = cold_.find(id)) {
        leave(*cold);
    }
}

std::uint32_t live_messages::first_slot(std::uint64_t id) const noexcept {
    if (const auto found = warm_.find(id); found != warm_.end()) {
        return found->second->first_slot;
    }
    const cold_message* cold = cold_.find(id);
    return cold == nullptr ? schedule::no_slot : cold->first_slot;
}

schedule::recipient_set live_messages::outstanding(std::uint64_t id) const {
    schedule::recipient_set all;
    const std::uint32_t first = first_slot(id);
    for (std::uint32_t slot = first; slot != schedule::no_slot;) {
        scheduler_.item_at(slot).recipients.for_each([&](std::uint32_t index) { all.add(index); });
        slot = scheduler_.sibling_of(slot);
        if (slot == first) {
            break;
        }
    }
    return all;
}

std::uint64_t live_messages::cool(queued_message& message) {
    if (message.users > 0 || message.is_damaged) {
        return 0;
    }
    const std::uint64_t freed = message.body.bytes();
    cold_.add({message.envelope.id, message.where, message.first_slot, message.items});
    warm_.erase(message.envelope.id);
    return freed;
}

void live_messages::erase(std::uint64_t id) {
    if (warm_.erase(id) == 0 && cold_.find(id) != nullptr) {
        cold_.take(id);
    }
}

void live_messages::with(std::uint64_t id, use then) {
    if (queued_message* warm = find(id)) {
        keep(*warm);
        then(warm, nullptr);
        let_go(*warm);
        return;
    }
    if (cold_.find(id) == nullptr) {
        then(nullptr, nullptr);
        return;
    }
    if (const auto under_way = readings_.find(id); under_way != readings_.end()) {
        under_way->second->waiting.push_back(std::move(then));
        return;
    }
    if (readings_.size() < readings_max) {
        std::vector<use> waiting;
        waiting.push_back(std::move(then));
        start(id, std::move(waiting));
        return;
    }
    std::vector<use>& waiting = queued_[id];
    if (waiting.empty()) {
        queue_.push_back(id);
    }
    waiting.push_back(std::move(then));
}

void live_messages::let_go(queued_message& message) {
    EBBGATE_ASSERT(message.users > 0);
    if (--message.users == 0) {
        unused_(message);
    }
}

void live_messages::start(std::uint64_t id, std::vector<use> waiting) {
    auto made = std::make_unique<reading>();
    reading& begun = *made;
    begun.owner = this;
    begun.id = id;
    begun.waiting = std::move(waiting);
    begun.reader = std::make_unique<spool::message_reader>(
        disk_,
        files_,
        [](spool::message_reader&, spool::read_status status, void* who) noexcept {
            // Not inside the reader's own event: it may be given away, or end.
            reading& self = *static_cast<reading*>(who);
            self.owner->reactor_.post([&self, status] { self.owner->finish(self, status); });
        },
        &begun);
    readings_.emplace(id, std::move(made));
    begun.reader->start(id, cold_.find(id)->where, spool::read_scope::envelope);
}

queued_message* live_messages::warm_up(std::uint64_t id, byte_view meta) {
    if (queued_message* already = find(id)) {
        return already;
    }
    const cold_message* cold = cold_.find(id);
    auto stored = spool::decode_meta(meta);
    if (cold == nullptr || !stored) {
        return nullptr;
    }
    auto message = std::make_unique<queued_message>();
    message->prefix = stored->prefix;
    message->envelope = std::move(stored->envelope);
    message->where = cold->where;
    message->body_bytes = cold->where.body_bytes;
    message->outstanding = outstanding(id);
    message->items = cold->items;
    message->first_slot = cold->first_slot;
    cold_.take(id);
    return &add(std::move(message));
}

void live_messages::finish(reading& done, spool::read_status status) {
    const std::unique_ptr<reading> ended = std::move(readings_.extract(done.id).mapped());
    queued_message* message = warm_up(ended->id, ended->reader->meta());
    if (message != nullptr && status == spool::read_status::damaged) {
        message->is_damaged = true;
    }
    const bool is_whole = status == spool::read_status::ready;
    if (message != nullptr) {
        keep(*message); // Until all have had it: the first may be through with it at once.
    }
    for (use& then : ended->waiting) {
        then(message, is_whole ? std::move(ended->reader) : nullptr);
    }
    if (message != nullptr) {
        let_go(*message);
    }
    while (!queue_.empty() && readings_.size() < readings_max) {
        const std::uint64_t id = queue_.front();
        queue_.pop_front();
        std::vector<use> waiting = std::move(queued_.extract(id).mapped());
        if (find(id) == nullptr && cold_.find(id) != nullptr && !readings_.contains(id)) {
            start(id, std::move(waiting));
            continue;
        }
        for (use& then : waiting) {
            with(id, std::move(then));
        }
    }
}

} // namespace ebbgate::relay
