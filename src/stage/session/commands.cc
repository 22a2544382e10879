#include "ebbgate/smtp/reply_table.h"

#include "stage/session/transaction.h"

namespace ebbgate::session {

namespace table = smtp::reply_table;

void session::on_ehlo(const smtp::command& command) {
    forget_transaction();
    helo_name_ = command.argument;
    extended_ = true;

    std::string text = hostname();
    text += "\nPIPELINING\nSIZE ";
    text += std::to_string(message_bytes_max_);
    if (settings_.tls_available && !tls_active_) {
        text += "\nSTARTTLS";
    }
    // RFC 4954 section 4: not offered again once it has been done, and never in the clear.
    if (settings_.authentication_offered && tls_active_ && !authenticated_) {
        text += "\nAUTH PLAIN LOGIN";
    }
    text += "\nENHANCEDSTATUSCODES\n8BITMIME\nDSN\nSMTPUTF8\nCHUNKING\nLIMITS MAILMAX=";
    text += std::to_string(settings_.limits.messages_per_session_max);
    text += " RCPTMAX=";
    text += std::to_string(recipients_max_ > 0 ? recipients_max_
                                               : settings_.limits.recipients_per_message_max);
    send(smtp::reply(250, {}, std::move(text)));
}

void session::on_helo(const smtp::command& command) {
    forget_transaction();
    helo_name_ = command.argument;
    extended_ = false;
    send(smtp::reply(250, {}, hostname()));
}

void session::on_rset(const smtp::command& /*command*/) {
    forget_transaction();
    send(table::ok);
}

void session::on_noop(const smtp::command& /*command*/) {
    send(table::ok);
}

// The same answer for every address: nobody learns here which ones exist.
void session::on_vrfy(const smtp::command& /*command*/) {
    send(table::cannot_verify);
}

void session::on_help(const smtp::command& /*command*/) {
    send(table::help);
}

void session::on_quit(const smtp::command& /*command*/) {
    forget_transaction();
    send(table::bye);
    close_now();
}

void session::on_starttls(const smtp::command& /*command*/) {
    // What is already here was sent in the clear. It could have been put there by somebody in the
    // middle, to be taken for something sent through TLS (CVE-2011-0411).
    if (bytes_follow_) {
        close_with(table::plaintext_after_starttls);
        return;
    }
    send(table::starttls_ready);
    // Beyond this point everything received belongs to the handshake.
    phase_ = phase::tls_handshake;
    handler_.start_tls();
}

void session::tls_started() {
    if (phase_ != phase::tls_handshake) {
        return;
    }
    // RFC 3207 4.2: nothing that the client said in the clear counts any more.
    forget_transaction();
    reader_.forget();
    helo_name_.clear();
    extended_ = false;
    authenticated_ = false;
    tls_active_ = true;
    message_bytes_max_ = settings_.limits.message_bytes_max;
    phase_ = phase::command;
}

void session::on_unimplemented(const smtp::command& /*command*/) {
    send(table::not_implemented);
}

void session::on_http(const smtp::command& /*command*/) {
    send(table::not_http);
}

void session::on_unknown(const smtp::command& /*command*/) {
    send(table::unknown_command);
}

} // namespace ebbgate::session
