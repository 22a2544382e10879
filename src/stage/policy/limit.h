// What a tenant or an account may send: sizes, rates, and the reply when a rate is used up.
//
// Stage   3 of 8: part of the snapshot.
// Owner   Values. Every account has a whole set: what it does not say comes from its tenant, and
//         what the tenant does not say from `defaults`.
// Fails   Templates are checked when they are loaded; a reply can always be made.
// Bounds  template_bytes_max; a value in a reply is clipped to reply_value_bytes_max.
// Specs   RFC 5321 4.5.3.1.5 (line length), RFC 3463 (X.7.1).

#pragma once

#include "ebbgate/smtp/reply.h"

#include "config/rate.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::policy {

// In the order of `rates` below; the name is the key in `limits`.
enum class rate_rule : std::uint8_t {
    messages_per_sender,
    messages_per_account,
    messages_per_tenant,
    recipients_per_sender,
    recipients_per_account,
    recipients_per_tenant,
};

inline constexpr std::size_t rate_rules = 6;

[[nodiscard]] std::string_view name_of(rate_rule rule) noexcept;
[[nodiscard]] std::optional<rate_rule> rate_rule_named(std::string_view name) noexcept;

[[nodiscard]] constexpr bool counts_recipients(rate_rule rule) noexcept {
    return rule >= rate_rule::recipients_per_sender;
}

struct reply_values {
    std::string_view recipient; // Empty at the final dot.
    std::string_view sender;
    std::string_view company;
    rate_rule rule = rate_rule::messages_per_sender;
    config::rate rate;
};

// A text of the policy with variables in braces, taken apart once.
class limit_reply {
public:
    static constexpr std::size_t template_bytes_max = 400;
    static constexpr std::size_t reply_value_bytes_max = 256;
    static constexpr std::string_view text_default =
        "<{recipient}>... {sender} has exceeded {count} {unit} per {period}.";

    // The fault says what was expected.
    [[nodiscard]] static std::expected<limit_reply, std::string> make(int code,
                                                                      std::string_view text);
    [[nodiscard]] static const std::shared_ptr<const limit_reply>& standard();

    // 450 4.7.1 or 550 5.7.1. Values cannot add a line or a control character.
    [[nodiscard]] smtp::reply to_reply(const reply_values& values) const;

    [[nodiscard]] int code() const noexcept { return code_; }

    [[nodiscard]] const std::string& text() const noexcept { return text_; }

    bool operator==(const limit_reply&) const = default;

private:
    enum class variable : std::uint8_t { none, recipient, sender, count, unit, period, company };
    static const std::array<std::string_view, 7> variable_names;

    struct piece {
        variable what = variable::none; // none: `bytes` of the text, as they are.
        std::uint16_t start = 0;
        std::uint16_t bytes = 0;

        bool operator==(const piece&) const = default;
    };

    int code_ = 450;
    std::string text_;
    std::vector<piece> pieces_;
};

// Where a setting came from, for `why`.
enum class setting_level : std::uint8_t { built_in, defaults, tenant, account };

enum class limit_key : std::uint8_t {
    messages_per_sender, // The rates first, as in rate_rule.
    messages_per_account,
    messages_per_tenant,
    recipients_per_sender,
    recipients_per_account,
    recipients_per_tenant,
    recipients_per_message,
    upload_size,
    message_size,
    connections,
    limit_reply,
};

inline constexpr std::size_t limit_keys = 11;

[[nodiscard]] std::string_view name_of(limit_key key) noexcept;

struct limit_settings {
    std::uint64_t upload_bytes = 25'000'000;      // Announced as SIZE; beyond: 552 5.3.4.
    std::uint64_t message_bytes = 25'000'000;     // Of the final message; beyond: 552 5.3.4.
    std::uint32_t recipients_per_message = 1000;  // The next RCPT gets 452 4.5.3.
    std::uint32_t connections = 0;                // Of a tenant at a time; 0: no limit of its own.
    std::array<config::rate, rate_rules> rates{}; // Unlimited.
    std::shared_ptr<const policy::limit_reply> reply = policy::limit_reply::standard();
    std::array<setting_level, limit_keys> levels{};

    [[nodiscard]] const config::rate& rate_of(rate_rule rule) const noexcept {
        return rates[static_cast<std::size_t>(rule)];
    }
};

} // namespace ebbgate::policy
