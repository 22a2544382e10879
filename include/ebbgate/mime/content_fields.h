// What the Content- fields of a part say, and every way in which readers could take them.
//
// Input   The fields of a header.
// Output  Type, boundary, encoding, disposition, and all names that a reader might show for the
//         part: of filename and name, plain and extended, of each doubled one; of Content-Name and
//         X-Sun-Data-Name. UTF-8.
// Fails   Never: what is unclear is in `unclear`, and a rule that judges names judges them all.
// Bounds  parameters_max, names_max, boundary_bytes_max; comments of any depth, by a counter. Time
//         linear in the header.
// Specs   RFC 2045, RFC 2046 5.1.1, RFC 2047, RFC 2183, RFC 2231, RFC 6532.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/mail/header_scanner.h"
#include "ebbgate/mime/ambiguity.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::mime {

inline constexpr std::size_t parameters_max = 100; // Of one field, sections of RFC 2231 counted.
inline constexpr std::size_t names_max = 64;       // Of one part.
inline constexpr std::size_t boundary_bytes_usual = 70;
inline constexpr std::size_t boundary_bytes_max = 256;

enum class transfer_encoding : std::uint8_t { identity, base64, quoted_printable, uuencode };

// The fields of a part's header; views live as long as the call they are given to.
struct part_header {
    byte_view text; // All lines of the header; the empty line is the last, if there was one.
    std::span<const mail::header_field> fields; // Places in `text`.

    [[nodiscard]] byte_view name(const mail::header_field& field) const noexcept {
        return text.substr(field.at, field.name_bytes);
    }

    // As it came, with its line end.
    [[nodiscard]] byte_view raw(const mail::header_field& field) const noexcept {
        return text.substr(field.at, field.bytes);
    }

    [[nodiscard]] byte_view value(const mail::header_field& field) const noexcept;
};

struct content_fields {
    // Of the first Content-Type, in lower case; the default where there is none or it is unclear.
    std::string type = "text";
    std::string subtype = "plain";
    bool has_type = false;
    std::vector<std::string> types; // "text/html" of each Content-Type.

    std::vector<std::string> boundaries; // The first counts. Only those within the limit.
    std::string charset;                 // As written.

    transfer_encoding encoding = transfer_encoding::identity;
    std::string encoding_name; // As written, in lower case; of the first field.

    std::string disposition; // "attachment", in lower case; empty: no such field.
    std::string content_id;  // With its brackets.
    std::vector<std::string> names;

    ambiguity_set unclear;

    [[nodiscard]] bool is(byte_view wanted_type, byte_view wanted_subtype) const noexcept {
        return type == wanted_type && subtype == wanted_subtype;
    }

    bool operator==(const content_fields&) const = default;
};

// `digest`: the part is in a multipart/digest, where the default is message/rfc822.
[[nodiscard]] content_fields read_content(const part_header& header, bool digest = false);

} // namespace ebbgate::mime
