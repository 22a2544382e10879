// What a command says of the queue: whose mail it means, and why.

#pragma once

#include "relay/queue_view.h"
#include "service/admin/command.h"

#include <optional>
#include <string>
#include <string_view>

namespace ebbgate::program {

inline constexpr admin::argument queue_domain{"domain", admin::argument_kind::text, false, 255};
inline constexpr admin::argument queue_tenant{"tenant", admin::argument_kind::text, false, 255};
inline constexpr admin::argument queue_reason{"reason", admin::argument_kind::text, true, 400};

// Empty: it is not one that can be asked for.
[[nodiscard]] std::optional<relay::queue_filter> filter_of(const admin::request& asked);

// What it is about, for the audit.
[[nodiscard]] std::string subject_of(const admin::request& asked);

// Replies and reasons are one line of ASCII: they are said to other servers.
[[nodiscard]] bool is_reason(std::string_view text);

} // namespace ebbgate::program
