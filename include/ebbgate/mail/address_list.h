// The addresses of a From field, read so that no reader can see others.
//
// Input   The value of the field, unfolded.
// Output  Each mailbox: local part and domain.
// Fails   On all that readers take apart in different ways, valid or not, because an attacker picks
//         the form that the victim's reader misreads: groups, source routes, blanks or comments
//         inside an address, an encoded word as an address, a second pair of angle brackets,
//         text behind an address; and on a display name or comment that shows another address.
//         Obsolete forms that all readers take alike pass: dots in names, "a@b (name)".
// Bounds  address_list_bytes_max, mailboxes_max, comment_depth_max; time linear in the bytes.
// Specs   RFC 5322 sections 3.4 and 4.4, RFC 6532, RFC 2047, RFC 5321 4.1.2 for the address.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace ebbgate::mail {

inline constexpr std::size_t address_list_bytes_max = 16 * kib;
inline constexpr std::size_t mailboxes_max = 100;
inline constexpr std::size_t comment_depth_max = 4;

enum class address_fault : std::uint8_t {
    empty,          // Nothing, or nothing but comments.
    no_address,     // A name alone, or "<>".
    syntax,         // An open quote or comment, a comma too many, a character out of place.
    ambiguous,      // Readers see different addresses.
    group,          // "name: a@b, c@d;"
    source_route,   // "<@a,@b:c@d>"
    bad_address,    // What the envelope would not take as an address either.
    hidden_address, // The name or a comment shows an address that is not the mailbox's.
    not_text,       // Controls, or what is not UTF-8.
    too_many,
    too_long,
};

struct mailbox {
    std::string local;  // As canonical_local() has it.
    std::string domain; // As written: any case, U-labels or A-labels, or a literal in brackets.

    bool operator==(const mailbox&) const = default;
};

[[nodiscard]] std::expected<std::vector<mailbox>, address_fault> parse_mailbox_list(byte_view text);

// One form for each local part: `"a"@d` and `a@d` are one mailbox. `local` is valid, as the path
// parser gives it; what has to be quoted stays so, with no more backslashes than it needs.
[[nodiscard]] std::string canonical_local(byte_view local);

} // namespace ebbgate::mail
