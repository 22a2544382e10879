// Where mail programs read a message in different ways: each by name, so that a rule can refuse it.
//
// Output  A set of them, and a name for log and policy.
// Specs   RFC 2045 to 2049, RFC 2231; draft-chen-email-mime-ambiguity-defense (work in progress)
//         for the principle: what readers see differently is judged as the union, or refused.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>

namespace ebbgate::mime {

enum class ambiguity : std::uint8_t {
    // A part's header.
    malformed_line,     // No field and no continuation: the header ends before it.
    mbox_line,          // "From " or ">From " as the first line: skipped.
    blank_line,         // A continuation of nothing but blanks: the header's end for some.
    blank_before_colon, // In a Content- field: some do not see it.
    control,            // NUL, VT, FF, bare CR and the like in the header.
    bare_newline,       // LF without CR in a header or at a boundary. Taken as a line end.
    unended_header,     // A boundary, or the end of the message, before the empty line.

    // Content- fields.
    doubled_field,
    malformed_field,     // Not by the grammar, or hides a name or boundary that some would find.
    malformed_parameter, // The same for a parameter: unquoted blanks, text behind a quote.
    doubled_parameter,
    plain_and_extended,     // `name` and `name*` with different values.
    names_differ,           // filename of the disposition, name of the type.
    broken_continuation,    // name*0 missing, name*2 behind name*0, doubled.
    broken_encoded_word,    // Text beside an encoded word, or a word that does not end.
    unknown_charset,        // Of a name; its bytes are kept where they are UTF-8.
    invalid_text,           // Bytes of a name that its charset has not.
    unknown_encoding,       // Taken as identity.
    conflicting_boundaries, // The first counts. Or one with blanks at its ends, which count.
    odd_boundary,           // Characters that RFC 2046 forbids, or over 70.

    // Structure.
    no_boundary,         // A multipart without, or with one over the limit: an opaque body.
    boundary_clash,      // Equal to one of an open multipart, or one begins with the other.
    near_boundary,       // "--boundary" and more on the line: for some it is one, not for us.
    boundary_after_end,  // Behind the closing boundary, where we have epilogue.
    no_parts,            // A multipart in which no part began.
    no_closing_boundary, // A multipart that is ended by an outer boundary or the message's end.
    encoded_message,     // message/rfc822 in base64 or quoted-printable. Not walked.
    encoded_multipart,   // Walked as if it were not encoded.
    partial_message,     // message/partial
    external_body,       // message/external-body

    // Over a limit. What follows is opaque.
    too_deep,
    too_many_parts,
    long_header,
    too_many_fields,
    too_many_parameters, // Or names.
};
inline constexpr std::size_t ambiguity_count = 35;

// "near_boundary"
[[nodiscard]] byte_view text_of(ambiguity kind) noexcept;

class ambiguity_set {
public:
    constexpr void add(ambiguity kind) noexcept { bits_ |= bit(kind); }

    constexpr void add(ambiguity_set others) noexcept { bits_ |= others.bits_; }

    [[nodiscard]] constexpr bool has(ambiguity kind) const noexcept {
        return (bits_ & bit(kind)) != 0;
    }

    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }

    bool operator==(const ambiguity_set&) const = default;

private:
    static constexpr std::uint64_t bit(ambiguity kind) noexcept {
        return std::uint64_t{1} << static_cast<unsigned>(kind);
    }

    std::uint64_t bits_ = 0;
};

} // namespace ebbgate::mime
