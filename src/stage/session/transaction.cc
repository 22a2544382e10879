#include "stage/session/transaction.h"

#include "ebbgate/smtp/reply_table.h"

namespace ebbgate::session {

namespace table = smtp::reply_table;

namespace {

static_assert(smtp::notify_never_bit == message::notify_never);
static_assert(smtp::notify_success_bit == message::notify_success);
static_assert(smtp::notify_failure_bit == message::notify_failure);
static_assert(smtp::notify_delay_bit == message::notify_delay);

message::dsn_return to_message(smtp::dsn_return_kind kind) noexcept {
    switch (kind) {
    case smtp::dsn_return_kind::full:
        return message::dsn_return::full;
    case smtp::dsn_return_kind::headers:
        return message::dsn_return::headers;
    case smtp::dsn_return_kind::unset:
        break;
    }
    return message::dsn_return::unset;
}

} // namespace

void session::on_mail(const smtp::command& command) {
    if (!authenticated_ && !handler_.may_relay()) {
        const bool tls_first =
            settings_.tls_available && settings_.authentication_offered && !tls_active_;
        send(tls_first ? table::tls_required : table::authentication_required);
        return;
    }
    if (messages_begun_ >= settings_.limits.messages_per_session_max) {
        send(table::too_many_messages);
        return;
    }
    if (const auto refused = handler_.check_sender(command.path, command.mail)) {
        if (refused->is_strike) {
            strike(strike_cause::sender, refused->reply);
        } else {
            send(refused->reply);
        }
        return;
    }
    // Behind check_sender(), which may have found new limits.
    if (command.mail.message_bytes.value_or(0) > message_bytes_max_) {
        send(table::message_too_big);
        return;
    }
    bdat_failed_ = false;
    transaction_ = std::make_unique<transaction>();
    transaction_->smtputf8 = command.mail.smtputf8;
    message::envelope& envelope = transaction_->envelope;
    envelope.sender = command.path.text;
    envelope.body = command.mail.body == smtp::body_kind::eight_bit_mime
                        ? message::body_type::eight_bit_mime
                        : message::body_type::seven_bit;
    envelope.ret = to_message(command.mail.ret);
    envelope.smtputf8 = command.mail.smtputf8;
    envelope.envelope_id = command.mail.envelope_id;
    envelope.client_helo = helo_name_;
    send(table::sender_ok);
}

void session::on_rcpt(const smtp::command& command) {
    if (transaction_->recipient_count >= settings_.limits.recipients_per_message_max) {
        ++refused_recipients_;
        send(table::too_many_recipients);
        return;
    }
    message::recipient recipient;
    recipient.address = command.path.text;
    if (command.path.domain.empty()) {
        // RFC 5321 4.5.1: <postmaster> is the one of this host.
        recipient.address += '@';
        recipient.address += hostname();
    }
    if (const auto refused = handler_.check_recipient(transaction_->envelope, recipient.address)) {
        transaction_->recipient_refused = true;
        ++refused_recipients_;
        recipient_told_ = true;
        send(*refused);
        return;
    }
    recipient.original = command.recipient.original;
    recipient.notify = command.recipient.notify;
    transaction_->envelope.recipients.push_back(std::move(recipient));
    ++transaction_->recipient_count;
    send(table::recipient_ok);
}

// False: the handler does not want the message and its reply was sent.
bool session::begin_body() {
    const auto begun = handler_.begin_message(std::move(transaction_->envelope));
    if (!begun) {
        forget_transaction();
        send(begun.error());
        return false;
    }
    ++messages_begun_;
    transaction_->begun = true;
    return true;
}

void session::on_data(const smtp::command& /*command*/) {
    if (!begin_body()) {
        return;
    }
    phase_ = phase::data;
    send(table::start_mail_input);
}

void session::on_bdat(const smtp::command& command) {
    if (const refusal refused = check_bdat(sequence())) {
        send(*refused);
        discard_chunk(command.chunk_bytes);
        return;
    }
    if (command.chunk_bytes > message_bytes_max_ - transaction_->message_bytes) {
        send(table::chunk_too_big);
        discard_chunk(command.chunk_bytes);
        return;
    }
    if (!transaction_->begun && !begin_body()) {
        discard_chunk(command.chunk_bytes);
        return;
    }
    transaction_->chunked = true;
    transaction_->chunk_bytes = command.chunk_bytes;
    transaction_->message_bytes += command.chunk_bytes;
    transaction_->last_chunk = command.last_chunk;
    chunk_left_bytes_ = command.chunk_bytes;
    phase_ = phase::chunk;
    if (chunk_left_bytes_ == 0) {
        end_chunk();
    }
}

// RFC 3030 section 2: a refused chunk is read all the same, and so are those that were pipelined
// behind it. The reply is out already.
void session::discard_chunk(std::uint64_t chunk_bytes) {
    if (closed()) {
        return;
    }
    forget_transaction();
    bdat_failed_ = true;
    if (chunk_bytes > settings_.limits.swallowed_bytes_max - swallowed_bytes_) {
        close_now();
        return;
    }
    swallowed_bytes_ += chunk_bytes;
    chunk_left_bytes_ = chunk_bytes;
    phase_ = chunk_bytes == 0 ? phase::command : phase::chunk;
}

} // namespace ebbgate::session
