// Every key of the policy, in one place: the loader refuses the others, a test holds them against
// docs/policy.schema.json.
//
// Owner   Constants.

#pragma once

#include "config/reader.h"

namespace ebbgate::policy::keys {

using config::known_key;

inline constexpr known_key root[] = {
    {"tenants"},
    {"routes"},
    {"delivery"},
    {"bans"},
    {"defaults"},
};
inline constexpr known_key delivery[] = {
    {"retry"},
    {"connections_per_destination"},
    {"messages_per_connection"},
    {"idle_timeout"},
    {"mx_port"},
    {"bounce_rules"},
    {"max_connections"},
    {"max_message_rate"},
    {"max_connection_rate"},
    {"shaping"},
    {"timeouts"},
    {"chunking"},
    {"eight_bit"},
};
inline constexpr known_key shaping[] = {
    {"match"},
    {"mx"},
    {"connection_limit"},
    {"max_deliveries_per_connection"},
    {"idle_timeout"},
    {"max_message_rate"},
    {"max_connection_rate"},
};
inline constexpr known_key timeouts[] = {
    {"connect"},
    {"greeting"},
    {"command"},
    {"data"},
    {"body"},
    {"final"},
};
inline constexpr known_key retry[] = {
    {"first"},
    {"factor"},
    {"max"},
    {"max_age"},
    {"delay_notice"},
};
inline constexpr known_key route[] = {{"match"}, {"relay"}, {"tls"}, {"source"}};
inline constexpr known_key bans[] = {
    {"max_retry"},
    {"find_time"},
    {"ban_time"},
    {"ban_time_increment"},
    {"ban_time_max"},
    {"ignore"},
    {"log"},
};
inline constexpr known_key defaults[] = {
    {"limits"},
    {"check_header_from"},
    {"attachments"},
    {"filelink"},
    {"unsigned"},
};
inline constexpr known_key tenant[] = {
    {"name"},        {"company"},
    {"hostname"},    {"tls"},
    {"domains"},     {"authorized_senders"},
    {"accounts"},    {"relay_hosts"},
    {"null_sender"}, {"check_header_from"},
    {"limits"},      {"egress"},
    {"class"},       {"suppression"},
    {"attachments"}, {"filelink"},
    {"bcc", false},  {"dkim"},
    {"unsigned"},
};
inline constexpr known_key attachments[] = {
    {"allow"},
    {"reply"},
    {"encrypted_archives"},
    {"ambiguous"},
    {"archives"},
    {"sniff"},
};
inline constexpr known_key filelink[] = {
    {"larger_than"},
    {"total_larger_than"},
    {"url"},
    {"keep"},
    {"text"},
    {"tls"},
};
inline constexpr known_key dkim[] = {
    {"domain"},
    {"selector"},
    {"key"},
    {"canonicalization"},
    {"expire"},
};
inline constexpr known_key suppression[] = {{"keep"}};
inline constexpr known_key egress[] = {{"sources"}, {"ehlo"}};
inline constexpr known_key egress_source[] = {{"address"}, {"ehlo"}, {"weight"}, {"drain"}};
inline constexpr known_key tls[] = {{"certificate"}, {"key"}};
inline constexpr known_key account[] = {
    {"login"},
    {"password"},
    {"null_sender"},
    {"authorized_senders"},
    {"limits"},
    {"class"},
};
inline constexpr known_key limits[] = {
    {"messages_per_sender"},
    {"messages_per_account"},
    {"messages_per_tenant"},
    {"recipients_per_sender"},
    {"recipients_per_account"},
    {"recipients_per_tenant"},
    {"recipients_per_message"},
    {"upload_size"},
    {"message_size"},
    {"connections"},
    {"limit_reply"},
};
// Of these, an account has none of its own.
inline constexpr std::string_view tenant_limits[] = {
    "messages_per_tenant", "recipients_per_tenant", "connections"};
inline constexpr known_key limit_reply[] = {{"code"}, {"text"}};

} // namespace ebbgate::policy::keys
