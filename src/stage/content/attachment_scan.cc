#include "stage/content/attachment_scan.h"

#include <fmt/format.h>

#include <utility>

namespace ebbgate::content {

bool is_risky(mime::ambiguity kind) noexcept {
    switch (kind) {
    case mime::ambiguity::malformed_line:
    case mime::ambiguity::mbox_line:
    case mime::ambiguity::blank_line:
    case mime::ambiguity::blank_before_colon:
    case mime::ambiguity::control:
    case mime::ambiguity::bare_newline:
    case mime::ambiguity::doubled_field:
    case mime::ambiguity::malformed_field:
    case mime::ambiguity::doubled_parameter:
    case mime::ambiguity::broken_continuation:
    case mime::ambiguity::unknown_encoding:
    case mime::ambiguity::conflicting_boundaries:
    case mime::ambiguity::no_boundary:
    case mime::ambiguity::boundary_clash:
    case mime::ambiguity::near_boundary:
    case mime::ambiguity::boundary_after_end:
    case mime::ambiguity::encoded_message:
    case mime::ambiguity::encoded_multipart:
    case mime::ambiguity::partial_message:
    case mime::ambiguity::external_body:
    case mime::ambiguity::too_deep:
    case mime::ambiguity::too_many_parts:
    case mime::ambiguity::long_header:
    case mime::ambiguity::too_many_fields:
    case mime::ambiguity::too_many_parameters:
        return true;
    // All readings of a name are judged.
    case mime::ambiguity::malformed_parameter:
    case mime::ambiguity::plain_and_extended:
    case mime::ambiguity::names_differ:
    case mime::ambiguity::broken_encoded_word:
    case mime::ambiguity::unknown_charset:
    case mime::ambiguity::invalid_text:
    // Every reader sees the same parts.
    case mime::ambiguity::unended_header:
    case mime::ambiguity::odd_boundary:
    case mime::ambiguity::no_parts:
    case mime::ambiguity::no_closing_boundary:
        break;
    }
    return false;
}

namespace {

std::string type_of(const mime::content_fields& content) {
    return content.type + '/' + content.subtype;
}

// What the refusal calls it.
std::string name_of(const mime::content_fields& content) {
    return content.names.empty() || content.names.front().empty()
               ? fmt::format("unnamed {}", type_of(content).substr(0, 80))
               : content.names.front();
}

} // namespace

attachment_scan::attachment_scan(const policy::attachment_settings& settings)
    : judge_(settings), streamer_(*this) {}

void attachment_scan::part_begin(const mime::part& /*it*/) {
    in_header_ = true;
    unclear_in_header_.clear();
}

void attachment_scan::header(const mime::part& it, const mime::part_header& /*header*/) {
    const mime::content_fields& content = it.content;
    in_header_ = false;
    judge_.begin({content.names,
                  type_of(content),
                  !content.disposition.empty() && content.disposition != "inline"});
    if (!unclear_in_header_.empty()) {
        judge_.note_ambiguous(name_of(content), std::exchange(unclear_in_header_, {}));
    }
    if (mime::says_tnef(content)) {
        judge_.note_ambiguous(name_of(content), "TNEF");
    }
    if (content.encoding == mime::transfer_encoding::uuencode) {
        judge_.note_ambiguous(name_of(content), "uuencoded, with a name of its own");
    }
    decoder_.reset();
    embedded_.reset();
    if (it.kind != mime::part_kind::leaf && it.kind != mime::part_kind::encoded_message) {
        judge_.end(); // A container; its parts follow.
        return;
    }
    if (content.type == "text") {
        embedded_.emplace();
    }
    if (embedded_ || judge_.wants_content()) {
        decoder_.emplace(content.encoding);
    }
}

void attachment_scan::bytes(const mime::part& it,
                            mime::region where,
                            std::uint64_t /*at*/,
                            byte_view bytes) {
    if (where == mime::region::preamble || where == mime::region::epilogue) {
        look_beside_parts(it, where, bytes);
        return;
    }
    if (where != mime::region::body || !decoder_ || judge_.refusal()) {
        return;
    }
    if (!embedded_ && !judge_.wants_content()) {
        decoder_.reset();
        return;
    }
    decoded_.clear();
    decoder_->decode(bytes, decoded_);
    judge_.feed(decoded_);
    if (embedded_) {
        embedded_->push(decoded_);
    }
}

void attachment_scan::body_end(const mime::part& it, std::uint64_t /*at*/) {
    if (it.kind != mime::part_kind::leaf && it.kind != mime::part_kind::encoded_message) {
        return;
    }
    if (decoder_) {
        decoded_.clear();
        decoder_->finish(decoded_);
        judge_.feed(decoded_);
        if (embedded_) {
            embedded_->push(decoded_);
            embedded_->finish();
            judge_embedded(*embedded_, it);
        }
        if (decoder_->irregular().padding_within && judge_.wants_content()) {
            judge_.note_ambiguous(name_of(it.content), "base64 with padding in it");
        }
        decoder_.reset();
        embedded_.reset();
    }
    judge_.end();
}

// Programs that do not know MIME show this, too, and some find files in what they show.
void attachment_scan::look_beside_parts(const mime::part& it, mime::region where, byte_view bytes) {
    if (judge_.refusal()) {
        return;
    }
    const std::pair of(it.index, where);
    if (!beside_parts_ || beside_of_ != of) {
        beside_parts_.emplace();
        beside_of_ = of;
    }
    beside_parts_->push(bytes);
    judge_embedded(*beside_parts_, it);
}

void attachment_scan::judge_embedded(const mime::embedded_files& embedded, const mime::part& in) {
    for (const mime::embedded_file& file : embedded.found()) {
        switch (file.kind) {
        case mime::embedded_kind::uuencode:
        case mime::embedded_kind::uuencode_base64:
            judge_.note_ambiguous(file.name, "uuencoded file in a text");
            break;
        case mime::embedded_kind::yenc:
            judge_.note_ambiguous(file.name, "yEnc file in a text");
            break;
        case mime::embedded_kind::tnef:
            judge_.note_ambiguous(name_of(in.content), "TNEF");
            break;
        }
    }
}

void attachment_scan::unclear(const mime::part& it, mime::ambiguity kind, std::uint64_t /*at*/) {
    if (!is_risky(kind)) {
        return;
    }
    if (!in_header_) {
        judge_.note_ambiguous(name_of(it.content), std::string(mime::text_of(kind)));
    } else if (unclear_in_header_.empty()) {
        unclear_in_header_ = mime::text_of(kind); // Until its name is known.
    }
}

} // namespace ebbgate::content
