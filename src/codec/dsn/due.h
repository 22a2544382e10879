// Which recipient's outcome its sender is told of.
//
// Input   What happened to one recipient, what NOTIFY said for it, and whether the next hop was
//         given NOTIFY and so reports in our place.
// Output  The action that a report names, or nothing.
// Owner   A free function.
// Fails   Never. A message from <> is never reported on: two gateways would report on each other's
//         reports for ever.
// Specs   RFC 3461 sections 4.1, 5.2 and 6.2; RFC 5321 section 4.5.5.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <optional>

namespace ebbgate::dsn {

enum class action : std::uint8_t {
    failed,
    delayed,
    relayed,   // Handed to a host that will not report.
    delivered, // To the mailbox.
};

// RFC 3464 2.3.3.
[[nodiscard]] constexpr byte_view name_of(action one) noexcept {
    switch (one) {
    case action::failed:
        return "failed";
    case action::delayed:
        return "delayed";
    case action::relayed:
        return "relayed";
    case action::delivered:
        return "delivered";
    }
    return "failed";
}

enum class event : std::uint8_t {
    failed,      // Refused, or given up; also by us before any attempt.
    delayed,     // Not delivered for long, and still tried.
    handed_over, // The next hop took the message.
    delivered,   // We put it where it ends: nobody is behind us.
};

struct recipient_event {
    dsn::event event = dsn::event::failed;
    std::uint8_t notify = 0;        // message::notify_*; 0: the parameter was not given.
    bool next_hop_reports = false;  // It announced DSN and was given this NOTIFY.
    bool delay_told_unasked = true; // RFC 3461 4.1 leaves it to us when NOTIFY was not given.
};

[[nodiscard]] std::optional<action> report_due(byte_view sender,
                                               const recipient_event& about) noexcept;

} // namespace ebbgate::dsn
