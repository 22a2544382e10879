#include "ebbgate/message/envelope.h"

#include "codec/dsn/due.h"

#include <gtest/gtest.h>

namespace ebbgate::dsn {
namespace {

using message::notify_delay;
using message::notify_failure;
using message::notify_never;
using message::notify_success;

struct due_case {
    const char* what;
    recipient_event about;
    std::optional<action> due;
};

TEST(DsnDue, FollowsRfc3461) {
    const std::uint8_t all = notify_success | notify_failure | notify_delay;
    const due_case cases[] = {
        {"failed, unasked", {event::failed, 0}, action::failed},
        {"failed, asked", {event::failed, notify_failure}, action::failed},
        {"failed, other asked", {event::failed, notify_success | notify_delay}, std::nullopt},
        {"failed, never", {event::failed, notify_never}, std::nullopt},
        // The next hop refused it: it never took over.
        {"failed, next hop speaks DSN", {event::failed, all, true}, action::failed},
        {"delayed, unasked", {event::delayed, 0}, action::delayed},
        {"delayed, unasked, off", {event::delayed, 0, false, false}, std::nullopt},
        {"delayed, asked, off", {event::delayed, notify_delay, false, false}, action::delayed},
        {"delayed, other asked", {event::delayed, notify_failure}, std::nullopt},
        {"delayed, never", {event::delayed, notify_never}, std::nullopt},
        {"handed over, unasked", {event::handed_over, 0}, std::nullopt},
        {"handed over, asked", {event::handed_over, notify_success}, action::relayed},
        {"handed over, next hop reports", {event::handed_over, all, true}, std::nullopt},
        {"handed over, failure asked", {event::handed_over, notify_failure}, std::nullopt},
        {"handed over, never", {event::handed_over, notify_never}, std::nullopt},
        {"delivered, unasked", {event::delivered, 0}, std::nullopt},
        {"delivered, asked", {event::delivered, all}, action::delivered},
        {"delivered, never", {event::delivered, notify_never}, std::nullopt},
        {"never with others", {event::failed, notify_never | notify_failure}, std::nullopt},
    };
    for (const due_case& c : cases) {
        SCOPED_TRACE(c.what);
        EXPECT_EQ(report_due("a@b.example", c.about), c.due);
        EXPECT_EQ(report_due("", c.about), std::nullopt);
    }
}

} // namespace
} // namespace ebbgate::dsn
