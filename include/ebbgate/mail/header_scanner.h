// Finds the header of a message in its bytes, and the fields in it.
//
// Input   The message in wire form (CRLF lines, a dot that starts a line is stuffed), in chunks of
//         any size.
// Output  The header unstuffed, and where each field lies in it and in the wire form. The header
//         ends with an empty line, or just before the first line that is neither a field nor the
//         continuation of one. Programs disagree about what follows such a line: whoever accepts
//         it must put an empty line in front of it (`header_wire_bytes()`), or refuse.
// Fails   Never; what is wrong is in `faults()`. A header over the limits ends there, as a fault.
// Bounds  header_limits. When the header is over, a chunk costs one comparison.
// Specs   RFC 5322 sections 2.2 and 4.5, RFC 6532.

#pragma once

#include "ebbgate/base/bytes.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::mail {

struct header_limits {
    std::size_t bytes_max = 64 * kib; // Unstuffed, the empty line included. At most 1 GiB.
    std::size_t fields_max = 1000;
};

enum class header_fault : std::uint8_t {
    malformed_line, // No field and no continuation; the header ended before it.
    mbox_line,      // "From " as the first line: mbox files have it, messages may not.
    blank_line,     // A continuation of nothing but blanks: for some programs the header's end.
    nul,            // C programs end a line or the header there.
    line_control,   // What some programs take for a line end: VT, FF, FS, GS, RS, bare CR or LF.
    long_line,      // Over 998 bytes: relays may break it.
    too_long,       // header_limits.
    too_many_fields,
};
inline constexpr std::size_t header_fault_count = 8;

// Places in `text()`, and in the bytes that were fed.
struct header_field {
    std::uint32_t at = 0;
    std::uint32_t name_bytes = 0;
    std::uint32_t value_at = 0; // Behind the colon; more than at + name_bytes + 1 if "Name :".
    std::uint32_t bytes = 0;    // With continuations and the last CRLF.
    std::uint32_t wire_at = 0;
    std::uint32_t wire_bytes = 0;

    [[nodiscard]] bool blank_before_colon() const noexcept {
        return value_at != at + name_bytes + 1;
    }

    bool operator==(const header_field&) const = default;
};

class header_scanner {
public:
    explicit header_scanner(header_limits limits = {}) noexcept;

    void feed(byte_view chunk) {
        if (!complete_) {
            scan(chunk);
        }
    }

    // The message is over: a header without an empty line ends here.
    void finish();

    // For the next message; keeps the buffer.
    void clear() noexcept;

    [[nodiscard]] bool complete() const noexcept { return complete_; }

    // The fields, each with its CRLF, without the empty line.
    // When the header is complete; before, of the lines that have ended.
    [[nodiscard]] byte_view text() const noexcept { return byte_view(text_).substr(0, text_end_); }

    // Where the body begins in the wire form: behind the empty line, if there was one.
    [[nodiscard]] std::size_t header_wire_bytes() const noexcept { return line_wire_at_; }

    // Where a fault was first seen: the wire form's offset of its line.
    [[nodiscard]] std::optional<std::size_t> fault_at(header_fault fault) const noexcept;

    [[nodiscard]] bool has(header_fault fault) const noexcept {
        return fault_at(fault).has_value();
    }

    [[nodiscard]] std::span<const header_field> fields() const noexcept { return fields_; }

    [[nodiscard]] byte_view name(const header_field& field) const noexcept {
        return text().substr(field.at, field.name_bytes);
    }

    // How many fields have this name; lower case, as for is_name(). Of "received": the hops.
    [[nodiscard]] std::size_t count(byte_view wanted) const noexcept;

    // The whole field, as DKIM signs it.
    [[nodiscard]] byte_view raw(const header_field& field) const noexcept {
        return text().substr(field.at, field.bytes);
    }

    // What is behind the colon, folded as it came, without the last CRLF.
    [[nodiscard]] byte_view value(const header_field& field) const noexcept {
        return text().substr(field.value_at, field.at + field.bytes - field.value_at - 2);
    }

private:
    static constexpr std::uint64_t nowhere = ~std::uint64_t{0};

    void scan(byte_view chunk);
    void take_line();
    [[nodiscard]] bool take_field(byte_view line);
    [[nodiscard]] bool take_continuation(byte_view line);
    void start_next_line() noexcept;
    void end_before_line(header_fault fault);
    void note(header_fault fault) noexcept;
    void note_controls(byte_view line) noexcept;

    header_limits limits_;
    std::string text_;
    std::vector<header_field> fields_;
    std::array<std::uint64_t, header_fault_count> faults_{
        nowhere, nowhere, nowhere, nowhere, nowhere, nowhere, nowhere, nowhere};
    std::size_t text_end_ = 0;     // Of the lines that are fields.
    std::size_t line_wire_at_ = 0; // Where the line began that is being read.
    std::size_t wire_bytes_ = 0;   // Of this and all lines before.
    bool at_line_start_ = true;
    bool complete_ = false;
};

// The value in one line: RFC 5322 2.2.3 takes out each CRLF in front of a blank.
[[nodiscard]] std::string unfolded(byte_view value);

// Where the name of the field on `line` ends and its value begins, behind the colon.
struct field_place {
    std::size_t name_bytes = 0; // 0: the line is no field.
    std::size_t value_at = 0;
};

[[nodiscard]] field_place find_field(byte_view line) noexcept;

// Any case; `name` is lower case.
[[nodiscard]] bool is_name(byte_view text, byte_view name) noexcept;

} // namespace ebbgate::mail
