#include "ebbgate/smtp/reply_table.h"

#include "stage/session/transaction.h"

#include <algorithm>

namespace ebbgate::session {

namespace table = smtp::reply_table;

std::size_t session::feed_data(byte_view bytes) {
    transaction& current = *transaction_;
    const smtp::data_step step = current.decoder.feed(bytes);
    if (step.fault) {
        refuse_line_ending(*step.fault);
        return step.consumed_bytes;
    }
    const std::uint64_t wire_bytes = step.carry.size() + step.message.size();
    current.message_bytes += wire_bytes - std::min<std::uint64_t>(wire_bytes, step.stuffed_dots);
    if (!current.refusal && current.message_bytes > message_bytes_max_) {
        // Beyond this point nothing of the message is kept; its end is still to be found.
        current.refusal = table::message_too_big;
        current.begun = false;
        handler_.abort_message();
    }
    if (current.refusal) {
        swallowed_bytes_ += wire_bytes;
        if (swallowed_bytes_ > settings_.limits.swallowed_bytes_max) {
            close_with(*current.refusal);
            return step.consumed_bytes;
        }
    } else {
        if (!step.carry.empty()) {
            handler_.body(step.carry);
        }
        if (!step.message.empty()) {
            handler_.body(step.message);
        }
    }
    if (!step.complete) {
        return step.consumed_bytes;
    }
    if (current.refusal) {
        const smtp::fixed_reply reply = *current.refusal;
        phase_ = phase::command;
        forget_transaction();
        send(reply);
        enforce_limits();
        return step.consumed_bytes;
    }
    end_body();
    return step.consumed_bytes;
}

std::size_t session::feed_chunk(byte_view bytes) {
    byte_view chunk = bytes.substr(
        0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), chunk_left_bytes_)));
    const std::size_t taken = chunk.size();
    chunk_left_bytes_ -= taken;
    if (transaction_ == nullptr) {
        if (chunk_left_bytes_ == 0) {
            phase_ = phase::command;
        }
        return taken;
    }
    while (!chunk.empty()) {
        const smtp::stuffing_step step = transaction_->stuffer.next(chunk);
        if (step.fault) {
            refuse_line_ending(*step.fault);
            return taken;
        }
        if (!step.output.empty()) {
            handler_.body(step.output);
        }
        chunk.remove_prefix(step.consumed_bytes);
    }
    if (chunk_left_bytes_ == 0) {
        end_chunk();
    }
    return taken;
}

// What follows could be read in two ways, so nothing that follows is read (521 closes).
void session::refuse_line_ending(smtp::data_fault fault) {
    forget_transaction();
    send(fault == smtp::data_fault::bare_cr ? table::bare_cr_in_message
                                            : table::bare_lf_in_message);
}

void session::end_chunk() {
    if (!transaction_->last_chunk) {
        phase_ = phase::command;
        std::string text = "Ok: ";
        text += std::to_string(transaction_->chunk_bytes);
        text += " octets received";
        send(smtp::reply(250, {2, 0, 0}, std::move(text)));
        return;
    }
    const smtp::stuffing_step end = transaction_->stuffer.finish();
    if (end.fault) {
        refuse_line_ending(*end.fault);
        return;
    }
    if (!end.output.empty()) {
        handler_.body(end.output);
    }
    end_body();
}

void session::end_body() {
    // Beyond this point the message is the handler's: it is neither aborted nor forgotten by us.
    transaction_->begun = false;
    ended_message_bytes_ = transaction_->message_bytes;
    forget_transaction();
    phase_ = phase::message_answer;
    handler_.end_message();
}

} // namespace ebbgate::session
