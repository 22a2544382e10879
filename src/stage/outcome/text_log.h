// The text log: lines in Postfix's shape, so that the readers people have keep working.
//
// Stage   8 of 8. Before it: deliver.
// Input   Plain structs; every text may come from a peer.
// Output  "Nov 24 05:52:43 host ebbgate/smtpd[pid]: connect from name[192.0.2.1]", line end
// included. Owner   One per thread that writes; the string belongs to the caller. Fails   Never.
// Bounds  address_bytes_max, name_bytes_max and text_bytes_max for texts of a peer.

#pragma once

#include "stage/outcome/clock_text.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace ebbgate::outcome {

struct client {
    std::string_view name = "unknown"; // Looked up and confirmed; never the EHLO name.
    std::string_view address;
};

// For "disconnect": what the session did, in Postfix's words. A count of 0 is left out.
struct session_counts {
    struct pair {
        std::uint32_t accepted = 0;
        std::uint32_t total = 0;
    };

    pair ehlo, helo, starttls, auth, mail, rcpt, data, bdat, rset, noop, quit, unknown;
};

struct reject {
    std::string_view stage; // "RCPT", "MAIL", "END-OF-MESSAGE", "CONNECT"
    outcome::client client;
    std::uint16_t code = 0;
    std::string_view text; // With its enhanced code: "5.7.1 <a>: Relay access denied".
    std::string_view from; // Shown when the stage has a sender.
    std::string_view to;   // Shown when the stage has a recipient.
    std::string_view protocol = "ESMTP";
    std::string_view helo;
    std::string_view sasl_username;
    bool has_from = false;
    bool has_to = false;
};

enum class delivery_status : std::uint8_t { sent, deferred, bounced, expired };

struct delivery {
    std::string_view queue_id;
    std::string_view recipient;
    std::string_view original_recipient; // Empty: the same.
    std::string_view relay_name;         // Empty: "none".
    std::string_view relay_address;
    std::uint16_t relay_port = 0;
    std::uint32_t connection_uses = 1; // Shown from 2 on.
    std::int64_t before_queue_us = 0;  // The four parts of "delays"; "delay" is their sum.
    std::int64_t in_queue_us = 0;
    std::int64_t connection_us = 0;
    std::int64_t transmission_us = 0;
    std::string_view tls; // "may/verify" and the like; empty: left out.
    std::string_view dsn; // "2.0.0"
    delivery_status status = delivery_status::sent;
    std::string_view text; // The reply, or why there was none.
};

class text_log {
public:
    static constexpr std::size_t address_bytes_max = 320; // RFC 5321: 64 + 1 + 255.
    static constexpr std::size_t name_bytes_max = 255;
    static constexpr std::size_t text_bytes_max = 1024;

    // `syslog_name` stands before "/smtpd": log readers take it as an option.
    text_log(std::string_view hostname,
             std::uint32_t pid,
             std::string_view syslog_name = "ebbgate");

    void append_connect(std::string& out, std::int64_t unix_us, const client& client);
    void append_disconnect(std::string& out,
                           std::int64_t unix_us,
                           const client& client,
                           const session_counts& counts);
    void append_lost_connection(std::string& out,
                                std::int64_t unix_us,
                                const client& client,
                                std::string_view after,
                                bool timed_out = false);
    void append_auth_failure(std::string& out,
                             std::int64_t unix_us,
                             const client& client,
                             std::string_view mechanism,
                             std::string_view reason,
                             std::string_view sasl_username);
    void append_reject(std::string& out,
                       std::int64_t unix_us,
                       const reject& reject,
                       std::string_view queue_id = {});

    void append_client(std::string& out,
                       std::int64_t unix_us,
                       std::string_view queue_id,
                       const client& client,
                       std::string_view sasl_method,
                       std::string_view sasl_username);
    void append_message_id(std::string& out,
                           std::int64_t unix_us,
                           std::string_view queue_id,
                           std::string_view message_id);
    void append_from(std::string& out,
                     std::int64_t unix_us,
                     std::string_view queue_id,
                     std::string_view sender,
                     std::uint64_t size_bytes,
                     std::size_t recipients);
    void append_delivery(std::string& out, std::int64_t unix_us, const delivery& delivery);
    void append_removed(std::string& out, std::int64_t unix_us, std::string_view queue_id);

    // Anything else: one line, made safe. `service` is ours: "smtpd", "qmgr", "master".
    void append_text(std::string& out,
                     std::int64_t unix_us,
                     std::string_view service,
                     std::string_view text);

private:
    void begin(std::string& out, std::int64_t unix_us, const std::string& tag);

    clock_text clock_;
    std::string host_; // " host "
    std::string name_;
    std::string pid_; // "[pid]: "
    std::string smtpd_;
    std::string cleanup_;
    std::string qmgr_;
    std::string smtp_;
};

} // namespace ebbgate::outcome
