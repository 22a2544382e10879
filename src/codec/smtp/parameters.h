// The parameters that follow the path of MAIL and RCPT.

#pragma once

#include "ebbgate/smtp/command_parser.h"

#include <expected>

namespace ebbgate::smtp {

[[nodiscard]] std::expected<mail_parameters, command_fault> parse_mail_parameters(byte_view text);

// `smtputf8`: the transaction asked for it, so ORCPT may hold UTF-8.
[[nodiscard]] std::expected<recipient_parameters, command_fault>
parse_recipient_parameters(byte_view text, bool smtputf8);

} // namespace ebbgate::smtp
