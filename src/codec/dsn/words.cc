#include "ebbgate/mail/date.h"

#include "codec/dsn/fields.h"
#include "codec/dsn/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ebbgate::dsn {

namespace {

constexpr std::array<action, 4> by_weight = {
    action::failed, action::delayed, action::relayed, action::delivered};

std::string intro(action what, std::size_t count) {
    const bool one = count == 1;
    const std::string whom =
        one ? "the recipient below" : fmt::format("the {} recipients below", count);
    switch (what) {
    case action::failed:
        return fmt::format("Your message could not be delivered to {}. It will not be tried again.",
                           whom);
    case action::delayed:
        return fmt::format("Your message has not reached {} yet. This is only a warning: you need "
                           "not send it again. Delivery is still being tried, and you will be told "
                           "if it fails.",
                           whom);
    case action::relayed:
        return fmt::format("Your message was handed on for {}, to {} that will not confirm when it "
                           "arrives. You asked to be told; no further confirmation will follow.",
                           whom,
                           one ? "a mail server" : "mail servers");
    case action::delivered:
        return fmt::format("Your message was delivered to {}. You asked to be told.", whom);
    }
    return {};
}

// What the sender can do about it. Subjects and details of RFC 3463.
byte_view advice(const shown_recipient& one) {
    const auto [status_class, subject, detail] = one.status;
    if (one.about->action == action::delayed) {
        return {};
    }
    if (subject == 1 && (detail == 2 || detail == 10)) {
        return "The part of the address behind the @ does not take mail. Please check it for "
               "mistakes.";
    }
    if (subject == 1 && detail != 7 && detail != 8) {
        return "Please check the address for mistakes. If it is right, ask the recipient in "
               "another "
               "way for one that works.";
    }
    if (subject == 2 && detail == 2) {
        return "The mailbox is full. Please try again later, or tell the recipient in another way.";
    }
    if ((subject == 2 || subject == 3) && (detail == 3 || detail == 4)) {
        return "The message is too large for the recipient's mail server. Please send less at a "
               "time, or a link to the file.";
    }
    if (subject == 2 && detail == 1) {
        return "The mailbox is closed. Please ask the recipient in another way for an address that "
               "works.";
    }
    if (subject == 4 && detail == 6) {
        return "The message went round in a circle: the recipient's mail is forwarded back to "
               "where "
               "it came from. Please tell the recipient.";
    }
    if (subject == 4) {
        return "The recipient's mail server could not be reached. Please check the part of the "
               "address behind the @, and try again later.";
    }
    if (subject == 7) {
        return "The recipient's mail server did not accept this message by its rules. Its words "
               "above may say what to change; the recipient's postmaster can allow it.";
    }
    return {};
}

void append_recipient(std::string& out, const shown_recipient& one) {
    const reported_recipient& about = *one.about;
    append_wrapped(out, "<" + one.address + ">", "");
    if (!one.original.empty() && one.original != one.address) {
        append_wrapped(out, "(you wrote to " + one.original + ")", "    ");
    }
    const bool good = about.action == action::relayed || about.action == action::delivered;
    if (about.expired) {
        append_wrapped(out, "It was tried many times, for as long as is allowed.", "    ");
    }
    if (one.by_peer) {
        const std::string who = one.remote_name.empty() ? std::string("The recipient's mail server")
                                                        : "The mail server " + one.remote_name;
        append_wrapped(out, who + (good ? " took it and said:" : " said:"), "    ");
        append_wrapped(out, one.said, "        ");
    } else if (!one.said.empty()) {
        append_wrapped(out, one.said, "        ");
    }
    if (about.action == action::delayed && about.retry_until_unix_s > 0) {
        append_wrapped(
            out,
            fmt::format("It will be tried until {}.", mail::date_text(about.retry_until_unix_s)),
            "    ");
    }
    if (!good && !advice(one).empty()) {
        append_wrapped(out, advice(one), "    ");
    }
    out += '\n';
}

void append_message(std::string& out, const shown_message& message) {
    if (message.subject.empty() && message.date.empty()) {
        return;
    }
    out += "Your message:\n";
    if (!message.subject.empty()) {
        append_wrapped(out, "Subject: " + message.subject, "    ");
    }
    if (!message.date.empty()) {
        append_wrapped(out, "Date: " + message.date, "    ");
    }
    out += '\n';
}

} // namespace

std::string in_words(const report& about,
                     const shown_message& message,
                     const std::vector<shown_recipient>& recipients) {
    const std::string host = ascii(clean_line(about.hostname, 255));
    std::string out;
    append_wrapped(out, fmt::format("This is the mail system at {}.", host), "");
    out += '\n';
    std::size_t told = 0;
    bool any_bad = false;
    for (const action what : by_weight) {
        const auto is_one = [&](const shown_recipient& one) { return one.about->action == what; };
        const auto count = static_cast<std::size_t>(std::ranges::count_if(recipients, is_one));
        if (count == 0) {
            continue;
        }
        any_bad = any_bad || what == action::failed || what == action::delayed;
        append_wrapped(out, intro(what, count), "");
        out += '\n';
        if (told == 0) {
            append_message(out, message);
        }
        for (const shown_recipient& one : recipients) {
            if (is_one(one) && told < recipients_in_words_max) {
                append_recipient(out, one);
                ++told;
            }
        }
    }
    if (told < recipients.size()) {
        append_wrapped(
            out,
            fmt::format("And {} more recipients: the second part of this message has them all.",
                        recipients.size() - told),
            "");
        out += '\n';
    }
    if (any_bad) {
        const std::string contact = about.contact.empty()
                                        ? "postmaster@" + host
                                        : clean_line(about.contact, address_bytes_max);
        append_wrapped(
            out, fmt::format("If you need help, send this whole message to {}.", contact), "");
    }
    while (out.ends_with("\n\n")) {
        out.pop_back();
    }
    return out;
}

} // namespace ebbgate::dsn
