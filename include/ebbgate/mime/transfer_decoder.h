// Decodes a body while it passes by, as tolerantly as mail programs do.
//
// Input   The body of a part in chunks of any size, and its encoding.
// Output  Appended to a string: at most the bytes that came in, and a few; of uuencode up to 32
// times
//         as many, for blanks cut off at a line's end stand for zeros. The same bytes for each
//         chunking.
// Fails   Never: what is irregular is skipped or kept as it is, and said in `irregular()`.
// Bounds  A line of uuencode, or up to 1 KiB of blanks in quoted-printable, is held.
// Specs   RFC 2045 section 6; POSIX uuencode, with blank or grave for a zero.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/mime/content_fields.h"

#include <array>
#include <cstdint>
#include <string>

namespace ebbgate::mime {

struct irregularities {
    bool foreign_byte = false; // base64: no digit and no blank. Quoted-printable: "=" before none.
    bool padding_within = false; // base64: data behind the padding, where some stop reading.
    bool truncated = false;      // An incomplete group, escape or uuencode.

    [[nodiscard]] bool any() const noexcept { return foreign_byte || padding_within || truncated; }

    bool operator==(const irregularities&) const = default;
};

class transfer_decoder {
public:
    // uuencode: from "begin" to "end"; other lines are skipped.
    explicit transfer_decoder(transfer_encoding encoding) noexcept : encoding_(encoding) {}

    void decode(byte_view encoded, std::string& out);

    // The body is over.
    void finish(std::string& out);

    [[nodiscard]] irregularities irregular() const noexcept { return irregular_; }

private:
    void decode_base64(byte_view encoded, std::string& out);
    void take_base64(char c, char*& to) noexcept;
    void decode_quoted(byte_view encoded, std::string& out);
    void take_quoted_text(byte_view text, std::string& out);
    [[nodiscard]] std::size_t take_escape(byte_view encoded, std::string& out);
    void decode_uuencode(byte_view encoded, std::string& out);
    void take_uuencode_line(std::string& out);

    transfer_encoding encoding_;
    irregularities irregular_;

    std::uint32_t bits_ = 0; // base64: digits of the group.
    std::uint8_t digits_ = 0;
    bool padded_ = false;

    std::string held_; // Blanks that may end a line, or an escape; uuencode: the line.
    enum class uu_state : std::uint8_t { before, within, after };
    uu_state uu_ = uu_state::before;
    bool skips_line_ = false;
};

} // namespace ebbgate::mime
