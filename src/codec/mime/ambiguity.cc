#include "ebbgate/mime/ambiguity.h"

#include <array>

namespace ebbgate::mime {

byte_view text_of(ambiguity kind) noexcept {
    static constexpr std::array<byte_view, ambiguity_count> names{"malformed_line",
                                                                  "mbox_line",
                                                                  "blank_line",
                                                                  "blank_before_colon",
                                                                  "control",
                                                                  "bare_newline",
                                                                  "unended_header",
                                                                  "doubled_field",
                                                                  "malformed_field",
                                                                  "malformed_parameter",
                                                                  "doubled_parameter",
                                                                  "plain_and_extended",
                                                                  "names_differ",
                                                                  "broken_continuation",
                                                                  "broken_encoded_word",
                                                                  "unknown_charset",
                                                                  "invalid_text",
                                                                  "unknown_encoding",
                                                                  "conflicting_boundaries",
                                                                  "odd_boundary",
                                                                  "no_boundary",
                                                                  "boundary_clash",
                                                                  "near_boundary",
                                                                  "boundary_after_end",
                                                                  "no_parts",
                                                                  "no_closing_boundary",
                                                                  "encoded_message",
                                                                  "encoded_multipart",
                                                                  "partial_message",
                                                                  "external_body",
                                                                  "too_deep",
                                                                  "too_many_parts",
                                                                  "long_header",
                                                                  "too_many_fields",
                                                                  "too_many_parameters"};
    static_assert(static_cast<std::size_t>(ambiguity::too_many_parameters) + 1 == ambiguity_count);
    return names[static_cast<std::size_t>(kind)];
}

} // namespace ebbgate::mime
