#include "stage/policy/limit.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::policy {

namespace {

constexpr std::array<std::string_view, limit_keys> key_names = {
    "messages_per_sender",
    "messages_per_account",
    "messages_per_tenant",
    "recipients_per_sender",
    "recipients_per_account",
    "recipients_per_tenant",
    "recipients_per_message",
    "upload_size",
    "message_size",
    "connections",
    "limit_reply",
};

// Printable ASCII only: a reply may carry UTF-8 only to a client that asked for it.
void append_value(std::string& out, std::string_view value) {
    for (const char c : value.substr(0, limit_reply::reply_value_bytes_max)) {
        const auto byte = static_cast<unsigned char>(c);
        out += byte < 0x20 || byte >= 0x7f ? '?' : c;
    }
}

} // namespace

std::string_view name_of(limit_key key) noexcept {
    return key_names[static_cast<std::size_t>(key)];
}

std::string_view name_of(rate_rule rule) noexcept {
    return key_names[static_cast<std::size_t>(rule)];
}

std::optional<rate_rule> rate_rule_named(std::string_view name) noexcept {
    const auto* const end = key_names.begin() + rate_rules;
    const auto* const found = std::find(key_names.begin(), end, name);
    if (found == end) {
        return std::nullopt;
    }
    return static_cast<rate_rule>(found - key_names.begin());
}

const std::array<std::string_view, 7> limit_reply::variable_names = {
    "", "recipient", "sender", "count", "unit", "period", "company"};

std::expected<limit_reply, std::string> limit_reply::make(int code, std::string_view text) {
    if (text.empty() || text.size() > template_bytes_max ||
        std::any_of(text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; })) {
        return std::unexpected(fmt::format(
            "expected one line of 1 to {} printable ASCII characters", template_bytes_max));
    }
    limit_reply made;
    made.code_ = code;
    made.text_ = text;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] == '{') {
            const std::size_t end = text.find('}', at);
            const std::string_view name =
                end == std::string_view::npos ? "" : text.substr(at + 1, end - at - 1);
            const auto* const found =
                std::find(variable_names.begin() + 1, variable_names.end(), name);
            if (found == variable_names.end()) {
                return std::unexpected(
                    fmt::format("expected {{{}}} after the text \"{}\"",
                                fmt::join(variable_names.begin() + 1, variable_names.end(), "} {"),
                                text.substr(0, std::min<std::size_t>(at, 60))));
            }
            made.pieces_.push_back({static_cast<variable>(found - variable_names.begin()), 0, 0});
            at = end + 1;
            continue;
        }
        const std::size_t end = std::min(text.find_first_of("{}", at), text.size());
        if (end < text.size() && text[end] == '}') {
            return std::unexpected("a \"}\" without its \"{\"; expected a variable such as "
                                   "{sender}");
        }
        made.pieces_.push_back(
            {variable::none, static_cast<std::uint16_t>(at), static_cast<std::uint16_t>(end - at)});
        at = end;
    }
    return made;
}

const std::shared_ptr<const limit_reply>& limit_reply::standard() {
    static const auto reply = std::make_shared<const limit_reply>(*make(450, text_default));
    return reply;
}

smtp::reply limit_reply::to_reply(const reply_values& values) const {
    std::string text;
    text.reserve(text_.size() + 128);
    for (const piece& piece : pieces_) {
        switch (piece.what) {
        case variable::none:
            text.append(text_, piece.start, piece.bytes);
            break;
        case variable::recipient:
            append_value(text, values.recipient);
            break;
        case variable::sender:
            append_value(text, values.sender);
            break;
        case variable::count:
            text += std::to_string(values.rate.count);
            break;
        case variable::unit:
            text += counts_recipients(values.rule) ? "recipients" : "messages";
            break;
        case variable::period:
            text += config::period_text(values.rate.period);
            break;
        case variable::company:
            append_value(text, values.company);
            break;
        }
    }
    const auto status_class = static_cast<std::uint8_t>(code_ / 100);
    return {code_, {status_class, 7, 1}, std::move(text)};
}

} // namespace ebbgate::policy
