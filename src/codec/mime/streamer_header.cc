// The header of a part, and what it makes of the part.

#include "ebbgate/mime/streamer.h"

#include "base/text.h"

#include <algorithm>
#include <utility>

namespace ebbgate::mime {
namespace {

byte_view without_line_end(byte_view line) noexcept {
    if (line.ends_with('\n')) {
        line.remove_suffix(1);
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
    }
    return line;
}

bool has_control(byte_view line) noexcept {
    return line.find_first_of(byte_view("\0\v\f\r\x1c\x1d\x1e", 7)) != byte_view::npos;
}

// RFC 2046 5.1.1.
bool is_usual_boundary(byte_view boundary) noexcept {
    const auto usual = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               byte_view("'()+_,-./:=? ").find(c) != byte_view::npos;
    };
    return boundary.size() <= boundary_bytes_usual && !boundary.ends_with(' ') &&
           std::all_of(boundary.begin(), boundary.end(), usual);
}

} // namespace

std::size_t streamer::take_header(byte_view chunk) {
    const std::size_t line_feed = chunk.find('\n');
    const std::size_t bytes = line_feed == byte_view::npos ? chunk.size() : line_feed + 1;
    if (bytes > limits_.header_bytes_max - header_.size()) {
        note(open_.back(), ambiguity::long_header, given_ + line_at_);
        end_header(line_at_);
        return 0;
    }
    header_.append(chunk.substr(0, bytes));
    if (line_feed != byte_view::npos) {
        take_header_line(byte_view(header_).substr(line_at_));
    }
    return bytes;
}

// The last line in header_.
void streamer::take_header_line(byte_view line) {
    frame& open = open_.back();
    const std::uint64_t at = given_ + line_at_;
    const byte_view text = without_line_end(line);
    if (text.starts_with("--") && open_multiparts_ > 0) {
        const judged found =
            judge(line.ends_with('\n') ? line.substr(0, line.size() - 1) : line, true);
        if (found.is == verdict::boundary) {
            note(open, ambiguity::unended_header, at);
            end_header(line_at_);
            return;
        }
    }
    if (line.ends_with('\n') && !line.ends_with("\r\n")) {
        note(open, ambiguity::bare_newline, at);
    }
    if (text.empty()) {
        end_header(header_.size());
        return;
    }
    if (has_control(text)) {
        note(open, ambiguity::control, at);
    }
    const bool mbox = fields_.empty() && line_at_ == 0 &&
                      (text.starts_with("From ") || text.starts_with(">From "));
    if (mbox) {
        note(open, ambiguity::mbox_line, at);
    } else if (is_blank(text.front()) && !fields_.empty()) {
        if (std::all_of(text.begin(), text.end(), is_blank)) {
            note(open, ambiguity::blank_line, at);
        }
        fields_.back().bytes += static_cast<std::uint32_t>(line.size());
        fields_.back().wire_bytes = fields_.back().bytes;
    } else if (!take_header_field(line)) {
        end_header(line_at_);
        return;
    }
    line_at_ = header_.size();
}

bool streamer::take_header_field(byte_view line) {
    frame& open = open_.back();
    const mail::field_place place = mail::find_field(without_line_end(line));
    if (place.name_bytes == 0) {
        note(open, ambiguity::malformed_line, given_ + line_at_);
        return false;
    }
    if (fields_.size() >= limits_.fields_max) {
        note(open, ambiguity::too_many_fields, given_ + line_at_);
        return false;
    }
    const auto at = static_cast<std::uint32_t>(line_at_);
    const auto bytes = static_cast<std::uint32_t>(line.size());
    fields_.push_back({at,
                       static_cast<std::uint32_t>(place.name_bytes),
                       static_cast<std::uint32_t>(line_at_ + place.value_at),
                       bytes,
                       at,
                       bytes});
    return true;
}

// The first `bytes` of header_ are the header; what is behind them is of the body.
void streamer::end_header(std::size_t bytes) {
    const std::string rest = header_.substr(bytes);
    header_.resize(bytes);
    const part_header header{header_, fields_};
    frame& open = open_.back();
    const bool digest =
        open_.size() > 1 && open_[open_.size() - 2].it.content.is("multipart", "digest");
    open.it.body_at = given_ + bytes;
    open.it.content = read_content(header, digest);
    report_header(header);
    open_body(open);
    events_.header(open.it, header);
    give(open.it, region::header, header_);
    in_header_ = false;
    at_line_start_ = true;
    if (open.it.kind == part_kind::message) {
        begin_part(open.it.index);
    }
    push(rest); // One line. No header is ended by it twice for the same part, so this ends.
}

void streamer::report_header(const part_header& header) {
    frame& open = open_.back();
    const ambiguity_set unclear = open.it.content.unclear;
    for (std::size_t i = 0; i < ambiguity_count; ++i) {
        if (const auto kind = static_cast<ambiguity>(i); unclear.has(kind)) {
            note(open, kind, open.it.header_at);
        }
    }
    for (const mail::header_field& field : header.fields) {
        if (field.blank_before_colon() &&
            mail::is_name(header.name(field).substr(0, 8), "content-")) {
            note(open, ambiguity::blank_before_colon, open.it.header_at + field.at);
        }
    }
}

void streamer::open_body(frame& open) {
    part& it = open.it;
    const bool encoded = it.content.encoding != transfer_encoding::identity;
    const bool multipart = it.content.type == "multipart";
    bool message = false;
    if (it.content.type == "message") {
        const byte_view subtype = it.content.subtype;
        message = subtype == "rfc822" || subtype == "global" || subtype == "news";
        if (subtype == "partial") {
            it.kind = part_kind::partial_message;
            note(open, ambiguity::partial_message, it.header_at);
        } else if (subtype == "external-body") {
            it.kind = part_kind::external_body;
            note(open, ambiguity::external_body, it.header_at);
        }
    }
    if (message && encoded) {
        it.kind = part_kind::encoded_message;
        note(open, ambiguity::encoded_message, it.header_at);
        return;
    }
    if (!message && !multipart) {
        return;
    }
    if (multipart && encoded) {
        note(open, ambiguity::encoded_multipart, it.header_at);
    }
    if (it.depth >= limits_.depth_max) {
        note(open, ambiguity::too_deep, it.body_at);
    } else if (multipart) {
        if (add_delimiter(open)) {
            it.kind = part_kind::multipart;
        }
    } else if (parts_ >= limits_.parts_max) {
        note(open, ambiguity::too_many_parts, it.body_at);
    } else {
        it.kind = part_kind::message;
    }
}

bool streamer::add_delimiter(frame& open) {
    const std::vector<std::string>& boundaries = open.it.content.boundaries;
    if (boundaries.empty()) {
        note(open, ambiguity::no_boundary, open.it.header_at);
        return false;
    }
    if (!is_usual_boundary(boundaries.front())) {
        note(open, ambiguity::odd_boundary, open.it.header_at);
    }
    const std::string delimiter = "--" + boundaries.front();
    for (const frame& outer : open_) {
        if (!outer.delimiter.empty() &&
            (outer.delimiter.starts_with(delimiter) || delimiter.starts_with(outer.delimiter))) {
            note(open, ambiguity::boundary_clash, open.it.header_at);
        }
    }
    open.delimiter = delimiter;
    ++open_multiparts_;
    return true;
}

} // namespace ebbgate::mime
