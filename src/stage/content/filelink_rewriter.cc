#include "stage/content/filelink_rewriter.h"

#include "base/text.h"
#include "crypto/base64.h"
#include "stage/content/attachment_name.h"
#include "stage/content/attachment_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ebbgate::content {

namespace {

constexpr byte_view crlf = "\r\n";
constexpr std::size_t encoded_line_bytes = 76;    // RFC 2045 6.8.
constexpr std::size_t decoder_held_max = 2 * kib; // What a decoder gives may be more than it got.
constexpr std::size_t encoded_line_input = encoded_line_bytes / 4 * 3;

// A signature covers what is in it, and what is encrypted has no attachments to see; a forwarded
// message is somebody else's text.
bool is_untouched_whole(const mime::content_fields& content) noexcept {
    return content.is("multipart", "signed") || content.is("multipart", "encrypted") ||
           content.type == "message";
}

// RFC 8551 3.2.1: what some send as application/octet-stream.
bool is_smime_name(std::string_view name) {
    const std::string low = lowered(name);
    return low.ends_with(".p7m") || low.ends_with(".p7s") || low.ends_with(".p7c") ||
           low.ends_with(".p7z");
}

// Signatures and encrypted bodies that are parts by themselves.
bool is_cryptographic(const mime::content_fields& content) noexcept {
    constexpr byte_view subtypes[] = {"pkcs7-mime",
                                      "x-pkcs7-mime",
                                      "pkcs7-signature",
                                      "x-pkcs7-signature",
                                      "pgp-encrypted",
                                      "pgp-signature",
                                      "pgp-keys"};
    return content.type == "application" &&
           (std::ranges::find(subtypes, content.subtype) != std::end(subtypes) ||
            (content.subtype == "octet-stream" &&
             std::ranges::any_of(content.names, is_smime_name)));
}

bool is_plain_ascii(byte_view text) noexcept {
    return std::all_of(text.begin(), text.end(), is_ascii);
}

std::string with_crlf(std::string_view lines) {
    std::string out;
    for (const char c : lines) {
        if (c == '\n') {
            out += crlf;
        } else {
            out += c;
        }
    }
    return out;
}

std::string in_base64(byte_view text) {
    std::string out;
    for (; !text.empty(); text.remove_prefix(std::min(text.size(), encoded_line_input))) {
        if (!out.empty()) {
            out += crlf;
        }
        out += crypto::to_base64(text.substr(0, encoded_line_input));
    }
    return out;
}

std::string shown_name(const std::vector<std::string>& names) {
    const auto named = std::ranges::find_if(names, [](std::string_view name) {
        return name.find_first_not_of(" \t") != std::string_view::npos;
    });
    return named == names.end() ? std::string("attachment") : *named;
}

const policy::attachment_settings& everything() {
    static const policy::attachment_settings allowed;
    return allowed;
}

} // namespace

filelink_rewriter::filelink_rewriter(filelink_sink& sink,
                                     const policy::filelink_settings& settings,
                                     std::string_view company)
    : sink_(sink), settings_(settings), company_(company), streamer_(*this) {}

void filelink_rewriter::header(const mime::part& it, const mime::part_header& /*header*/) {
    related_.resize(it.depth);
    related_.push_back(it.content.is("multipart", "related"));
    decoder_.reset();
    is_html_ = it.kind == mime::part_kind::leaf && it.content.is("text", "html");
    if (untouched_depth_ == no_depth && is_untouched_whole(it.content)) {
        untouched_depth_ = it.depth;
    }
    if (is_candidate(it)) {
        state_ = state::candidate;
        limit_bytes_ = limit_of_next();
        decoder_.emplace(it.content.encoding);
        sink_.begin_file();
    } else if (is_html_) {
        decoder_.emplace(it.content.encoding);
    }
}

bool filelink_rewriter::is_candidate(const mime::part& it) {
    const mime::content_fields& content = it.content;
    if (it.kind != mime::part_kind::leaf || untouched_depth_ != no_depth || is_risky_ ||
        links_ == links_max || is_cryptographic(content) ||
        content.encoding == mime::transfer_encoding::uuencode || is_shown_inside(it)) {
        return false;
    }
    const std::string type = content.type + '/' + content.subtype;
    const bool says_so = !content.disposition.empty() && content.disposition != "inline";
    if (!judge_names(everything(), {content.names, type, says_so}).is_attachment) {
        return false;
    }
    file_ = {};
    file_.name = shown_name(content.names);
    file_.type = type;
    return true;
}

// What is larger becomes a link.
std::uint64_t filelink_rewriter::limit_of_next() const noexcept {
    const std::uint64_t alone = settings_.larger_than_bytes;
    const std::uint64_t total = settings_.total_larger_than_bytes;
    if (total == 0) {
        return alone;
    }
    const std::uint64_t left = total - std::min(total, staying_bytes_);
    return std::min(alone, std::max(left, link_bytes_min));
}

// Its Content-ID is referred to, or it is beside the text that could do so.
bool filelink_rewriter::is_shown_inside(const mime::part& it) const {
    if (it.content.content_id.empty()) {
        return false;
    }
    const bool in_related = it.depth > 0 && related_[it.depth - 1];
    return in_related || it.content.disposition == "inline" ||
           shown_.refers_to(it.content.content_id);
}

void filelink_rewriter::bytes(const mime::part& it,
                              mime::region where,
                              std::uint64_t /*at*/,
                              byte_view bytes) {
    const bool is_own_header = it.depth == 0 && where == mime::region::header;
    if (state_ != state::cutting && !is_own_header) {
        sink_.keep(bytes);
    }
    if (where != mime::region::body || !decoder_) {
        return;
    }
    // Byte by byte where it may become too large: whether it does must not depend on the chunks.
    while (!bytes.empty() && decoder_) {
        std::size_t taken = bytes.size();
        if (state_ == state::candidate) {
            const std::uint64_t room = limit_bytes_ - file_.bytes;
            taken = room <= decoder_held_max
                        ? 1
                        : std::min<std::uint64_t>(taken, room - decoder_held_max);
        }
        decoded_.clear();
        decoder_->decode(bytes.substr(0, taken), decoded_);
        take_content();
        bytes.remove_prefix(taken);
    }
}

void filelink_rewriter::take_content() {
    if (is_html_) {
        shown_.push(decoded_);
    }
    if (state_ == state::passing || decoded_.empty()) {
        return;
    }
    sink_.add_to_file(decoded_);
    file_.bytes += decoded_.size();
    if (state_ != state::candidate || file_.bytes <= limit_bytes_) {
        return;
    }
    if (const mime::irregularities odd = decoder_->irregular();
        odd.foreign_byte || odd.padding_within) {
        state_ = state::passing; // Others read another file from it.
        decoder_.reset();
        sink_.drop_file();
        return;
    }
    ++links_;
    state_ = state::cutting;
    sink_.cut_file();
}

void filelink_rewriter::body_end(const mime::part& it, std::uint64_t /*at*/) {
    if (!decoder_) {
        return;
    }
    decoded_.clear();
    decoder_->finish(decoded_);
    take_content();
    if (!decoder_) {
        return; // It stays after all.
    }
    decoder_.reset();
    if (is_html_) {
        shown_.finish();
    }
    const state before = std::exchange(state_, state::passing);
    if (before == state::cutting) {
        put_link(it.depth == 0);
    } else if (before == state::candidate) {
        staying_bytes_ += file_.bytes;
        sink_.drop_file();
    }
}

void filelink_rewriter::put_link(bool whole) {
    const std::string url = sink_.end_file(file_);
    std::string text =
        with_crlf(policy::filelink_text(settings_, file_.name, file_.bytes, url, company_));
    const bool plain = is_plain_ascii(text);
    const std::string fields = fmt::format("Content-Type: text/plain; charset=utf-8\r\n"
                                           "Content-Disposition: inline\r\n"
                                           "Content-Transfer-Encoding: {}\r\n",
                                           plain ? "7bit" : "base64");
    if (!plain) {
        text = in_base64(text);
    }
    if (whole) {
        sink_.replace_header(fields);
    } else {
        sink_.keep(fields);
        sink_.keep(crlf);
    }
    sink_.keep(text); // The line end behind it belongs to the boundary.
}

void filelink_rewriter::part_end(const mime::part& it) {
    if (it.depth == untouched_depth_) {
        untouched_depth_ = no_depth;
    }
}

void filelink_rewriter::unclear(const mime::part& /*it*/,
                                mime::ambiguity kind,
                                std::uint64_t /*at*/) {
    is_risky_ = is_risky_ || is_risky(kind);
    if (state_ == state::candidate && is_risky_) {
        state_ = state::passing;
        decoder_.reset();
        sink_.drop_file();
    }
}

} // namespace ebbgate::content
