#include "codec/dsn/due.h"

#include "ebbgate/message/envelope.h"

namespace ebbgate::dsn {

std::optional<action> report_due(byte_view sender, const recipient_event& about) noexcept {
    // NEVER stands alone; should it not, the wish for silence wins.
    if (sender.empty() || (about.notify & message::notify_never) != 0) {
        return std::nullopt;
    }
    const auto asked = [&](std::uint8_t bit) { return (about.notify & bit) != 0; };
    const bool unsaid = about.notify == 0;
    switch (about.event) {
    case event::failed:
        if (unsaid || asked(message::notify_failure)) {
            return action::failed;
        }
        break;
    case event::delayed:
        if (unsaid ? about.delay_told_unasked : asked(message::notify_delay)) {
            return action::delayed;
        }
        break;
    case event::handed_over:
        if (!about.next_hop_reports && asked(message::notify_success)) {
            return action::relayed;
        }
        break;
    case event::delivered:
        if (asked(message::notify_success)) {
            return action::delivered;
        }
        break;
    }
    return std::nullopt;
}

} // namespace ebbgate::dsn
