// Who a message says it is from: every mailbox of its one From field.
//
// Input   A complete header.
// Output  The mailboxes, all of which must be authorised. Sender and Resent-* are not looked at:
//         no reader shows them instead of From, but some beside it ("S on behalf of F").
// Fails   When programs could find another From field, or another author in it, than we do.
// Bounds  Those of the scanner and of the address list.
// Specs   RFC 5322 section 3.6.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/mail/address_list.h"
#include "ebbgate/mail/header_scanner.h"

#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

namespace ebbgate::mail {

enum class author_fault : std::uint8_t {
    no_from,
    several_froms,
    unclear_header, // A line that is no field, a NUL and the like: see the scanner's faults.
    long_header,    // Over the limits: there may be another From.
    unclear_from,   // "From :", or a line of blanks before it or in it.
    address,        // The value; see `address`.
};

struct author_refusal {
    author_fault fault = author_fault::no_from;
    std::optional<address_fault> address;

    bool operator==(const author_refusal&) const = default;
};

[[nodiscard]] std::expected<std::vector<mailbox>, author_refusal>
authors_of(const header_scanner& header);

// For the log: "two From fields".
[[nodiscard]] byte_view text_of(const author_refusal& refusal) noexcept;

} // namespace ebbgate::mail
