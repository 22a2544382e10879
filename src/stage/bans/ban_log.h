// The ban log: fail2ban's lines byte for byte, for the people and programs that read those.
//
// Stage   1 of 8.
// Input   What the table decided. Nothing in a line comes from a peer but its address.
// Output  "2024-08-26 01:38:01,972 fail2ban.actions        [19671]: NOTICE  [smtp] Ban 192.0.2.1",
//         line end included.
// Owner   One per thread that writes; the string belongs to the caller.
// Specs   PEERS.md 2.4; fail2ban 1.0: helpers.py, mytime.py, server/filter.py, actions.py,
//         observer.py.

#pragma once

#include "stage/bans/ban.h"
#include "stage/outcome/clock_text.h"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ebbgate::bans {

inline constexpr std::string_view jail_name = "smtp";

// As fail2ban shows a duration: three units at most, rounded: "2d 7h 15m", "59m 50s", "1y 3w 4d".
[[nodiscard]] std::string duration_text(std::chrono::seconds duration);

class ban_log {
public:
    explicit ban_log(std::uint32_t pid);

    // `struck_us` is when it happened, now_us when the line is written.
    void append_found(std::string& out,
                      std::int64_t now_us,
                      const config::ip_address& address,
                      std::int64_t struck_us);
    void append_ignore(std::string& out, std::int64_t now_us, const config::ip_address& address);
    void append_ban(std::string& out, std::int64_t now_us, const ban& ban);
    // Many at once: a start has a line for each, and all have one time.
    void append_restore(std::string& out, std::int64_t now_us, std::span<const ban* const> bans);
    void append_unban(std::string& out, std::int64_t now_us, const ban& ban);
    // The end is another than that of a first ban.
    void append_increase(std::string& out, std::int64_t now_us, const ban& ban);
    // NOTICE in the first minute of the ban, WARNING later; nothing in the first three seconds,
    // when fail2ban's level is DEBUG, below what it writes by default.
    void append_already_banned(std::string& out, std::int64_t now_us, const ban& ban);

private:
    void
    begin(std::string& out, std::int64_t now_us, std::string_view logger, std::string_view level);

    outcome::clock_text clock_;
    std::string pid_; // "[pid]: "
};

} // namespace ebbgate::bans
