// Who asks: tokens, and what the audit keeps of a request.

#include "crypto/token.h"
#include "service/overlay/commands.h"

#include <ctime>

namespace ebbgate::overlay {

change by(const admin::request& asked) {
    const admin::tenant_administrator* who = asked.administrator();
    return {{asked.from().uid,
             who == nullptr ? std::string() : who->token_label,
             who == nullptr ? std::string() : who->tenant},
            asked.command()};
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
        const change who = by(asked);
        if (!store.may_change(who.who).value_or(false)) {
            return; // Denials are not worth more of the disk than changes.
        }
        audit_row row;
        row.who = who.who;
        row.what = who.command;
        row.tenant = who.who.token_tenant;
        row.result = "denied";
        (void)store.note(row); // The refusal stands, whether it can be written down or not.
    };
}

} // namespace ebbgate::overlay
