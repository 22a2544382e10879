#include "relay/message_limits.h"

#include "ebbgate/mail/address_list.h"
#include "ebbgate/smtp/reply_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ebbgate::relay {

std::string sender_subject(std::string_view sender) {
    // One mailbox has one count, however its local part is quoted.
    const std::size_t at = sender.rfind('@');
    std::string plain(sender);
    if (sender.starts_with('"') && at != std::string_view::npos) {
        plain = mail::canonical_local(sender.substr(0, at)) + std::string(sender.substr(at));
    }
    policy::sender_text text;
    return text.set_address(plain) ? std::string(text.text()) : plain;
}

std::string_view subject_of(policy::rate_rule rule,
                            const policy::tenant& tenant,
                            const policy::account* account,
                            std::string_view sender_subject) noexcept {
    switch (rule) {
    case policy::rate_rule::messages_per_sender:
    case policy::rate_rule::recipients_per_sender:
        return sender_subject;
    case policy::rate_rule::messages_per_account:
    case policy::rate_rule::recipients_per_account:
        return account == nullptr ? std::string_view() : account->login;
    case policy::rate_rule::messages_per_tenant:
    case policy::rate_rule::recipients_per_tenant:
        break;
    }
    return tenant.name;
}

std::unique_ptr<message_limits> message_limits::make(limits::limiter& limiter,
                                                     const limits::clock& clock,
                                                     policy::snapshot_pointer policy,
                                                     const policy::tenant& tenant,
                                                     const policy::account* account,
                                                     std::string_view sender) {
    const policy::limit_settings& settings =
        account == nullptr ? tenant.limits : policy->limits_of(*account);
    const bool limited = std::any_of(settings.rates.begin(),
                                     settings.rates.end(),
                                     [](const config::rate& rate) { return !rate.is_unlimited(); });
    if (sender.empty() || (!limited && !limiter.has_overrides())) {
        return nullptr;
    }
    std::unique_ptr<message_limits> made(new message_limits(limiter, clock, std::move(policy)));
    made->tenant_ = &tenant;
    made->account_ = account;
    made->settings_ = &settings;
    made->sender_ = sender;
    made->sender_subject_ = sender_subject(sender);
    for (std::size_t index = 0; index < policy::rate_rules; ++index) {
        const auto rule = static_cast<policy::rate_rule>(index);
        const std::string_view subject = subject_of(rule, tenant, account, made->sender_subject_);
        if (subject.empty() || (settings.rates[index].is_unlimited() && !limiter.has_overrides())) {
            continue;
        }
        limits::rule& counted = made->rules_[made->charge_count_];
        counted = {policy::name_of(rule),
                   policy::counts_recipients(rule) ? limits::unit::recipients
                                                   : limits::unit::messages,
                   settings.rates[index]};
        made->charges_[made->charge_count_++] = {&counted, subject};
    }
    return made;
}

message_limits::refusal message_limits::answer(const limits::refusal& refused,
                                               std::string_view recipient) const {
    if (refused.reason == limits::refusal_reason::table_full) {
        return {smtp::reply_table::internal_error, "the table of counters is full"};
    }
    const auto rule = policy::rate_rule_named(refused.charged.rule->name)
                          .value_or(policy::rate_rule::messages_per_sender);
    std::string text = fmt::format("{} of {}: {}",
                                   policy::name_of(rule),
                                   refused.charged.subject,
                                   config::to_text(refused.rate));
    if (refused.is_raised) {
        text += " (by command)";
    } else {
        const policy::rule_place place =
            policy_->place_of_limit(*tenant_, account_, static_cast<policy::limit_key>(rule));
        text += fmt::format(" ({}: {})", place.file, place.pointer);
    }
    return {settings_->reply->to_reply({.recipient = recipient,
                                        .sender = sender_,
                                        .company = tenant_->company,
                                        .rule = rule,
                                        .rate = refused.rate}),
            std::move(text)};
}

limits::request message_limits::request_for(std::size_t recipients) const {
    return {std::span(charges_).first(charge_count_),
            static_cast<std::uint32_t>(recipients),
            clock_.now()};
}

std::optional<message_limits::refusal> message_limits::check(std::string_view recipient,
                                                             std::size_t recipients) const {
    const auto refused = limiter_.check(request_for(recipients));
    return refused ? std::optional(answer(*refused, recipient)) : std::nullopt;
}

std::expected<limits::receipt, message_limits::refusal>
message_limits::take(std::string_view first_recipient, std::size_t recipients) const {
    auto taken = limiter_.take(request_for(recipients));
    if (!taken) {
        return std::unexpected(answer(taken.error(), first_recipient));
    }
    return *taken;
}

} // namespace ebbgate::relay
