#include "ebbgate/smtp/data_decoder.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ebbgate::smtp {
namespace {

// Text is looked at in blocks of 64 bytes, one bit a byte: each LF must stand right behind a CR
// and each CR right before an LF, so the two masks are equal when one is shifted; a dot at a line
// start is a dot bit behind an LF bit. Blocks where all is well, nearly all, cost no branch a byte.
constexpr std::size_t block_bytes = 64;

#if defined(__SSE2__)
struct block_masks {
    std::uint64_t cr;
    std::uint64_t lf;
    std::uint64_t dot;
};

std::uint64_t equal_mask(const __m128i (&lanes)[4], char wanted) noexcept {
    const __m128i pattern = _mm_set1_epi8(wanted);
    std::uint64_t mask = 0;
    for (unsigned i = 0; i < 4; ++i) {
        const auto bits =
            static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(lanes[i], pattern)));
        mask |= static_cast<std::uint64_t>(bits) << (16 * i);
    }
    return mask;
}

block_masks look_at(const char* bytes) noexcept {
    __m128i lanes[4];
    for (unsigned i = 0; i < 4; ++i) {
        lanes[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * i));
    }
    return {equal_mask(lanes, '\r'), equal_mask(lanes, '\n'), equal_mask(lanes, '.')};
}

// Whether the block needs no closer look; then `position` moves behind it.
bool pass_block(const char* bytes, line_position& position) noexcept {
    const block_masks masks = look_at(bytes);
    const std::uint64_t after_cr =
        (masks.cr << 1) | static_cast<std::uint64_t>(position == line_position::after_cr);
    const std::uint64_t line_starts =
        (masks.lf << 1) | static_cast<std::uint64_t>(position == line_position::line_start);
    if (after_cr != masks.lf || (masks.dot & line_starts) != 0) {
        return false;
    }
    if ((masks.cr >> 63) != 0) {
        position = line_position::after_cr;
    } else {
        position = (masks.lf >> 63) != 0 ? line_position::line_start : line_position::in_line;
    }
    return true;
}
#endif

// One byte. True when the scan goes on.
bool pass_byte(char byte, line_position& position, scan_stop& stop) noexcept {
    if (position == line_position::after_cr) {
        if (byte != '\n') {
            stop = scan_stop::bare_cr;
            return false;
        }
        position = line_position::line_start;
        return true;
    }
    if (byte == '\n') {
        stop = scan_stop::bare_lf;
        return false;
    }
    if (byte == '.' && position == line_position::line_start) {
        stop = scan_stop::dot;
        return false;
    }
    position = byte == '\r' ? line_position::after_cr : line_position::in_line;
    return true;
}

std::optional<data_fault> fault_of(scan_stop stop) noexcept {
    switch (stop) {
    case scan_stop::bare_cr:
        return data_fault::bare_cr;
    case scan_stop::bare_lf:
        return data_fault::bare_lf;
    case scan_stop::end:
    case scan_stop::dot:
        break;
    }
    return std::nullopt;
}

} // namespace

scan_result scan_text(byte_view text, line_position& position) noexcept {
    std::size_t at = 0;
    scan_stop stop = scan_stop::end;
    while (at < text.size()) {
        std::size_t closer_look_end = text.size();
#if defined(__SSE2__)
        while (text.size() - at >= block_bytes && pass_block(text.data() + at, position)) {
            at += block_bytes;
        }
        if (text.size() - at > block_bytes) {
            closer_look_end = at + block_bytes;
        }
#endif
        for (; at < closer_look_end; ++at) {
            if (!pass_byte(text[at], position, stop)) {
                return {at, stop};
            }
        }
    }
    return {at, stop};
}

data_step data_decoder::feed(byte_view chunk) noexcept {
    data_step step;
    std::size_t at = 0;
    // `message_end` stops before a dot that may belong to the end mark.
    std::size_t message_end = 0;
    while (at < chunk.size()) {
        if (hold_ == hold::nothing) {
            const scan_result scanned = scan_text(chunk.substr(at), position_);
            at += scanned.scanned_bytes;
            message_end = at;
            if (scanned.stop == scan_stop::dot) {
                hold_ = hold::dot;
                ++at;
                continue;
            }
            step.fault = fault_of(scanned.stop);
            break;
        }
        const char byte = chunk[at];
        if (hold_ == hold::dot_cr) {
            if (byte == '\n') {
                step.complete = true;
                step.consumed_bytes = at + 1;
                step.message = chunk.substr(0, message_end);
                return step;
            }
            step.fault = data_fault::bare_cr;
            break;
        }
        if (byte == '\r') {
            hold_ = hold::dot_cr;
            ++at;
            continue;
        }
        // No end mark after all: the dot is content, and a stuffed one in what peers send.
        hold_ = hold::nothing;
        position_ = line_position::in_line;
        ++step.stuffed_dots;
        if (at == 0) {
            step.carry = ".";
        }
    }
    step.consumed_bytes = at;
    step.message = chunk.substr(0, message_end);
    return step;
}

stuffing_step bdat_stuffer::next(byte_view rest) noexcept {
    if (rest.empty()) {
        return {};
    }
    if (dot_added_) {
        dot_added_ = false;
        position_ = line_position::in_line;
    }
    // The dot of the text itself is passed with what follows it.
    const scan_result scanned = scan_text(rest, position_);
    if (scanned.stop == scan_stop::dot && scanned.scanned_bytes == 0) {
        dot_added_ = true;
        return {0, ".", std::nullopt};
    }
    return {scanned.scanned_bytes, rest.substr(0, scanned.scanned_bytes), fault_of(scanned.stop)};
}

stuffing_step bdat_stuffer::finish() noexcept {
    if (position_ == line_position::after_cr) {
        return {0, {}, data_fault::bare_cr};
    }
    if (position_ == line_position::line_start) {
        return {};
    }
    position_ = line_position::line_start;
    return {0, "\r\n", std::nullopt};
}

stuffing_step dot_unstuffer::next(byte_view rest) noexcept {
    const scan_result scanned = scan_text(rest, position_);
    const byte_view output = rest.substr(0, scanned.scanned_bytes);
    if (scanned.stop != scan_stop::dot) {
        return {scanned.scanned_bytes, output, fault_of(scanned.stop)};
    }
    position_ = line_position::in_line;
    return {scanned.scanned_bytes + 1, output, std::nullopt};
}

} // namespace ebbgate::smtp
