// The text of a message on its way to a connection: from memory, or block by block from the disk.

#include "relay/outbound.h"

#include <memory>
#include <utility>

namespace ebbgate::relay {

void outbound::send_body(deliver::client& client) {
    connection& sending = *static_cast<connection*>(client.context);
    const queued_message& message = *sending.message;
    sending.damaged = message.is_damaged;
    if (sending.damaged) {
        client.body_failed("the stored message cannot be read");
    } else if (message.hot) {
        sending.reader.reset();
        client.write_body(message.prefix);
        client.write_body(message.body);
        client.body_written();
    } else if (sending.has_envelope && message.where.body_file == spool::no_body_file) {
        sending.has_envelope = false; // The body came with it.
        sending.reader->set_handler(on_read, &sending);
        sending.block_due = false;
        client.write_body(message.prefix);
        pump_body(sending);
    } else {
        start_reader(sending);
    }
}

void outbound::on_read(spool::message_reader&, spool::read_status status, void* who) noexcept {
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
}

void outbound::start_reader(connection& sending) {
    sending.has_envelope = false;
    sending.reader = std::make_unique<spool::message_reader>(
        context_.device, context_.writer.files(), on_read, &sending);
    sending.reading = true;
    sending.block_due = false;
    sending.client->write_body(sending.message->prefix);
    sending.reader->start(sending.message->envelope.id, sending.message->where);
}

// Its own event may be what brought us here: it ends after this turn.
void outbound::free_reader(connection& used) {
    context_.reactor.post(
        [ended = std::shared_ptr<spool::message_reader>(std::move(used.reader))] {});
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
            free_reader(sending);
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

} // namespace ebbgate::relay
