// Who asks: tokens, and what the audit keeps of a request.

#include "crypto/token.h"
#include "service/overlay/commands.h"

#include <ctime>
#include <utility>

namespace ebbgate::overlay {

change by(const admin::request& asked) {
    const admin::tenant_administrator* who = asked.administrator();
    return {{asked.from().uid,
             who == nullptr ? std::string() : who->token_label,
             who == nullptr ? std::string() : who->tenant},
            asked.command()};
}

audit_row audit_row_of(const admin::request& asked, const admin::change_note& done) {
    change who = by(asked);
    audit_row row;
    row.who = std::move(who.who);
    row.what = who.command;
    row.tenant = done.tenant;
    row.subject = done.subject;
    row.before = done.before;
    row.after = done.after;
    row.result = done.result;
    return row;
}

admin::audit audit_of(overlay_store& store, std::function<void(const std::string& why)> on_fault) {
    admin::audit made;
    made.note = [&store, on_fault = std::move(on_fault)](const admin::request& asked,
                                                         const admin::change_note& done) {
        if (const auto noted = store.note(audit_row_of(asked, done)); !noted) {
            on_fault("audit: " + noted.error().detail);
        }
    };
    made.may_change = [&store](const admin::request& asked) {
        return store.may_change(by(asked).who).value_or(false);
    };
    return made;
}

admin::dispatcher::token_check token_check_of(overlay_store& store) {
    return [&store](std::string_view text) -> std::optional<admin::tenant_administrator> {
        if (!crypto::is_token(text)) {
            return std::nullopt;
        }
        const auto found = store.find_token(crypto::token_digest(text), std::time(nullptr));
        if (!found || !*found) {
            return std::nullopt; // A store that cannot be read lets nobody in.
        }
        return admin::tenant_administrator{(*found)->tenant, (*found)->label};
    };
}

admin::dispatcher::denial_note denial_note_of(overlay_store& store) {
    return [&store](const admin::request& asked) {
        const actor who = by(asked).who;
        if (!store.may_change(who).value_or(false)) {
            return; // Denials are not worth more of the disk than changes.
        }
        // The refusal stands, whether it can be written down or not.
        (void)store.note(audit_row_of(asked, {.tenant = who.token_tenant, .result = "denied"}));
    };
}

} // namespace ebbgate::overlay
