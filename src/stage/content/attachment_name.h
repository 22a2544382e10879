// May an attachment of these names leave? Judges the last extension, as any program might see it.
//
// Stage   4 of 8.
// Input   Every reading of a part's names, decoded to UTF-8 (invalid bytes are allowed), and its
//         declared type.
// Output  Whether the part is an attachment, its extensions, and the refusal.
// Owner   Free functions.
// Fails   Never; what programs may read differently is refused as ambiguous.
// Bounds  names_max, name_bytes_max, percent_rounds_max; beyond them: ambiguous.
// Specs   RFC 2046, RFC 2183. What Windows drops from a name: trailing dots and blanks, paths,
//         ":stream".

#pragma once

#include "ebbgate/base/bytes.h"

#include "stage/content/refusal.h"
#include "stage/policy/content.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::content {

inline constexpr std::size_t names_max = 32;
inline constexpr std::size_t name_bytes_max = 4 * kib;
inline constexpr std::size_t name_characters_max = 255; // Beyond it file systems cut names.
inline constexpr int percent_rounds_max = 3;

// All extensions that programs may see in one name: lower case, each once, "" for none.
struct extension_readings {
    std::vector<std::string> extensions;
    bool ambiguous = false; // Beyond the bounds: there may be others.

    void add(byte_view extension);
};

[[nodiscard]] extension_readings extensions_of(byte_view name);

struct part_description {
    std::span<const std::string> names;
    byte_view type;          // "application/pdf" without parameters, any case. Empty: text/plain.
    bool attachment = false; // Its disposition is not `inline`.
};

struct name_judgement {
    bool is_attachment = false;
    std::optional<attachment_refusal> refusal;
    std::string name;                    // For texts; of a part without one what it is.
    std::vector<std::string> extensions; // What its content has to agree with.
};

[[nodiscard]] name_judgement judge_names(const policy::attachment_settings& settings,
                                         const part_description& part);

} // namespace ebbgate::content
