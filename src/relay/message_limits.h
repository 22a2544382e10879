// The sending limits of one transaction: which rules count it, and against whom.
//
// Input   The policy, tenant, account and sender at MAIL; recipients as they come.
// Output  A reply that refuses, or what was taken, to be given back if the message is not stored.
// Owner   The connection, from MAIL to the end of the message.
// Fails   With the reply of the policy. A full counter table refuses for now (451).
// Bounds  limits::charges_max rules.

#pragma once

#include "ebbgate/smtp/reply.h"

#include "stage/limits/clock.h"
#include "stage/limits/limiter.h"
#include "stage/policy/snapshot.h"

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::relay {

class message_limits {
public:
    // Null: nothing counts this message. `account` is null for a client of relay_hosts. The null
    // sender is never counted: a DSN must not be held back for what its recipient sent.
    [[nodiscard]] static std::unique_ptr<message_limits> make(limits::limiter& limiter,
                                                              const limits::clock& clock,
                                                              policy::snapshot_pointer policy,
                                                              const policy::tenant& tenant,
                                                              const policy::account* account,
                                                              std::string_view sender);

    // Before a recipient is accepted, `recipients` with it.
    struct refusal {
        smtp::reply reply;
        std::string rule; // Its name, its subject and where it stands.
    };

    [[nodiscard]] std::optional<refusal> check(std::string_view recipient,
                                               std::size_t recipients) const;

    // At the end of the message.
    [[nodiscard]] std::expected<limits::receipt, refusal> take(std::string_view first_recipient,
                                                               std::size_t recipients) const;

private:
    message_limits(limits::limiter& limiter,
                   const limits::clock& clock,
                   policy::snapshot_pointer policy)
        : limiter_(limiter), clock_(clock), policy_(std::move(policy)) {}

    [[nodiscard]] refusal answer(const limits::refusal& refused, std::string_view recipient) const;

    limits::limiter& limiter_;
    const limits::clock& clock_;
    policy::snapshot_pointer policy_;
    const policy::tenant* tenant_ = nullptr;
    const policy::account* account_ = nullptr;
    const policy::limit_settings* settings_ = nullptr;
    std::string sender_;         // As the client wrote it: for the reply.
    std::string sender_subject_; // As it is compared, so that no spelling has its own count.
    [[nodiscard]] limits::request request_for(std::size_t recipients) const;

    std::array<limits::rule, policy::rate_rules> rules_;
    std::array<limits::charge, policy::rate_rules> charges_; // Of rules_; also of the policy's
    std::size_t charge_count_ = 0;                           // texts and sender_subject_.
};

// The subjects that the rules of a message have, as counters know them.
[[nodiscard]] std::string_view subject_of(policy::rate_rule rule,
                                          const policy::tenant& tenant,
                                          const policy::account* account,
                                          std::string_view sender_subject) noexcept;
[[nodiscard]] std::string sender_subject(std::string_view sender);

} // namespace ebbgate::relay
