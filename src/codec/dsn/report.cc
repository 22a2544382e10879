#include "codec/dsn/report.h"

#include "ebbgate/base/assert.h"
#include "ebbgate/mail/date.h"

#include "base/text.h"
#include "codec/dsn/fields.h"
#include "codec/dsn/returned.h"
#include "codec/dsn/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::dsn {

namespace {

struct part {
    std::string fields; // Its header.
    std::string body;
};

byte_view subject_of(const std::vector<reported_recipient>& recipients) {
    action gravest = action::delivered;
    for (const reported_recipient& one : recipients) {
        gravest = std::min(gravest, one.action);
    }
    switch (gravest) {
    case action::failed:
        return "Your message could not be delivered";
    case action::delayed:
        return "Your message is delayed";
    case action::relayed:
        return "Your message was handed on";
    case action::delivered:
        return "Your message was delivered";
    }
    return {};
}

part words_part(const std::string& words) {
    const bool plain = is_ascii_text(words) && [&] {
        for (std::size_t at = 0; at < words.size();) {
            const std::size_t end = std::min(words.find('\n', at), words.size());
            if (end - at > line_bytes_max) {
                return false;
            }
            at = end + 1;
        }
        return true;
    }();
    part made;
    append_field(made.fields, "Content-Description", "Notification");
    append_field(made.fields, "Content-Type", "text/plain; charset=utf-8");
    append_field(made.fields, "Content-Transfer-Encoding", plain ? "7bit" : "quoted-printable");
    made.body = plain ? with_crlf(words) : quoted_printable(words);
    return made;
}

part status_part(std::string fields, bool global) {
    part made;
    append_field(made.fields, "Content-Description", "Delivery report");
    append_field(made.fields,
                 "Content-Type",
                 global ? "message/global-delivery-status" : "message/delivery-status");
    if (!is_ascii_text(fields)) {
        append_field(made.fields, "Content-Transfer-Encoding", "8bit");
    }
    made.body = std::move(fields);
    return made;
}

part message_part(returned_message returned) {
    part made;
    append_field(made.fields,
                 "Content-Description",
                 returned.whole ? "Undelivered message" : "Header of the message");
    append_field(made.fields, "Content-Type", returned.type);
    if (!is_ascii_text(returned.text)) {
        append_field(made.fields, "Content-Transfer-Encoding", "8bit");
    }
    made.body = std::move(returned.text);
    return made;
}

// Letters, digits and a little: stands in a header field and in a boundary.
std::string token(byte_view text, std::size_t bytes_max) {
    std::string out(text.substr(0, bytes_max));
    std::ranges::replace_if(
        out, [](char c) { return !is_letter(c) && !is_digit(c) && c != '.' && c != '-'; }, '-');
    return out.empty() ? "x" : out;
}

std::string unused_boundary(byte_view id, const std::vector<part>& parts) {
    for (unsigned round = 0;; ++round) {
        std::string made = fmt::format("=_{}_{}", id, round);
        if (std::ranges::none_of(
                parts, [&](const part& one) { return one.body.find(made) != std::string::npos; })) {
            return made;
        }
    }
}

} // namespace

bool returns_whole(message::dsn_return ret,
                   bool any_failed,
                   std::uint64_t message_bytes,
                   std::uint64_t bytes_max) noexcept {
    return ret == message::dsn_return::full && any_failed && message_bytes <= bytes_max;
}

written_report write_report(const report& about) {
    EBBGATE_ASSERT(!about.sender.empty() && !about.recipients.empty());
    const std::string host = token(about.hostname, 255);
    const std::string sender = clean_line(about.sender, address_bytes_max, blanks::as_they_are);
    std::vector<shown_recipient> recipients;
    bool any_failed = false;
    bool global = about.smtputf8 && !is_ascii_text(sender);
    for (const reported_recipient& one : about.recipients) {
        recipients.push_back(shown(one));
        any_failed = any_failed || one.action == action::failed;
        global = global || (about.smtputf8 && !is_ascii_text(recipients.back().address));
    }
    const shown_message message = shown(about.header);
    const bool whole =
        !about.whole.empty() && returns_whole(about.ret, any_failed, about.whole.size());
    const std::vector<part> parts = {
        words_part(in_words(about, message, recipients)),
        status_part(in_fields(about, recipients, global), global),
        message_part(returned(about.header, whole ? about.whole : byte_view(), about.smtputf8)),
    };
    const std::string id = token(about.id, 64);
    const std::string boundary = unused_boundary(id, parts);

    written_report out;
    std::string& text = out.text;
    const std::string from = about.from_address.empty()
                                 ? "MAILER-DAEMON@" + host
                                 : clean_line(about.from_address, address_bytes_max);
    append_field(text, "Date", mail::date_text(about.now_unix_s));
    append_field(text,
                 "From",
                 fmt::format("{} <{}>", display_phrase(clean_line(about.from_name, 200)), from));
    append_field(text, "To", "<" + sender + ">");
    append_field(text, "Subject", subject_of(about.recipients));
    append_field(text, "Message-ID", fmt::format("<{}@{}>", id, host));
    if (!message.id.empty()) {
        append_field(text, "In-Reply-To", message.id);
        append_field(text, "References", message.id);
    }
    append_field(text, "Auto-Submitted", "auto-replied");
    append_field(text, "MIME-Version", "1.0");
    append_field(
        text,
        "Content-Type",
        fmt::format("multipart/report; report-type=delivery-status; boundary=\"{}\"", boundary));
    out.smtputf8 = !is_ascii_text(text);
    out.eight_bit = out.smtputf8;
    for (const part& one : parts) {
        out.eight_bit = out.eight_bit || !is_ascii_text(one.body);
    }
    if (out.eight_bit) {
        append_field(text, "Content-Transfer-Encoding", "8bit");
    }
    text += "\r\nThis is a report about a message, in the format of RFC 3464.\r\n";
    for (const part& one : parts) {
        text += fmt::format("\r\n--{}\r\n{}\r\n{}", boundary, one.fields, one.body);
    }
    text += fmt::format("\r\n--{}--\r\n", boundary);
    return out;
}

} // namespace ebbgate::dsn
