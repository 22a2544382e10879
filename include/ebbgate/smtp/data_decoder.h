// Finds the end of a message in the bytes that follow DATA, and keeps the message in wire form.
//
// Input   What the peer sent after the 354 reply, in chunks of any size.
// Output  Views of bytes to keep, in order: CRLF lines, dots still stuffed, as the spool stores
//         them and delivery sends them again. The line of the single dot is not among them.
// Fails   On a bare CR or a bare LF, which is never repaired: two servers that repair differently
//         can be made to disagree about where a message ends (SMTP smuggling).
// Bounds  Four bytes of state between calls; nothing of the chunk is copied.
// Specs   RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <expected>

namespace ebbgate::smtp {

enum class data_fault : std::uint8_t { bare_cr, bare_lf };

struct data_progress {
    // Bytes of the message: first what an earlier chunk left undecided (a view of a literal, at
    // most ".\r"), then the part of this chunk. Either may be empty.
    byte_view held_back;
    byte_view message;
    std::size_t consumed_bytes = 0; // Of this chunk; the rest belongs to the next command.
    bool complete = false;
};

class data_decoder {
public:
    // Call again with the following bytes until `complete`. After a fault, never again.
    [[nodiscard]] std::expected<data_progress, data_fault> feed(byte_view chunk) noexcept;

private:
    enum class state : std::uint8_t { line_start, in_line, cr_seen, dot_seen, dot_cr_seen };

    state state_ = state::line_start;
};

// Makes wire form of BDAT chunks: stuffs dots at line starts, over any chunk border.
class bdat_stuffer {
public:
    // Appends to `wire`, which needs room for twice the chunk at worst.
    template <typename Sink>
    [[nodiscard]] std::expected<void, data_fault> feed(byte_view chunk, Sink&& append) {
        while (!chunk.empty()) {
            const auto step = next(chunk);
            if (!step) {
                return std::unexpected(step.error());
            }
            if (step->dot_first) {
                append(byte_view("."));
            }
            append(chunk.substr(0, step->bytes));
            chunk.remove_prefix(step->bytes);
        }
        return {};
    }

    // The end of the last chunk: what to append so that the message ends with CRLF.
    [[nodiscard]] std::expected<byte_view, data_fault> finish() const noexcept;

private:
    struct stuffed {
        std::size_t bytes = 0;
        bool dot_first = false;
    };
    enum class state : std::uint8_t { line_start, in_line, cr_seen };

    [[nodiscard]] std::expected<stuffed, data_fault> next(byte_view chunk) noexcept;

    state state_ = state::line_start;
};

// The way back: removes the dots that stuffing added, for BDAT output, export and POP3 clients.
class dot_unstuffer {
public:
    template <typename Sink>
    void feed(byte_view wire, Sink&& append) {
        while (!wire.empty()) {
            if (line_start_ && wire.front() == '.') {
                wire.remove_prefix(1);
                line_start_ = false;
                continue;
            }
            const std::size_t end = wire.find('\n');
            const std::size_t bytes = end == byte_view::npos ? wire.size() : end + 1;
            line_start_ = end != byte_view::npos;
            append(wire.substr(0, bytes));
            wire.remove_prefix(bytes);
        }
    }

private:
    bool line_start_ = true;
};

} // namespace ebbgate::smtp
