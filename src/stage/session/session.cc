#include "stage/session/session.h"

#include "ebbgate/smtp/reply_table.h"

#include "stage/session/sasl_exchange.h"
#include "stage/session/transaction.h"

namespace ebbgate::session {

namespace table = smtp::reply_table;

session::session(const settings& settings, handler& handler) noexcept
    : settings_(settings), handler_(handler), message_bytes_max_(settings.limits.message_bytes_max),
      tls_active_(settings.implicit_tls) {}

session::~session() = default;

void session::start() {
    if (const auto refused = handler_.check_client()) {
        close_with(*refused);
        return;
    }
    std::string text = hostname();
    text += " ESMTP Ebbgate";
    send(smtp::reply(220, {}, std::move(text)));
}

std::size_t session::feed(byte_view bytes, bool more_behind) {
    more_behind_ = more_behind;
    if (phase_ == phase::tls_handshake && !bytes.empty()) {
        // Not TLS, or it would not have come here. The 220 is out, so there is nothing to reply.
        close_now();
    }
    byte_view rest = bytes;
    while (!rest.empty() && !waiting() && !closed()) {
        std::size_t taken = 0;
        if (phase_ == phase::data) {
            taken = feed_data(rest);
        } else if (phase_ == phase::chunk) {
            taken = feed_chunk(rest);
        } else {
            taken = feed_line(rest);
        }
        rest.remove_prefix(taken);
    }
    return closed() ? bytes.size() : bytes.size() - rest.size();
}

std::size_t session::feed_line(byte_view bytes) {
    const bool sasl = phase_ == phase::sasl;
    const smtp::line_step step =
        reader_.next(bytes, sasl ? smtp::line_kind::sasl : smtp::line_kind::command);
    if (step.outcome == smtp::line_outcome::need_more) {
        return step.consumed_bytes;
    }
    bytes_follow_ = more_behind_ || step.consumed_bytes < bytes.size();
    if (step.outcome != smtp::line_outcome::line) {
        on_line_fault(step);
    } else if (sasl) {
        on_sasl_line(step.line);
    } else {
        on_command(step.line);
    }
    enforce_limits();
    return step.consumed_bytes;
}

void session::on_line_fault(const smtp::line_step& step) {
    const bool too_long =
        step.outcome == smtp::line_outcome::too_long || step.outcome == smtp::line_outcome::endless;
    if (phase_ == phase::sasl) {
        end_sasl(too_long ? table::sasl_line_too_long : table::bad_sasl_response);
    } else {
        current_verb_ = smtp::verb::unknown;
        ++counters_.commands;
        ++counters_.total[static_cast<std::size_t>(current_verb_)];
        // A chunk follows, how long is unknown, and it must not be read as commands.
        if (smtp::verb_of(step.line.substr(0, step.line.find_last_not_of("\r\n") + 1)) ==
            smtp::verb::bdat) {
            send(table::bad_bdat);
        } else {
            send(too_long ? table::line_too_long : table::bare_line_ending);
        }
    }
    if (step.outcome == smtp::line_outcome::endless) {
        close_now();
    }
}

void session::on_command(byte_view line) {
    current_verb_ = smtp::verb_of(line);
    ++counters_.commands;
    ++counters_.total[static_cast<std::size_t>(current_verb_)];
    const bool smtputf8 = transaction_ != nullptr && transaction_->smtputf8;
    const auto command = smtp::parse_command(line, smtputf8);
    // RCPT has limits of its own; chunks with something in them are limited by the message size.
    if (current_verb_ != smtp::verb::rcpt &&
        (!command || command->chunk_bytes == 0 || bdat_failed_)) {
        ++commands_without_message_;
    }
    if (!command) {
        send(smtp::reply_for(command.error()));
        return;
    }
    dispatch(*command);
}

void session::send(const smtp::fixed_reply& reply) {
    if (reply.code() < 400) {
        note_success(reply.code());
    } else {
        note_refusal(reply);
    }
    handler_.send(reply.wire());
    if (reply.code() == 421 || reply.code() == 521) {
        close_now();
    }
}

void session::send(const smtp::reply& reply) {
    if (reply.code < 400) {
        note_success(reply.code);
    } else {
        note_refusal(reply);
    }
    handler_.send(smtp::to_wire(reply));
    if (reply.code == 421 || reply.code == 521) {
        close_now();
    }
}

void session::note_success(int code) {
    // 334 and 354 are half-way; the final reply counts.
    if (code < 300) {
        ++counters_.accepted[static_cast<std::size_t>(current_verb_)];
    }
}

void session::note_refusal(const smtp::reply& reply) {
    ++counters_.errors;
    // Chunks behind a failed one are the same error again. Recipients are counted on their own,
    // so that a long list with dead addresses in it does not end the session.
    if (reply.code >= 500 && current_verb_ != smtp::verb::rcpt && !bdat_failed_) {
        ++errors_;
    }
    const bool of_a_message = current_verb_ == smtp::verb::mail ||
                              current_verb_ == smtp::verb::data ||
                              current_verb_ == smtp::verb::bdat;
    // Not those behind a refused MAIL, of which there may be many.
    const bool of_a_recipient = current_verb_ == smtp::verb::rcpt && transaction_ != nullptr &&
                                !std::exchange(recipient_told_, false);
    if (reply.code == 521 ||
        ((of_a_message || of_a_recipient) && reply.code != 421 && !bdat_failed_)) {
        handler_.refused(current_verb_, reply, {});
    }
}

void session::end_for(const smtp::reply& fault, std::string_view rule) {
    handler_.refused(current_verb_, fault, rule);
    close_with(fault);
}

void session::enforce_limits() {
    if (closed() || waiting()) {
        return;
    }
    if (errors_ >= settings_.limits.errors_max) {
        end_for(table::too_many_errors, "max_errors_per_connection");
    } else if (authentications_failed_ >= settings_.limits.authentications_failed_max) {
        end_for(table::too_many_authentications, "failed logins of a session");
    } else if (refused_recipients_ >= settings_.limits.refused_recipients_max) {
        end_for(table::too_many_refused_recipients, "refused recipients of a session");
    } else if (counters_.commands > settings_.limits.commands_max) {
        end_for(table::session_too_long, "max_commands_per_connection");
    } else if (commands_without_message_ > settings_.limits.commands_without_message_max) {
        end_for(table::too_many_commands, "commands of a session without a message");
    }
}

void session::message_refused(const smtp::reply& reply, strike_cause cause) {
    if (phase_ == phase::message_answer) {
        strike(cause, reply);
    }
}

void session::strike(strike_cause cause, const smtp::reply& reply) {
    struck_ = std::make_unique<smtp::reply>(reply);
    phase_ = phase::strike_answer;
    handler_.strike(cause);
}

void session::strike_settled(bool banned) {
    if (phase_ != phase::strike_answer) {
        return;
    }
    const std::unique_ptr<smtp::reply> reply = std::move(struck_);
    phase_ = phase::command;
    send(*reply);
    if (banned) {
        close_now();
    } else if (close_after_answer_) {
        close_with(table::closing_down);
    } else {
        enforce_limits();
    }
}

void session::message_finished(const smtp::reply& reply) {
    if (phase_ != phase::message_answer) {
        return;
    }
    phase_ = phase::command;
    if (reply.code >= 200 && reply.code < 300) {
        ++counters_.messages_accepted;
        errors_ = 0;
        refused_recipients_ = 0;
        commands_without_message_ = 0;
        swallowed_bytes_ = 0;
    }
    send(reply);
    if (close_after_answer_) {
        close_with(table::closing_down);
    } else {
        enforce_limits();
    }
}

void session::forget_transaction() {
    bdat_failed_ = false;
    if (transaction_ == nullptr) {
        return;
    }
    const bool begun = transaction_->begun;
    transaction_.reset();
    if (begun) {
        handler_.abort_message();
    } else {
        handler_.transaction_dropped();
    }
}

void session::close_now() {
    if (closed()) {
        return;
    }
    forget_transaction();
    sasl_.reset();
    reader_.forget();
    phase_ = phase::closed;
    handler_.close();
}

void session::close_with(const smtp::reply& reply) {
    if (closed()) {
        return;
    }
    // Within a handshake no reply can be read.
    if (phase_ != phase::tls_handshake) {
        send(reply);
    }
    close_now();
}

void session::timed_out() {
    end_soon(table::idle_too_long);
}

void session::lasted_too_long() {
    end_soon(table::session_lasts_too_long);
}

void session::shut_down() {
    end_soon(table::closing_down);
}

void session::end_soon(const smtp::fixed_reply& reply) {
    if (phase_ == phase::message_answer || phase_ == phase::strike_answer) {
        close_after_answer_ = true;
        return;
    }
    close_with(reply);
}

void session::cut() {
    if (phase_ == phase::message_answer || phase_ == phase::strike_answer) {
        close_after_answer_ = true;
        return;
    }
    close_now();
}

void session::connection_lost() {
    forget_transaction();
    sasl_.reset();
    reader_.forget();
    phase_ = phase::closed;
}

deadline_kind session::deadline() const noexcept {
    switch (phase_) {
    case phase::command:
        return deadline_kind::command;
    case phase::sasl:
        return deadline_kind::sasl;
    case phase::data:
    case phase::chunk:
        return deadline_kind::data;
    case phase::tls_handshake:
        return deadline_kind::tls_handshake;
    case phase::sasl_answer:
    case phase::message_answer:
    case phase::strike_answer:
        return deadline_kind::none;
    case phase::closed:
        break;
    }
    return deadline_kind::closed;
}

byte_view session::protocol(bool smtputf8) const noexcept {
    if (!extended_) {
        return "SMTP";
    }
    if (tls_active_ && authenticated_) {
        return smtputf8 ? "UTF8SMTPSA" : "ESMTPSA";
    }
    if (tls_active_) {
        return smtputf8 ? "UTF8SMTPS" : "ESMTPS";
    }
    return smtputf8 ? "UTF8SMTP" : "ESMTP";
}

} // namespace ebbgate::session
