// Large attachments become links: cuts them out of a message while it passes by, and puts a text
// with the link in their place.
//
// Stage   4 of 8.
// Input   The message as text (not dot-stuffed), header first, in chunks of any size.
// Output  To its sink: the text that leaves, but for the message's own header, and the decoded
//         content of what is or may be cut out.
// Owner   One a message; sink and settings outlive it.
// Fails   Never. What programs may read differently stays in the message as it is.
// Bounds  Those of mime::streamer, and links_max. No content is kept here: what may be cut out goes
// on as it
//         comes, and is taken back when it has become too large.
// Specs   RFC 2046, RFC 2183, RFC 2392; docs/filelink.md, what is never touched.

#pragma once

#include "ebbgate/mime/streamer.h"
#include "ebbgate/mime/transfer_decoder.h"

#include "stage/content/cid_finder.h"
#include "stage/policy/content.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::content {

struct large_file {
    std::string name; // As it was sent, UTF-8 where it could be decoded. Escape it.
    std::string type; // "application/pdf"
    std::uint64_t bytes = 0;
};

class filelink_sink {
public:
    // The text that leaves. Nothing of the message's own header.
    virtual void keep(byte_view text) = 0;
    // A part begins that may become a link; with it a file, whose content is given by
    // add_to_file(). The mark of an earlier part is of no more use.
    virtual void begin_file() = 0;
    virtual void add_to_file(byte_view decoded) = 0;
    // The part stays in the message.
    virtual void drop_file() = 0;
    // It becomes a link: what was kept since begin_file() is not part of the message.
    virtual void cut_file() = 0;
    // All of the file is there: returns the URL that it gets.
    virtual std::string end_file(const large_file& file) = 0;
    // In place of the header of the message, when that was cut: its new Content- fields.
    virtual void replace_header(byte_view content_fields) = 0;

protected:
    ~filelink_sink() = default;
};

class filelink_rewriter final : private mime::visitor {
public:
    // Of a message: each is some syncs of the disk. What is beyond them stays.
    static constexpr std::uint32_t links_max = 100;
    // What is smaller is not cut out for the total: the text in its place would not be smaller.
    static constexpr std::uint64_t link_bytes_min = 1 * kib;

    filelink_rewriter(filelink_sink& sink,
                      const policy::filelink_settings& settings,
                      std::string_view company);
    filelink_rewriter(const filelink_rewriter&) = delete;
    filelink_rewriter& operator=(const filelink_rewriter&) = delete;

    void push(byte_view text) { streamer_.push(text); }

    void finish() { streamer_.finish(); }

private:
    enum class state : std::uint8_t { passing, candidate, cutting };

    void header(const mime::part& it, const mime::part_header& header) override;
    void
    bytes(const mime::part& it, mime::region where, std::uint64_t at, byte_view bytes) override;
    void body_end(const mime::part& it, std::uint64_t at) override;
    void part_end(const mime::part& it) override;
    void unclear(const mime::part& it, mime::ambiguity kind, std::uint64_t at) override;

    [[nodiscard]] bool is_candidate(const mime::part& it);
    [[nodiscard]] bool is_shown_inside(const mime::part& it) const;
    void take_content();
    [[nodiscard]] std::uint64_t limit_of_next() const noexcept;
    void put_link(bool whole);

    filelink_sink& sink_;
    const policy::filelink_settings& settings_;
    std::string company_;
    mime::streamer streamer_;
    state state_ = state::passing;
    std::optional<mime::transfer_decoder> decoder_; // Of the candidate, or of an HTML text.
    std::string decoded_;
    large_file file_;
    std::uint64_t limit_bytes_ = 0;   // Of the candidate.
    std::uint64_t staying_bytes_ = 0; // Of all attachments that stay.
    std::uint32_t links_ = 0;
    std::vector<bool> related_;                // By depth: the open part is a multipart/related.
    std::uint32_t untouched_depth_ = no_depth; // Of a signed, encrypted or forwarded whole.
    cid_finder shown_;
    bool is_html_ = false;
    bool is_risky_ = false; // Programs may see other parts than we do: nothing more is touched.

    static constexpr std::uint32_t no_depth = ~std::uint32_t{0};
};

} // namespace ebbgate::content
