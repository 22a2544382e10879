#include "stage/deliver/command_line.h"

#include <fmt/format.h>

#include <utility>

namespace ebbgate::deliver {

std::string mail_line(const message::envelope& envelope,
                      const smtp::ehlo_response& peer,
                      std::uint64_t message_bytes) {
    std::string line = "MAIL FROM:<" + envelope.sender + ">";
    if (peer.message_bytes_max > 0) {
        line += fmt::format(" SIZE={}", message_bytes);
    }
    if (envelope.body == message::body_type::eight_bit_mime && peer.eight_bit_mime) {
        line += " BODY=8BITMIME";
    }
    if (envelope.smtputf8) {
        line += " SMTPUTF8";
    }
    if (peer.dsn && envelope.ret != message::dsn_return::unset) {
        line += envelope.ret == message::dsn_return::full ? " RET=FULL" : " RET=HDRS";
    }
    if (peer.dsn && !envelope.envelope_id.empty()) {
        line += " ENVID=" + envelope.envelope_id;
    }
    return line + "\r\n";
}

std::string recipient_line(const message::recipient& recipient, const smtp::ehlo_response& peer) {
    std::string line = "RCPT TO:<" + recipient.address + ">";
    if (peer.dsn && recipient.notify != 0) {
        line += " NOTIFY=";
        if (recipient.notify == message::notify_never) {
            line += "NEVER";
        } else {
            const char* comma = "";
            for (const auto& [bit, word] : {std::pair{message::notify_success, "SUCCESS"},
                                            std::pair{message::notify_failure, "FAILURE"},
                                            std::pair{message::notify_delay, "DELAY"}}) {
                if ((recipient.notify & bit) != 0) {
                    line += comma;
                    line += word;
                    comma = ",";
                }
            }
        }
    }
    if (peer.dsn && !recipient.original.empty()) {
        line += " ORCPT=" + recipient.original;
    }
    return line + "\r\n";
}

} // namespace ebbgate::deliver
