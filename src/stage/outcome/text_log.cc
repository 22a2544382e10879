#include "stage/outcome/text_log.h"

#include "stage/outcome/escape.h"

#include <algorithm>
#include <charconv>

namespace ebbgate::outcome {

namespace {

void append_number(std::string& out, std::uint64_t number) {
    char text[24];
    const auto [end, error] = std::to_chars(text, text + sizeof text, number);
    out.append(text, static_cast<std::size_t>(end - text));
}

void append_client_name(std::string& out, const client& client) {
    append_address(out, client.name, text_log::name_bytes_max);
    out += '[';
    append_address(out, client.address, text_log::name_bytes_max);
    out += ']';
}

void append_bracketed(std::string& out, std::string_view name, std::string_view address) {
    out += name;
    out += '<';
    append_address(out, address, text_log::address_bytes_max);
    out += '>';
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    out += name;
    append_address(out, value, text_log::address_bytes_max);
}

// Postfix's format_tv: two significant digits, at most three decimals: "0", "0.05", "1.2", "65".
void append_seconds(std::string& out, std::int64_t us) {
    const std::int64_t bounded = std::max<std::int64_t>(us, 0);
    const std::int64_t ms = (bounded + 500) / 1000;
    if (bounded >= 10'000'000) {
        append_number(out, static_cast<std::uint64_t>((bounded + 500'000) / 1'000'000));
        return;
    }
    if (ms == 0) {
        out += '0';
        return;
    }
    const std::int64_t step = ms >= 1000 ? 100 : ms >= 100 ? 10 : 1;
    const std::int64_t rounded = (ms + step / 2) / step * step;
    append_number(out, static_cast<std::uint64_t>(rounded / 1000));
    std::int64_t fraction = rounded % 1000;
    if (fraction == 0) {
        return;
    }
    char digits[] = {'.', '0', '0', '0'};
    for (int i = 3; i > 0; --i) {
        digits[i] = static_cast<char>('0' + fraction % 10);
        fraction /= 10;
    }
    std::size_t length = sizeof digits;
    while (digits[length - 1] == '0') {
        --length;
    }
    out.append(digits, length);
}

void append_count(std::string& out, std::string_view name, const session_counts::pair& count) {
    if (count.total == 0) {
        return;
    }
    out += name;
    append_number(out, count.accepted);
    if (count.accepted != count.total) {
        out += '/';
        append_number(out, count.total);
    }
}

std::string_view name_of(delivery_status status) {
    switch (status) {
    case delivery_status::sent:
        return "sent";
    case delivery_status::deferred:
        return "deferred";
    case delivery_status::bounced:
        return "bounced";
    case delivery_status::expired:
        return "expired";
    }
    return "deferred";
}

void append_relay(std::string& out, const delivery& delivery) {
    out += ", relay=";
    if (delivery.relay_name.empty()) {
        out += "none";
        return;
    }
    append_address(out, delivery.relay_name, text_log::name_bytes_max);
    if (!delivery.relay_address.empty()) {
        out += '[';
        append_address(out, delivery.relay_address, text_log::name_bytes_max);
        out += "]:";
        append_number(out, delivery.relay_port);
    }
}

} // namespace

text_log::text_log(std::string_view hostname, std::uint32_t pid, std::string_view syslog_name)
    : host_(' ' + std::string(hostname) + ' '), name_(syslog_name),
      pid_('[' + std::to_string(pid) + "]: "), smtpd_(name_ + "/smtpd" + pid_),
      cleanup_(name_ + "/cleanup" + pid_), qmgr_(name_ + "/qmgr" + pid_),
      smtp_(name_ + "/smtp" + pid_) {}

void text_log::begin(std::string& out, std::int64_t unix_us, const std::string& tag) {
    clock_.append_syslog(out, unix_us);
    out += host_;
    out += tag;
}

void text_log::append_connect(std::string& out, std::int64_t unix_us, const client& client) {
    begin(out, unix_us, smtpd_);
    out += "connect from ";
    append_client_name(out, client);
    out += '\n';
}

void text_log::append_disconnect(std::string& out,
                                 std::int64_t unix_us,
                                 const client& client,
                                 const session_counts& counts) {
    begin(out, unix_us, smtpd_);
    out += "disconnect from ";
    append_client_name(out, client);
    session_counts::pair commands;
    const auto add = [&](std::string_view name, const session_counts::pair& count) {
        append_count(out, name, count);
        commands.accepted += count.accepted;
        commands.total += count.total;
    };
    add(" ehlo=", counts.ehlo);
    add(" helo=", counts.helo);
    add(" starttls=", counts.starttls);
    add(" auth=", counts.auth);
    add(" mail=", counts.mail);
    add(" rcpt=", counts.rcpt);
    add(" data=", counts.data);
    add(" bdat=", counts.bdat);
    add(" rset=", counts.rset);
    add(" noop=", counts.noop);
    add(" quit=", counts.quit);
    add(" unknown=", counts.unknown);
    if (commands.total == 0) {
        out += " commands=0/0";
    } else {
        append_count(out, " commands=", commands);
    }
    out += '\n';
}

void text_log::append_lost_connection(std::string& out,
                                      std::int64_t unix_us,
                                      const client& client,
                                      std::string_view after,
                                      bool timed_out) {
    begin(out, unix_us, smtpd_);
    out += timed_out ? "timeout after " : "lost connection after ";
    append_address(out, after, name_bytes_max);
    out += " from ";
    append_client_name(out, client);
    out += '\n';
}

void text_log::append_auth_failure(std::string& out,
                                   std::int64_t unix_us,
                                   const client& client,
                                   std::string_view mechanism,
                                   std::string_view reason,
                                   std::string_view sasl_username) {
    begin(out, unix_us, smtpd_);
    out += "warning: ";
    append_client_name(out, client);
    out += ": SASL ";
    append_address(out, mechanism, name_bytes_max);
    out += " authentication failed: ";
    append_printable(out, reason, text_bytes_max);
    if (!sasl_username.empty()) {
        append_field(out, ", sasl_username=", sasl_username);
    }
    out += '\n';
}

void text_log::append_reject(std::string& out,
                             std::int64_t unix_us,
                             const reject& reject,
                             std::string_view queue_id) {
    begin(out, unix_us, smtpd_);
    out += queue_id.empty() ? "NOQUEUE" : queue_id;
    out += ": reject: ";
    out += reject.stage;
    out += " from ";
    append_client_name(out, reject.client);
    out += ": ";
    append_number(out, reject.code);
    out += ' ';
    append_printable(out, reject.text, text_bytes_max);
    out += ';';
    if (reject.has_from) {
        append_bracketed(out, " from=", reject.from);
    }
    if (reject.has_to) {
        append_bracketed(out, " to=", reject.to);
    }
    append_field(out, " proto=", reject.protocol);
    if (!reject.helo.empty()) {
        append_bracketed(out, " helo=", reject.helo);
    }
    if (!reject.sasl_username.empty()) {
        append_field(out, " sasl_username=", reject.sasl_username);
    }
    out += '\n';
}

void text_log::append_client(std::string& out,
                             std::int64_t unix_us,
                             std::string_view queue_id,
                             const client& client,
                             std::string_view sasl_method,
                             std::string_view sasl_username) {
    begin(out, unix_us, smtpd_);
    out += queue_id;
    out += ": client=";
    append_client_name(out, client);
    if (!sasl_username.empty()) {
        append_field(out, ", sasl_method=", sasl_method);
        append_field(out, ", sasl_username=", sasl_username);
    }
    out += '\n';
}

void text_log::append_message_id(std::string& out,
                                 std::int64_t unix_us,
                                 std::string_view queue_id,
                                 std::string_view message_id) {
    begin(out, unix_us, cleanup_);
    out += queue_id;
    // The field's own brackets are shown once, whether the caller gives them or not.
    if (message_id.starts_with('<') && message_id.ends_with('>') && message_id.size() > 1) {
        message_id = message_id.substr(1, message_id.size() - 2);
    }
    append_bracketed(out, ": message-id=", message_id);
    out += '\n';
}

void text_log::append_from(std::string& out,
                           std::int64_t unix_us,
                           std::string_view queue_id,
                           std::string_view sender,
                           std::uint64_t size_bytes,
                           std::size_t recipients) {
    begin(out, unix_us, qmgr_);
    out += queue_id;
    append_bracketed(out, ": from=", sender);
    out += ", size=";
    append_number(out, size_bytes);
    out += ", nrcpt=";
    append_number(out, recipients);
    out += " (queue active)\n";
}

void text_log::append_delivery(std::string& out, std::int64_t unix_us, const delivery& delivery) {
    begin(out, unix_us, smtp_);
    out += delivery.queue_id;
    append_bracketed(out, ": to=", delivery.recipient);
    if (!delivery.original_recipient.empty()) {
        append_bracketed(out, ", orig_to=", delivery.original_recipient);
    }
    append_relay(out, delivery);
    if (delivery.connection_uses > 1) {
        out += ", conn_use=";
        append_number(out, delivery.connection_uses);
    }
    out += ", delay=";
    append_seconds(out,
                   delivery.before_queue_us + delivery.in_queue_us + delivery.connection_us +
                       delivery.transmission_us);
    out += ", delays=";
    append_seconds(out, delivery.before_queue_us);
    out += '/';
    append_seconds(out, delivery.in_queue_us);
    out += '/';
    append_seconds(out, delivery.connection_us);
    out += '/';
    append_seconds(out, delivery.transmission_us);
    if (!delivery.tls.empty()) {
        append_field(out, ", tls=", delivery.tls);
    }
    append_field(out, ", dsn=", delivery.dsn);
    out += ", status=";
    out += name_of(delivery.status);
    out += " (";
    append_printable(out, delivery.text, text_bytes_max);
    out += ")\n";
}

void text_log::append_removed(std::string& out, std::int64_t unix_us, std::string_view queue_id) {
    begin(out, unix_us, qmgr_);
    out += queue_id;
    out += ": removed\n";
}

void text_log::append_text(std::string& out,
                           std::int64_t unix_us,
                           std::string_view service,
                           std::string_view text) {
    clock_.append_syslog(out, unix_us);
    out += host_;
    out += name_;
    out += '/';
    out += service;
    out += pid_;
    append_printable(out, text, text_bytes_max);
    out += '\n';
}

} // namespace ebbgate::outcome
