#include "ebbgate/mail/header_scanner.h"

#include "ebbgate/base/assert.h"

#include "base/text.h"

#include <algorithm>
#include <cstring>

namespace ebbgate::mail {
namespace {

constexpr std::size_t usual_header_bytes = 2 * kib;
constexpr std::size_t line_bytes_max = 998; // RFC 5322 2.1.1, without CRLF.

// RFC 5322 2.2: printable ASCII without the colon.
constexpr bool in_name(char c) noexcept {
    return c > ' ' && c < 0x7f && c != ':';
}

// No early exit: the compiler makes vector code of it.
bool has_control(byte_view line) noexcept {
    unsigned found = 0;
    for (const char c : line) {
        const auto byte = static_cast<unsigned char>(c);
        found |= static_cast<unsigned>(byte < 0x20) & static_cast<unsigned>(byte != '\t');
    }
    return found != 0;
}

} // namespace

header_scanner::header_scanner(header_limits limits) noexcept : limits_(limits) {
    EBBGATE_ASSERT(limits.bytes_max <= gib); // The places in a field have 32 bits.
}

void header_scanner::scan(byte_view chunk) {
    if (text_.capacity() < usual_header_bytes) {
        text_.reserve(usual_header_bytes);
    }
    while (!chunk.empty() && !complete_) {
        if (at_line_start_) {
            at_line_start_ = false;
            // Whether the sender stuffed it or not: every receiver takes this dot away.
            if (chunk.front() == '.') {
                ++wire_bytes_;
                chunk.remove_prefix(1);
                continue;
            }
        }
        const auto* line_end =
            static_cast<const char*>(std::memchr(chunk.data(), '\n', chunk.size()));
        const std::size_t taken_bytes = line_end == nullptr
                                            ? chunk.size()
                                            : static_cast<std::size_t>(line_end - chunk.data()) + 1;
        if (taken_bytes > limits_.bytes_max - text_.size()) {
            end_before_line(header_fault::too_long);
            return;
        }
        text_.append(chunk.data(), taken_bytes);
        wire_bytes_ += taken_bytes;
        chunk.remove_prefix(taken_bytes);
        if (line_end != nullptr && byte_view(text_).substr(text_end_).ends_with("\r\n")) {
            take_line();
        }
    }
}

void header_scanner::finish() {
    if (complete_) {
        return;
    }
    if (text_.size() > text_end_) {
        text_.append("\r\n"); // Wire form ends with CRLF, so only a caller's cut comes here.
        take_line();
    }
    complete_ = true;
}

void header_scanner::clear() noexcept {
    text_.clear();
    fields_.clear();
    faults_.fill(nowhere);
    text_end_ = 0;
    line_wire_at_ = 0;
    wire_bytes_ = 0;
    at_line_start_ = true;
    complete_ = false;
}

void header_scanner::take_line() {
    const byte_view line =
        byte_view(text_).substr(text_end_, text_.size() - text_end_ - byte_view("\r\n").size());
    if (line.empty()) {
        text_.resize(text_end_);
        line_wire_at_ = wire_bytes_;
        complete_ = true;
        return;
    }
    if (!(is_blank(line.front()) ? take_continuation(line) : take_field(line))) {
        return;
    }
    note_controls(line);
    if (line.size() > line_bytes_max) {
        note(header_fault::long_line);
    }
    start_next_line();
}

// False: the header is over, or the line was skipped.
bool header_scanner::take_field(byte_view line) {
    const field_place place = find_field(line);
    if (place.name_bytes == 0) {
        if (line_wire_at_ == 0 && line.starts_with("From ")) {
            note(header_fault::mbox_line);
            text_.resize(text_end_);
            start_next_line();
        } else {
            end_before_line(header_fault::malformed_line);
        }
        return false;
    }
    if (fields_.size() >= limits_.fields_max) {
        end_before_line(header_fault::too_many_fields);
        return false;
    }
    fields_.push_back({static_cast<std::uint32_t>(text_end_),
                       static_cast<std::uint32_t>(place.name_bytes),
                       static_cast<std::uint32_t>(text_end_ + place.value_at),
                       static_cast<std::uint32_t>(text_.size() - text_end_),
                       static_cast<std::uint32_t>(line_wire_at_),
                       static_cast<std::uint32_t>(wire_bytes_ - line_wire_at_)});
    return true;
}

bool header_scanner::take_continuation(byte_view line) {
    if (fields_.empty()) {
        // It would continue the field that we put in front: Received, DKIM-Signature.
        end_before_line(header_fault::malformed_line);
        return false;
    }
    if (std::all_of(line.begin(), line.end(), is_blank)) {
        note(header_fault::blank_line);
    }
    header_field& field = fields_.back();
    field.bytes += static_cast<std::uint32_t>(text_.size() - text_end_);
    field.wire_bytes += static_cast<std::uint32_t>(wire_bytes_ - line_wire_at_);
    return true;
}

void header_scanner::start_next_line() noexcept {
    text_end_ = text_.size();
    line_wire_at_ = wire_bytes_;
    at_line_start_ = true;
}

void header_scanner::end_before_line(header_fault fault) {
    note(fault);
    text_.resize(text_end_);
    complete_ = true;
}

void header_scanner::note(header_fault fault) noexcept {
    std::uint64_t& first = faults_[static_cast<std::size_t>(fault)];
    first = std::min<std::uint64_t>(first, line_wire_at_);
}

void header_scanner::note_controls(byte_view line) noexcept {
    if (!has_control(line)) {
        return;
    }
    if (line.find('\0') != byte_view::npos) {
        note(header_fault::nul);
    }
    if (line.find_first_of("\n\v\f\r\x1c\x1d\x1e") != byte_view::npos) {
        note(header_fault::line_control);
    }
}

std::optional<std::size_t> header_scanner::fault_at(header_fault fault) const noexcept {
    const std::uint64_t first = faults_[static_cast<std::size_t>(fault)];
    if (first == nowhere) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(first);
}

std::string unfolded(byte_view value) {
    std::string line;
    line.reserve(value.size());
    while (true) {
        const std::size_t fold = value.find("\r\n");
        line.append(value.substr(0, fold));
        if (fold == byte_view::npos) {
            return line;
        }
        value.remove_prefix(fold + 2);
    }
}

field_place find_field(byte_view line) noexcept {
    std::size_t at = 0;
    while (at < line.size() && in_name(line[at])) {
        ++at;
    }
    const std::size_t name_bytes = at;
    while (at < line.size() && is_blank(line[at])) {
        ++at;
    }
    if (at == line.size() || line[at] != ':') {
        return {};
    }
    return {name_bytes, at + 1};
}

std::size_t header_scanner::count(byte_view wanted) const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(
        fields_, [&](const header_field& one) { return is_name(name(one), wanted); }));
}

bool is_name(byte_view text, byte_view name) noexcept {
    return equals_ignoring_case(text, name);
}

} // namespace ebbgate::mail
