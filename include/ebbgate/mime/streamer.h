// Takes a message apart while it passes by: parts, their headers and bodies, to a visitor.
//
// Input   The message as text: CRLF lines, dots not stuffed, in chunks of any size. A bare LF ends
//         a line, too, and is reported (it comes in decoded messages only).
// Output  Events, the same for each chunking; only `bytes` of one region may be cut differently.
//         The concatenation of all views given to `bytes`, in order, is the message, and offsets
//         are places in it. When `header` is called, no byte of that part was given yet, and when
//         `body_end` is, no byte behind the body was: a visitor may leave out or replace what it
//         likes and pass on the rest.
// Owner   The visitor outlives the streamer. It must not call back.
// Fails   Never, and no scan ends early. What readers see differently goes to `unclear`.
// Bounds  stream_limits. Memory: one header, content_fields of each open part, and the line that
//         may be a boundary (below 2 KiB). Lines of a body may have any length. Over a limit, the
//         rest is an opaque body, still within the boundaries outside of it. Time is linear.
// Specs   RFC 2046, RFC 5322, RFC 6532.
//
// The line end before a boundary is the boundary's, except where it ends a header or another
// boundary; the one behind a closing boundary is epilogue.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/mail/header_scanner.h"
#include "ebbgate/mime/ambiguity.h"
#include "ebbgate/mime/content_fields.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace ebbgate::mime {

struct stream_limits {
    std::uint32_t depth_max = 20; // Of a part; the message itself has depth 0.
    std::uint32_t parts_max = 1000;
    std::size_t header_bytes_max = 64 * kib; // Of each part. At most 1 GiB.
    std::size_t fields_max = 1000;           // Of each part.
};

enum class part_kind : std::uint8_t {
    leaf,
    multipart,       // Its parts follow.
    message,         // One part follows: the message in it.
    encoded_message, // A leaf: decode it, and give it to a streamer of its own. Or refuse.
    partial_message, // A leaf.
    external_body,   // A leaf.
};

inline constexpr std::uint32_t no_part = std::numeric_limits<std::uint32_t>::max();

struct part {
    std::uint32_t index = 0; // In the order of their headers.
    std::uint32_t parent = no_part;
    std::uint32_t depth = 0;
    part_kind kind = part_kind::leaf;
    std::uint64_t header_at = 0; // A field is at header_at + field.at.
    std::uint64_t body_at = 0;
    content_fields content;
};

enum class region : std::uint8_t {
    header,   // With the empty line. Given in one view.
    body,     // Of a leaf, or what is opaque.
    preamble, // These three are of a multipart.
    boundary, // Its line, in one view.
    epilogue,
};

class visitor {
public:
    virtual ~visitor() = default;

    // Only index, parent, depth and header_at are known.
    virtual void part_begin(const part& /*it*/) {}

    virtual void header(const part& /*it*/, const part_header& /*header*/) {}

    virtual void
    bytes(const part& /*it*/, region /*where*/, std::uint64_t /*at*/, byte_view /*bytes*/) {}

    // `at`: where the body ended. Of a multipart or message, behind its parts.
    virtual void body_end(const part& /*it*/, std::uint64_t /*at*/) {}

    virtual void part_end(const part& /*it*/) {}

    // Once for each kind in each part; `at`: near it. What was given before it is the same for each
    // chunking.
    virtual void unclear(const part& /*it*/, ambiguity /*kind*/, std::uint64_t /*at*/) {}

protected:
    visitor() = default;
    visitor(const visitor&) = default;
    visitor& operator=(const visitor&) = default;
};

class streamer {
public:
    explicit streamer(visitor& events, stream_limits limits = {});

    void push(byte_view chunk);

    // The message is over. Once.
    void finish();

    // For the next message; keeps the buffers.
    void clear();

    // Of what was pushed, how much was given to the visitor.
    [[nodiscard]] std::uint64_t given_bytes() const noexcept { return given_; }

private:
    struct frame {
        part it;
        std::string delimiter; // "--boundary"; empty: no multipart.
        bool closed = false;
        bool has_parts = false;
        ambiguity_set reported;
    };

    enum class verdict : std::uint8_t { text, undecided, boundary };

    struct judged {
        verdict is = verdict::text;
        std::size_t frame_at = 0; // Whose boundary.
        bool closing = false;
    };

    void begin_part(std::uint32_t parent);
    [[nodiscard]] std::size_t take_header(byte_view chunk);
    void take_header_line(byte_view line);
    [[nodiscard]] bool take_header_field(byte_view line);
    void end_header(std::size_t bytes);
    void report_header(const part_header& header);
    void open_body(frame& open);
    [[nodiscard]] bool add_delimiter(frame& open);
    [[nodiscard]] std::size_t take_body(byte_view chunk);
    [[nodiscard]] std::size_t take_line_start(byte_view chunk);
    [[nodiscard]] bool skip_held_line_end(byte_view& chunk, std::size_t& taken);
    void give_held_text();
    void finish_held();
    [[nodiscard]] judged judge(byte_view line, bool ended) noexcept;
    [[nodiscard]] judged judge_ahead(byte_view text) noexcept;
    void report(const judged& line, std::uint64_t at);
    void take_boundary(const judged& line, byte_view bytes);
    void close_parts_above(std::size_t frames);
    void give_text(byte_view bytes);
    void give(const part& it, region where, byte_view bytes);
    void note(frame& open, ambiguity kind, std::uint64_t at);

    visitor& events_;
    stream_limits limits_;
    std::vector<frame> open_; // From the message down to the part that is being read.
    std::size_t open_multiparts_ = 0;
    std::uint32_t parts_ = 0;
    std::uint64_t given_ = 0;

    bool in_header_ = false;
    std::string header_; // Of the part that is being read.
    std::size_t line_at_ = 0;
    std::vector<mail::header_field> fields_;

    bool opaque_ = false;
    bool at_line_start_ = false;
    std::string held_; // A line end, and the line behind it that may be a boundary.
    std::size_t held_line_end_bytes_ = 0;

    // What judge() saw by the way: frames' places + 1.
    std::size_t near_ = 0;
    std::size_t after_end_ = 0;
};

} // namespace ebbgate::mime
