#include "stage/outcome/event.h"

#include "codec/json/writer.h"
#include "stage/outcome/escape.h"

#include <algorithm>
#include <charconv>

namespace ebbgate::outcome {

namespace {

constexpr std::int64_t us_per_second = 1'000'000;

std::string_view bounded(std::string_view text) {
    return cut_text(text, event_writer::text_bytes_max);
}

void optional_member(json::writer& json, std::string_view name, std::string_view text) {
    if (!text.empty()) {
        json.member(name, bounded(text));
    }
}

void append_recipients(json::writer& json, std::span<const std::string_view> recipients) {
    json.key("recipient");
    if (recipients.size() == 1) {
        json.string(bounded(recipients.front()));
        return;
    }
    json.begin_array();
    for (const std::string_view recipient :
         recipients.first(std::min(recipients.size(), event_writer::recipients_max))) {
        json.string(bounded(recipient));
    }
    json.end_array();
    if (recipients.size() > event_writer::recipients_max) {
        json.member("recipients_left_out", recipients.size() - event_writer::recipients_max);
    }
}

void append_response(json::writer& json, const response& response) {
    json.key("response").begin_object().member("code", response.code);
    json.key("enhanced_code");
    if (response.enhanced) {
        json.begin_object()
            .member("class", response.enhanced->status_class)
            .member("subject", response.enhanced->subject)
            .member("detail", response.enhanced->detail)
            .end_object();
    } else {
        json.null();
    }
    json.member("content", bounded(response.content)).key("command");
    if (response.command.empty()) {
        json.null();
    } else {
        json.string(bounded(response.command));
    }
    json.end_object();
}

} // namespace

std::string_view name_of(event_type type) noexcept {
    switch (type) {
    case event_type::reception:
        return "Reception";
    case event_type::delivery:
        return "Delivery";
    case event_type::bounce:
        return "Bounce";
    case event_type::transient_failure:
        return "TransientFailure";
    case event_type::expiration:
        return "Expiration";
    case event_type::admin_bounce:
        return "AdminBounce";
    case event_type::out_of_band:
        return "OOB";
    case event_type::feedback:
        return "Feedback";
    case event_type::rejection:
        return "Rejection";
    case event_type::delayed:
        return "Delayed";
    case event_type::ambiguous:
        return "Ambiguous";
    case event_type::ban:
        return "Ban";
    case event_type::unban:
        return "Unban";
    case event_type::ignore:
        return "Ignore";
    case event_type::limit:
        return "Limit";
    case event_type::attachment:
        return "Attachment";
    case event_type::filelink:
        return "Filelink";
    case event_type::bcc_copy:
        return "BccCopy";
    case event_type::policy_reload:
        return "PolicyReload";
    case event_type::listing:
        return "Listing";
    }
    return "Unknown";
}

void event_writer::append(std::string& out, const event& event) {
    json::writer json(out);
    json.begin_object();
    json.member("type", name_of(event.type));
    json.member("id", event.id);
    json.member("sender", bounded(event.sender));
    append_recipients(json, event.recipients);
    json.member("queue", bounded(event.queue));
    json.member("site", bounded(event.site));
    json.member("size", event.size);
    append_response(json, event.response);
    if (event.peer_address) {
        json.key("peer_address")
            .begin_object()
            .member("name", bounded(event.peer_address->name))
            .member("addr", bounded(event.peer_address->addr))
            .end_object();
    }
    json.member("timestamp", event.event_unix_us / us_per_second);
    json.key("event_time").begin_quoted();
    clock_.append_rfc3339(out, event.event_unix_us);
    json.end_quoted().member("created", event.created_unix_us / us_per_second);
    json.key("created_time").begin_quoted();
    clock_.append_rfc3339(out, event.created_unix_us);
    json.end_quoted().member("num_attempts", event.num_attempts);
    json.member("bounce_classification", bounded(event.bounce_classification));
    optional_member(json, "egress_source", event.egress_source);
    if (!event.source_address.empty()) {
        json.key("source_address")
            .begin_object()
            .member("address", bounded(event.source_address))
            .end_object();
    }
    optional_member(json, "delivery_protocol", event.delivery_protocol);
    optional_member(json, "reception_protocol", event.reception_protocol);
    optional_member(json, "nodeid", event.node_id);
    optional_member(json, "tls_cipher", event.tls_cipher);
    optional_member(json, "tls_protocol_version", event.tls_protocol_version);
    if (!event.tls_peer_subject_name.empty()) {
        json.key("tls_peer_subject_name")
            .begin_array()
            .string(bounded(event.tls_peer_subject_name))
            .end_array();
    }
    optional_member(json, "session_id", event.session_id);
    json.key("meta").begin_object();
    for (const auto& [key, value] : event.meta) {
        json.key_escaped(bounded(key)).string(bounded(value));
    }
    json.end_object().end_object();
    out += '\n';
}

std::optional<enhanced_code> take_enhanced_code(std::string_view& text) noexcept {
    std::string_view rest = text;
    std::uint16_t parts[3] = {};
    for (int i = 0; i < 3; ++i) {
        const char* const end = rest.data() + rest.size();
        const auto [stop, error] = std::from_chars(rest.data(), end, parts[i]);
        if (error != std::errc{} || parts[i] > 999) {
            return std::nullopt;
        }
        rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
        if (i < 2) {
            if (!rest.starts_with('.')) {
                return std::nullopt;
            }
            rest.remove_prefix(1);
        }
    }
    const bool known_class = parts[0] == 2 || parts[0] == 4 || parts[0] == 5;
    if (!known_class || (!rest.empty() && !rest.starts_with(' '))) {
        return std::nullopt;
    }
    text = rest.empty() ? rest : rest.substr(1);
    return enhanced_code{parts[0], parts[1], parts[2]};
}

} // namespace ebbgate::outcome
