#include "ebbgate/base/assert.h"

#include "stage/session/transaction.h"

namespace ebbgate::session {

sequence_state session::sequence() const noexcept {
    sequence_state state;
    state.greeted = !helo_name_.empty();
    state.extended = extended_;
    state.tls_active = tls_active_;
    state.tls_available = settings_.tls_available;
    state.tls_required = settings_.tls_required;
    state.authentication_offered = settings_.authentication_offered;
    state.authenticated = authenticated_;
    state.bdat_failed = bdat_failed_;
    if (transaction_ != nullptr) {
        state.in_transaction = true;
        state.has_recipients = transaction_->recipient_count != 0;
        state.recipient_refused = transaction_->recipient_refused;
        state.bdat_begun = transaction_->chunked;
    }
    return state;
}

// One row per verb, in the order of smtp::verb: when it is allowed, and what it does.
void session::dispatch(const smtp::command& command) {
    struct row {
        smtp::verb verb;
        refusal (*check)(const sequence_state&);
        void (session::*handle)(const smtp::command&);
    };

    static constexpr row rows[smtp::verb_count] = {
        {smtp::verb::ehlo, check_nothing, &session::on_ehlo},
        {smtp::verb::helo, check_nothing, &session::on_helo},
        {smtp::verb::mail, check_mail, &session::on_mail},
        {smtp::verb::rcpt, check_rcpt, &session::on_rcpt},
        {smtp::verb::data, check_data, &session::on_data},
        // Checks itself: a refused chunk must be read all the same.
        {smtp::verb::bdat, check_nothing, &session::on_bdat},
        {smtp::verb::rset, check_nothing, &session::on_rset},
        {smtp::verb::noop, check_nothing, &session::on_noop},
        {smtp::verb::vrfy, check_nothing, &session::on_vrfy},
        {smtp::verb::help, check_nothing, &session::on_help},
        {smtp::verb::quit, check_nothing, &session::on_quit},
        {smtp::verb::starttls, check_starttls, &session::on_starttls},
        // Checks itself: a password sent in the clear is a strike.
        {smtp::verb::auth, check_nothing, &session::on_auth},
        {smtp::verb::unimplemented, check_nothing, &session::on_unimplemented},
        {smtp::verb::http, check_nothing, &session::on_http},
        {smtp::verb::unknown, check_nothing, &session::on_unknown},
    };
    const row& found = rows[static_cast<std::size_t>(command.verb)];
    EBBGATE_ASSERT(found.verb == command.verb);
    if (const refusal refused = found.check(sequence())) {
        send(*refused);
        return;
    }
    (this->*found.handle)(command);
}

} // namespace ebbgate::session
