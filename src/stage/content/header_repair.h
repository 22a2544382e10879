// What is changed in the header of a message before it is signed: as little as possible.
//
// Stage   4 of 8.
// Input   A complete header scanner, and what a missing field is given.
// Output  The header that leaves, as pieces of the wire form that came and of new text. Bcc and
//         Resent-Bcc are gone; Message-ID and Date are there; a field that may stand once stands
//         once; an empty line ends the header.
// Owner   Free functions and values.
// Fails   When programs could read the header differently, or when the message loops: a refusal
//         with its reply.
// Bounds  Those of the scanner; linear in the header for each of a dozen names.
// Specs   RFC 5322 sections 3.6 and 3.6.3, RFC 2045, RFC 6409 section 8, RFC 5321 section 6.3.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/mail/date.h"
#include "ebbgate/mail/header_scanner.h"
#include "ebbgate/smtp/reply.h"

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::content {

struct repair_values {
    std::string_view id;       // Of the message: letters and digits.
    std::string_view hostname; // Behind the @ of a Message-ID.
    std::int64_t unix_s = 0;   // For Date.
};

enum class header_problem : std::uint8_t {
    unclear,  // A NUL, or what some programs take for a line end.
    too_long, // Over the scanner's limits: it was not seen to its end.
    repeated, // A field that may stand once, with another value.
    looping,  // It went through more than hops_max servers.
};

// RFC 5321 6.3: at least 100 Received fields, "to ensure that normal mail is not rejected".
inline constexpr std::size_t hops_max = 100;

struct header_refusal {
    header_problem problem = header_problem::unclear;
    std::string_view field; // Of `repeated`: as its specification writes it.

    bool operator==(const header_refusal&) const = default;
};

// 550 5.6.0, or 554 5.4.6
[[nodiscard]] smtp::reply to_reply(const header_refusal& refusal);

struct header_piece {
    bool inserted = false; // Else a part of the wire form that came.
    std::uint32_t at = 0;  // In it, or in `repaired_header::text`.
    std::uint32_t bytes = 0;

    bool operator==(const header_piece&) const = default;
};

struct repaired_header {
    std::vector<header_piece> pieces; // In order; the empty line is in the last one.
    std::string text;                 // What was added.
    std::uint32_t removed_fields = 0;

    std::uint32_t removed_bytes = 0;

    // The message can go as it came.
    [[nodiscard]] bool unchanged() const noexcept { return text.empty() && removed_bytes == 0; }
};

[[nodiscard]] std::expected<repaired_header, header_refusal>
repair(const mail::header_scanner& header, const repair_values& values);

// The header that leaves. `wire` begins with the bytes that the scanner was fed.
[[nodiscard]] std::string assembled(const repaired_header& header, byte_view wire);

using mail::date_text;

} // namespace ebbgate::content
