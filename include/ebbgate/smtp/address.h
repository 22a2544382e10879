// The path of MAIL and RCPT: "<local-part@domain>", and nothing that looks like one but is not.
//
// Input   The bytes from '<' on.
// Output  Views of the local part and the domain inside the input; nothing is copied or changed.
// Fails   On source routes, control characters, and on non-ASCII where SMTPUTF8 was not asked for.
// Bounds  RFC 5321 4.5.3.1: local_part_bytes_max, domain_bytes_max, path_bytes_max.
// Specs   RFC 5321 4.1.2 and 4.1.3, RFC 6531 3.3.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <expected>

namespace ebbgate::smtp {

inline constexpr std::size_t local_part_bytes_max = 64;
inline constexpr std::size_t domain_bytes_max = 255;
inline constexpr std::size_t domain_label_bytes_max = 63;
// With the angle brackets.
inline constexpr std::size_t path_bytes_max = 256;

enum class address_fault : std::uint8_t {
    no_angle_brackets,
    source_route,
    bad_local_part,
    bad_domain,
    bad_literal,
    too_long,
    needs_smtputf8,
};

struct path {
    byte_view text;       // local@domain as given, without the angle brackets; empty: null sender.
    byte_view local;      // As given: a quoted string keeps its quotes.
    byte_view domain;     // Without the dot of the root; empty for <postmaster>. Literals keep [].
    bool utf8 = false;    // Something in it is not ASCII.
    bool literal = false; // The domain is an address literal.

    [[nodiscard]] bool null() const noexcept { return text.empty(); }
};

enum class path_kind : std::uint8_t { reverse, forward };

struct path_rules {
    path_kind kind = path_kind::reverse; // Reverse allows <>, forward allows <postmaster>.
    bool smtputf8 = false;
};

// Takes the path from the front of `input`, which afterwards starts behind the '>'.
[[nodiscard]] std::expected<path, address_fault> take_path(byte_view& input,
                                                           path_rules rules) noexcept;

// "local@domain" without brackets, all of it.
[[nodiscard]] std::expected<path, address_fault> parse_mailbox(byte_view text,
                                                               bool smtputf8) noexcept;

// LDH labels (A-labels among them), or UTF-8 labels where allowed. No literal, no final dot.
[[nodiscard]] bool is_domain(byte_view text, bool smtputf8) noexcept;

// "[192.0.2.1]" or "[IPv6:2001:db8::1]".
[[nodiscard]] bool is_address_literal(byte_view text) noexcept;

// Well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF, no C1 control.
[[nodiscard]] bool is_utf8_text(byte_view text) noexcept;

} // namespace ebbgate::smtp
