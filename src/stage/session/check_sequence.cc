#include "stage/session/check_sequence.h"

#include "ebbgate/smtp/reply_table.h"

namespace ebbgate::session {

namespace table = smtp::reply_table;

refusal check_nothing(const sequence_state& /*state*/) {
    return std::nullopt;
}

refusal check_mail(const sequence_state& state) {
    if (!state.greeted) {
        return table::greeting_required;
    }
    if (state.in_transaction) {
        return table::nested_mail;
    }
    if (state.tls_required && !state.tls_active) {
        return table::tls_required;
    }
    return std::nullopt;
}

refusal check_rcpt(const sequence_state& state) {
    if (!state.in_transaction) {
        return table::mail_required;
    }
    if (state.bdat_begun) {
        return table::recipient_after_bdat;
    }
    return std::nullopt;
}

refusal check_data(const sequence_state& state) {
    if (!state.in_transaction) {
        return table::mail_required;
    }
    if (state.bdat_begun) {
        return table::data_after_bdat;
    }
    if (!state.has_recipients) {
        return state.recipient_refused ? table::no_valid_recipients : table::recipient_required;
    }
    return std::nullopt;
}

refusal check_bdat(const sequence_state& state) {
    if (state.bdat_failed) {
        return table::bdat_out_of_sequence;
    }
    if (!state.in_transaction) {
        return table::mail_required;
    }
    if (!state.has_recipients) {
        return state.recipient_refused ? table::no_valid_recipients : table::recipient_required;
    }
    return std::nullopt;
}

refusal check_auth(const sequence_state& state) {
    // First: whatever came before, a password in the clear is one too many.
    if (state.authentication_offered && !state.tls_active) {
        return table::authentication_needs_tls;
    }
    if (!state.extended) {
        return table::authentication_needs_ehlo;
    }
    if (!state.authentication_offered) {
        return table::authentication_not_offered;
    }
    if (state.in_transaction) {
        return table::authentication_during_mail;
    }
    if (state.authenticated) {
        return table::already_authenticated;
    }
    return std::nullopt;
}

refusal check_starttls(const sequence_state& state) {
    if (state.tls_active) {
        return table::tls_already_active;
    }
    if (!state.tls_available) {
        return table::tls_not_offered;
    }
    if (!state.extended) {
        return table::greeting_required;
    }
    if (state.in_transaction) {
        return table::tls_during_mail;
    }
    return std::nullopt;
}

} // namespace ebbgate::session
