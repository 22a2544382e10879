#include "relay/journal.h"

#include "ebbgate/message/message_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace ebbgate::relay {

namespace {

outcome::delivery_status status_of(outcome::event_type type) {
    if (type == outcome::event_type::delivery) {
        return outcome::delivery_status::sent;
    }
    if (type == outcome::event_type::bounce || type == outcome::event_type::admin_bounce) {
        return outcome::delivery_status::bounced;
    }
    return type == outcome::event_type::expiration ? outcome::delivery_status::expired
                                                   : outcome::delivery_status::deferred;
}

outcome::response response_of(const smtp::reply& reply, std::string_view command) {
    outcome::response response;
    response.code = static_cast<std::uint16_t>(reply.code);
    if (reply.status.present()) {
        response.enhanced = outcome::enhanced_code{
            reply.status.status_class, reply.status.subject, reply.status.detail};
    }
    response.content = reply.text;
    response.command = command;
    return response;
}

std::string queue_name(const message::envelope& envelope, std::string_view address) {
    const std::size_t at = address.rfind('@');
    const std::string_view domain =
        at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
    return envelope.tenant + "@" + std::string(domain);
}

// "2.0.0", or what the class of the code says when there was no enhanced code.
std::string dsn_of(const smtp::reply& reply, outcome::event_type type) {
    if (reply.status.present()) {
        return smtp::to_text(reply.status);
    }
    switch (status_of(type)) {
    case outcome::delivery_status::sent:
        return "2.0.0";
    case outcome::delivery_status::deferred:
        return "4.0.0";
    case outcome::delivery_status::bounced:
    case outcome::delivery_status::expired:
        return "5.0.0";
    }
    return "5.0.0";
}

} // namespace

journal::journal(std::string_view hostname,
                 std::uint32_t pid,
                 outcome::log_file& events,
                 outcome::log_file& text)
    : text_(hostname, pid), event_file_(events), text_file_(text) {}

void journal::after_line() {
    if (event_lines_.size() + text_lines_.size() > block_bytes_max) {
        flush();
    }
}

void journal::flush_if_due(std::uint64_t now_ms) {
    if (has_lines() && now_ms >= flushed_ms_ + hold_ms) {
        flushed_ms_ = now_ms;
        flush();
    }
}

void journal::flush() {
    if (!event_lines_.empty()) {
        event_file_.append(std::exchange(event_lines_, {}));
    }
    if (!text_lines_.empty()) {
        text_file_.append(std::exchange(text_lines_, {}));
    }
}

void journal::connected(std::int64_t unix_us, std::string_view address) {
    text_.append_connect(text_lines_, unix_us, {.address = address});
    after_line();
}

void journal::disconnected(std::int64_t unix_us,
                           std::string_view address,
                           const session::counters& counters) {
    const auto pair = [&](smtp::verb verb) {
        const auto index = static_cast<std::size_t>(verb);
        return outcome::session_counts::pair{counters.accepted[index], counters.total[index]};
    };
    outcome::session_counts counts;
    counts.ehlo = pair(smtp::verb::ehlo);
    counts.helo = pair(smtp::verb::helo);
    counts.starttls = pair(smtp::verb::starttls);
    counts.auth = pair(smtp::verb::auth);
    counts.mail = pair(smtp::verb::mail);
    counts.rcpt = pair(smtp::verb::rcpt);
    counts.data = pair(smtp::verb::data);
    counts.bdat = pair(smtp::verb::bdat);
    counts.rset = pair(smtp::verb::rset);
    counts.noop = pair(smtp::verb::noop);
    counts.quit = pair(smtp::verb::quit);
    counts.unknown = pair(smtp::verb::unknown);
    text_.append_disconnect(text_lines_, unix_us, {.address = address}, counts);
    after_line();
}

void journal::connection_lost(std::int64_t unix_us,
                              std::string_view address,
                              std::string_view after,
                              bool timed_out) {
    text_.append_lost_connection(text_lines_, unix_us, {.address = address}, after, timed_out);
    after_line();
}

void journal::login_failed(std::int64_t unix_us,
                           std::string_view address,
                           std::string_view sasl_method,
                           std::string_view login,
                           const smtp::reply& reply,
                           std::string_view why) {
    text_.append_auth_failure(text_lines_, unix_us, {.address = address}, sasl_method, why, login);
    outcome::event event;
    event.type = outcome::event_type::rejection;
    event.response = response_of(reply, "AUTH");
    event.peer_address = outcome::peer{"", address};
    event.event_unix_us = unix_us;
    event.created_unix_us = unix_us;
    const std::pair<std::string_view, std::string_view> meta[] = {
        {"rule", why}, {"mechanism", sasl_method}, {"login", login}};
    event.meta = std::span(meta).first(login.empty() ? 2 : 3);
    events_.append(event_lines_, event);
    after_line();
}

void journal::rejected(std::int64_t unix_us,
                       std::string_view address,
                       std::string_view stage,
                       const smtp::reply& reply,
                       const message::envelope& envelope,
                       std::string_view recipient,
                       std::string_view rule) {
    const std::string text = smtp::to_line(reply).substr(4);
    text_.append_reject(text_lines_,
                        unix_us,
                        {.stage = stage,
                         .client = {.address = address},
                         .code = static_cast<std::uint16_t>(reply.code),
                         .text = text,
                         .from = envelope.sender,
                         .to = recipient,
                         .helo = envelope.client_helo,
                         .sasl_username = envelope.account,
                         .has_from = true,
                         .has_to = !recipient.empty()});
    outcome::event event;
    event.type = outcome::event_type::rejection;
    event.sender = envelope.sender;
    const std::string_view recipients[] = {recipient};
    if (!recipient.empty()) {
        event.recipients = recipients;
    }
    event.response = response_of(reply, stage);
    event.peer_address = outcome::peer{envelope.client_helo, address};
    event.event_unix_us = unix_us;
    event.created_unix_us = unix_us;
    const std::pair<std::string_view, std::string_view> meta[] = {{"rule", rule}};
    if (!rule.empty()) {
        event.meta = meta;
    }
    events_.append(event_lines_, event);
    after_line();
}

void journal::received(std::int64_t unix_us,
                       const message::envelope& envelope,
                       const how_received& how,
                       std::uint64_t bytes) {
    const std::string id = message::to_text(envelope.id);
    text_.append_client(text_lines_,
                        unix_us,
                        id,
                        {.address = envelope.client_address},
                        envelope.account.empty() ? "" : how.sasl_method,
                        envelope.account);
    text_.append_from(text_lines_, unix_us, id, envelope.sender, bytes, envelope.recipients.size());
    std::vector<std::string_view> recipients;
    recipients.reserve(envelope.recipients.size());
    for (const message::recipient& recipient : envelope.recipients) {
        recipients.emplace_back(recipient.address);
    }
    outcome::event event;
    event.type = outcome::event_type::reception;
    event.id = id;
    event.sender = envelope.sender;
    event.recipients = recipients;
    const std::string queue = queue_name(envelope, recipients.empty() ? "" : recipients.front());
    event.queue = queue;
    event.size = bytes;
    event.response.code = 250;
    event.peer_address = outcome::peer{envelope.client_helo, envelope.client_address};
    event.event_unix_us = unix_us;
    event.created_unix_us = envelope.received_unix_ms * 1000;
    event.reception_protocol = how.protocol;
    events_.append(event_lines_, event);
    after_line();
}

void journal::linked(std::int64_t unix_us,
                     const message::envelope& envelope,
                     const blob::link& link) {
    const std::string id = message::to_text(envelope.id);
    const std::string url = link.url + link.file_name();
    text_.append_text(
        text_lines_,
        unix_us,
        "filelink",
        fmt::format(
            "{}: url={}, size={}, file={}", id, url, link.bytes, link.name)); // Theirs last.
    outcome::event event;
    event.type = outcome::event_type::filelink;
    event.id = id;
    event.sender = envelope.sender;
    event.size = link.bytes;
    event.event_unix_us = unix_us;
    event.created_unix_us = envelope.received_unix_ms * 1000;
    const std::string expires = std::to_string(link.expires_unix_s);
    const std::pair<std::string_view, std::string_view> meta[] = {
        {"name", link.name}, {"url", url}, {"expires", expires}};
    event.meta = meta;
    events_.append(event_lines_, event);
    after_line();
}

void journal::attempted(std::int64_t unix_us,
                        const message::envelope& envelope,
                        std::uint64_t bytes,
                        const attempt& attempt,
                        const attempt_place& place) {
    const std::string id = message::to_text(envelope.id);
    const message::recipient& recipient = envelope.recipients[attempt.recipient];
    const std::string text =
        attempt.reply->code == 0 ? attempt.reply->text : smtp::to_line(*attempt.reply);
    const std::string dsn = dsn_of(*attempt.reply, attempt.type);
    outcome::delivery line;
    line.queue_id = id;
    line.recipient = recipient.address;
    line.relay_name = place.host;
    line.relay_address = place.address;
    line.relay_port = place.port;
    line.connection_uses = place.connection_uses;
    line.in_queue_us = place.queued_us;
    line.connection_us = place.connection_us;
    line.transmission_us = place.transmission_us;
    line.tls = place.tls;
    line.dsn = dsn;
    line.status = status_of(attempt.type);
    line.text = text;
    text_.append_delivery(text_lines_, unix_us, line);

    const std::string_view recipients[] = {recipient.address};
    outcome::event event;
    event.type = attempt.type;
    event.id = id;
    event.sender = envelope.sender;
    event.recipients = recipients;
    const std::string queue = queue_name(envelope, recipient.address);
    event.queue = queue;
    event.site = place.site;
    event.size = bytes;
    event.response = response_of(*attempt.reply, attempt.command);
    if (!place.address.empty()) {
        event.peer_address = outcome::peer{place.host, place.address};
        event.delivery_protocol = "ESMTP";
    }
    event.event_unix_us = unix_us;
    event.created_unix_us = envelope.received_unix_ms * 1000;
    event.num_attempts = attempt.number;
    if (!attempt.bounce_class.empty()) {
        event.bounce_classification = attempt.bounce_class;
    }
    if (place.tls_session != nullptr) {
        // "TLSv1.3 with cipher NAME".
        const std::string_view cipher = place.tls_session->cipher;
        constexpr std::string_view between = " with cipher ";
        const std::size_t at = cipher.find(between);
        event.tls_protocol_version = cipher.substr(0, at);
        event.tls_cipher =
            at == std::string_view::npos ? std::string_view() : cipher.substr(at + between.size());
        event.tls_peer_subject_name = place.tls_session->verdict.peer;
    }
    event.egress_source = place.source;
    event.source_address = place.source_address;
    events_.append(event_lines_, event);
    after_line();
}

void journal::reported(std::int64_t unix_us,
                       std::uint64_t about,
                       const message::envelope& report,
                       std::uint64_t bytes,
                       std::string_view action) {
    const std::string id = message::to_text(report.id);
    // Postfix's words, which log readers look for.
    const std::string_view kind = action == "failed"    ? "non-delivery"
                                  : action == "delayed" ? "delay"
                                                        : "delivery status";
    text_.append_text(
        text_lines_,
        unix_us,
        "bounce",
        fmt::format("{}: sender {} notification: {}", message::to_text(about), kind, id));
    text_.append_from(text_lines_, unix_us, id, report.sender, bytes, report.recipients.size());
    const std::string_view recipients[] = {report.recipients.front().address};
    outcome::event event;
    event.type = outcome::event_type::reception;
    event.id = id;
    event.recipients = recipients;
    const std::string queue = queue_name(report, recipients[0]);
    event.queue = queue;
    event.size = bytes;
    event.event_unix_us = unix_us;
    event.created_unix_us = report.received_unix_ms * 1000;
    event.reception_protocol = "LocalDSN";
    const std::string origin = message::to_text(about);
    const std::pair<std::string_view, std::string_view> meta[] = {{"dsn_action", action},
                                                                  {"dsn_about", origin}};
    event.meta = meta;
    events_.append(event_lines_, event);
    after_line();
}

void journal::removed(std::int64_t unix_us, std::uint64_t id) {
    text_.append_removed(text_lines_, unix_us, message::to_text(id));
    after_line();
}

void journal::note(std::int64_t unix_us, std::string_view service, std::string_view text) {
    text_.append_text(text_lines_, unix_us, service, text);
    after_line();
}

} // namespace ebbgate::relay
