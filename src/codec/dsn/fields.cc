#include "codec/dsn/fields.h"

#include "ebbgate/mail/date.h"
#include "ebbgate/mail/header_scanner.h"
#include "ebbgate/smtp/address.h"
#include "ebbgate/smtp/xtext.h"

#include "base/text.h"
#include "codec/dsn/text.h"
#include "codec/mail/display_name.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::dsn {

namespace {

constexpr std::size_t subject_bytes_max = 200;
constexpr std::size_t date_bytes_max = 60;
constexpr std::size_t message_id_bytes_max = 500;  // It may be folded nowhere.
constexpr std::size_t envelope_id_bytes_max = 100; // RFC 3461 4.4

smtp::enhanced_status status_of(const reported_recipient& about) noexcept {
    smtp::enhanced_status status = about.status;
    if (!status.present() && about.expired && !about.reply.status.present()) {
        status = {4, 4, 7};
    }
    if (!status.present()) {
        status = about.reply.status;
    }
    if (!status.present() && about.reply.code >= 200 && about.reply.code < 600) {
        status = {static_cast<std::uint8_t>(about.reply.code / 100), 0, 0};
    }
    switch (about.action) {
    case action::failed:
        // 4 stays: it is what the host said each time until we gave up.
        if (status.status_class != 4) {
            status.status_class = 5;
        }
        break;
    case action::delayed:
        status.status_class = 4;
        break;
    case action::relayed:
    case action::delivered:
        status.status_class = 2;
        break;
    }
    status.subject = std::min<std::uint16_t>(status.subject, 999);
    status.detail = std::min<std::uint16_t>(status.detail, 999);
    return status;
}

bool is_atom(byte_view text) noexcept {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return is_letter(c) || is_digit(c) || c == '-';
    });
}

// "rfc822;xtext", into what it means.
void decode_original(byte_view given, shown_recipient& into) {
    const std::size_t mark = given.find(';');
    if (mark == byte_view::npos || !is_atom(given.substr(0, mark)) || mark > 32) {
        return;
    }
    const byte_view type = given.substr(0, mark);
    const byte_view coded = given.substr(mark + 1);
    std::string decoded;
    if (equals_ignoring_case(type, "utf-8")) {
        decoded = decode_utf8_address(coded);
    } else if (smtp::is_printable_xtext(coded)) {
        decoded = smtp::decode_xtext(coded).value_or(std::string());
    }
    decoded = clean_line(decoded, address_bytes_max, blanks::as_they_are);
    if (!decoded.empty()) {
        into.original_type = lowered(type);
        into.original = std::move(decoded);
    }
}

bool is_host_name(byte_view text) noexcept {
    return smtp::is_domain(text, false) &&
           std::ranges::any_of(text.substr(text.rfind('.') + 1), is_letter);
}

void append_address(
    std::string& out, byte_view name, byte_view type, const std::string& address, bool global) {
    if (is_ascii_text(address)) {
        append_field(out, name, fmt::format("{}; {}", type, address));
    } else {
        append_field(
            out, name, fmt::format("utf-8; {}", global ? address : encode_utf8_address(address)));
    }
}

} // namespace

shown_recipient shown(const reported_recipient& about) {
    shown_recipient out;
    out.about = &about;
    out.address = clean_line(about.address, address_bytes_max, blanks::as_they_are);
    decode_original(about.original, out);
    out.status = status_of(about);
    out.by_peer = about.reply.code >= 200 && about.reply.code <= 599;
    std::string text = about.reply.text;
    if (!out.by_peer) {
        text = without_paths(text);
    } else if (about.reply.status.present()) {
        text = smtp::to_text(about.reply.status) + ' ' + text;
    }
    if (out.by_peer) {
        text = std::to_string(about.reply.code) + ' ' + text;
    }
    // Again: what was put in may have made it longer than a field should be.
    out.said = clean_line(without_private_addresses(clean_line(text, reply_bytes_max)),
                          2 * reply_bytes_max);
    if (is_host_name(about.remote_name)) {
        out.remote_name = about.remote_name;
    }
    return out;
}

shown_message shown(byte_view header) {
    shown_message out;
    mail::header_scanner scanner;
    scanner.feed(header.substr(0, header_bytes_max));
    scanner.finish();
    for (const mail::header_field& field : scanner.fields()) {
        const byte_view name = scanner.name(field);
        const auto value = [&] {
            return std::string(trimmed(mail::unfolded(scanner.value(field))));
        };
        if (out.id.empty() && mail::is_name(name, "message-id")) {
            const std::string id = value();
            const bool good = id.size() > 2 && id.size() <= message_id_bytes_max &&
                              id.front() == '<' && id.back() == '>' &&
                              std::ranges::all_of(id.substr(1, id.size() - 2), [](char c) {
                                  return c > ' ' && c < '\x7f' && c != '<' && c != '>';
                              });
            out.id = good ? id : std::string();
        } else if (out.subject.empty() && mail::is_name(name, "subject")) {
            const std::string text = mail::decode_encoded_words(value());
            if (smtp::is_utf8_text(text)) { // Else its charset is another.
                out.subject = clean_line(text, subject_bytes_max);
            }
        } else if (out.date.empty() && mail::is_name(name, "date")) {
            out.date = ascii(clean_line(value(), date_bytes_max));
        }
    }
    return out;
}

std::string
in_fields(const report& about, const std::vector<shown_recipient>& recipients, bool global) {
    std::string out;
    append_field(out, "Reporting-MTA", "dns; " + ascii(clean_line(about.hostname, 255)));
    if (!about.envelope_id.empty()) {
        const std::string id = smtp::is_printable_xtext(about.envelope_id)
                                   ? smtp::decode_xtext(about.envelope_id).value_or(std::string())
                                   : std::string();
        const std::string text = clean_line(id, envelope_id_bytes_max, blanks::as_they_are);
        if (!text.empty()) {
            append_field(out, "Original-Envelope-Id", ascii(text));
        }
    }
    if (about.arrival_unix_s > 0) {
        append_field(out, "Arrival-Date", mail::date_text(about.arrival_unix_s));
    }
    for (const shown_recipient& one : recipients) {
        out += "\r\n";
        if (!one.original.empty()) {
            append_address(out, "Original-Recipient", one.original_type, one.original, global);
        }
        append_address(out, "Final-Recipient", "rfc822", one.address, global);
        append_field(out, "Action", name_of(one.about->action));
        append_field(out, "Status", smtp::to_text(one.status));
        if (!one.remote_name.empty()) {
            append_field(out, "Remote-MTA", "dns; " + one.remote_name);
        }
        if (!one.said.empty()) {
            append_field(out,
                         "Diagnostic-Code",
                         (one.by_peer ? "smtp; " : "x-ebbgate; ") +
                             (global ? one.said : ascii(one.said)));
        }
        if (one.about->last_attempt_unix_s > 0) {
            append_field(out, "Last-Attempt-Date", mail::date_text(one.about->last_attempt_unix_s));
        }
        if (one.about->action == action::delayed && one.about->retry_until_unix_s > 0) {
            append_field(out, "Will-Retry-Until", mail::date_text(one.about->retry_until_unix_s));
        }
    }
    return out;
}

} // namespace ebbgate::dsn
