// Files inside a body that no header announces: uuencode and yEnc in text, and TNEF.
//
// Input   A part's decoded body, in chunks of any size.
// Output  What was found, with the name its line gives (UTF-8, or U+FFFD for each bad byte).
// Bounds  One line of line_bytes_max is kept, and files_max finds; more are counted only.
// Specs   POSIX uuencode; yEnc 1.3; MS-OXTNEF 2.1.3.1.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::mime {

enum class embedded_kind : std::uint8_t {
    uuencode,        // "begin 644 name"
    uuencode_base64, // "begin-base64 644 name"
    yenc,            // "=ybegin ... name=..."
    tnef,            // The signature; its names are inside.
};

struct embedded_file {
    embedded_kind kind = embedded_kind::uuencode;
    std::string name;
    std::uint64_t at = 0; // Of its line in the decoded body.

    bool operator==(const embedded_file&) const = default;
};

class embedded_files {
public:
    static constexpr std::size_t line_bytes_max = 1 * kib;
    static constexpr std::size_t files_max = 64;

    void push(byte_view decoded);
    void finish();

    [[nodiscard]] std::span<const embedded_file> found() const noexcept { return found_; }

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

private:
    void take_line(byte_view line, std::uint64_t at);
    void add(embedded_kind kind, byte_view name, std::uint64_t at);

    std::vector<embedded_file> found_;
    std::uint64_t count_ = 0;
    std::uint64_t at_ = 0; // Of the next chunk.
    std::string held_;     // The start of a line that may announce a file.
    bool at_line_start_ = true;
    std::string first_bytes_;
};

// By type or name: application/ms-tnef, application/vnd.ms-tnef, winmail.dat. See also the
// signature, which embedded_files finds.
struct content_fields;
[[nodiscard]] bool says_tnef(const content_fields& content) noexcept;

} // namespace ebbgate::mime
