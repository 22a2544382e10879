// Timestamps as the logs write them, formatted once a second and then copied.
//
// Owner   One per thread that writes: it holds the last second's text.
// Bounds  One call to the C library per second and form.
// Specs   RFC 3339; RFC 3164 section 4.1.2 for the syslog form.

#pragma once

#include <cstdint>
#include <string>

namespace ebbgate::outcome {

class clock_text {
public:
    // "2026-11-24T05:52:43.123456Z", always UTC.
    void append_rfc3339(std::string& out, std::int64_t unix_us);
    // "Nov 24 05:52:43" in local time, as syslog writes it.
    void append_syslog(std::string& out, std::int64_t unix_us);
    // "2026-11-24 05:52:43" in local time, as fail2ban writes it.
    void append_local(std::string& out, std::int64_t unix_us);

private:
    static constexpr std::int64_t no_second = INT64_MIN;

    std::int64_t utc_second_ = no_second;
    std::int64_t local_second_ = no_second;
    std::int64_t dated_second_ = no_second;
    std::string utc_text_;
    std::string local_text_;
    std::string dated_text_;
};

} // namespace ebbgate::outcome
