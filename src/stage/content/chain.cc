#include "stage/content/chain.h"

#include "ebbgate/base/assert.h"

#include <utility>

namespace ebbgate::content {

namespace {

constexpr byte_view crlf = "\r\n";
constexpr byte_view content_prefix = "content-";

} // namespace

chain::chain(chain_owner& owner, chain_settings settings)
    : owner_(owner), settings_(std::move(settings)) {}

void chain::push(byte_view wire) {
    if (refusal_) {
        return;
    }
    if (in_body_) {
        pass_body(wire);
        return;
    }
    came_.feed(wire);
    wire_.append(wire);
    if (came_.complete()) {
        complete_header();
    }
}

void chain::finish() {
    if (!refusal_ && !in_body_) {
        came_.finish();
        complete_header();
    }
    if (!refusal_ && attachments_) {
        attachments_->finish();
        if (attachments_->refusal()) {
            refusal_ = *attachments_->refusal();
        }
    }
    if (!refusal_ && filelink_ != nullptr) {
        filelink_->finish();
        // A link may be the last line.
        const byte_view line_end = stuffer_.finish().output;
        hash(line_end);
        owner_.store(line_end);
    }
}

void chain::complete_header() {
    in_body_ = true;
    if (!owner_.header_complete(came_)) {
        refusal_ = refused_by_owner{};
        return;
    }
    const auto repaired = repair(came_, {settings_.id, settings_.hostname, settings_.unix_s});
    if (!repaired) {
        refusal_ = repaired.error();
        return;
    }
    std::string leaves;
    if (!repaired->unchanged()) {
        leaves = assembled(*repaired, wire_);
        repaired_ = std::make_unique<mail::header_scanner>();
        repaired_->feed(leaves);
        repaired_->finish();
        if (repaired_->has(mail::header_fault::too_long) ||
            repaired_->has(mail::header_fault::too_many_fields)) {
            refusal_ = header_refusal{header_problem::too_long, {}}; // By what was added.
            return;
        }
    }
    open_body();
    owner_.store(repaired_ != nullptr ? byte_view(leaves)
                                      : byte_view(wire_).substr(0, came_.header_wire_bytes()));
    pass_body(byte_view(wire_).substr(came_.header_wire_bytes()));
    std::string().swap(wire_);
}

void chain::open_body() {
    signers_ = owner_.signers();
    for (const dkim::signer& signer : signers_) {
        auto& hasher = hasher_for(signer.body_form());
        if (hasher == nullptr) {
            hasher = std::make_unique<dkim::body_hasher>(signer.body_form());
        }
    }
    const byte_view header = (repaired_ != nullptr ? *repaired_ : came_).text();
    if (settings_.attachments != nullptr) {
        attachments_.emplace(*settings_.attachments);
        attachments_->push(header);
        attachments_->push(crlf);
    }
    if (settings_.filelink != nullptr) {
        filelink_sink& sink = *this;
        filelink_ =
            std::make_unique<filelink_rewriter>(sink, *settings_.filelink, settings_.company);
        filelink_->push(header);
        filelink_->push(crlf);
    }
}

std::unique_ptr<dkim::body_hasher>& chain::hasher_for(dkim::canonicalization form) {
    return hashers_[form == dkim::canonicalization::relaxed ? 1 : 0];
}

void chain::pass_body(byte_view wire) {
    if (wire.empty()) {
        return;
    }
    if (filelink_ == nullptr) {
        owner_.store(wire);
    }
    if (signers_.empty() && !attachments_ && filelink_ == nullptr) {
        return;
    }
    while (!wire.empty()) {
        const smtp::stuffing_step step = unstuffer_.next(wire);
        EBBGATE_ASSERT(!step.fault); // It is in wire form.
        look_at(step.output);
        wire.remove_prefix(step.consumed_bytes);
    }
}

void chain::look_at(byte_view text) {
    if (text.empty()) {
        return;
    }
    if (filelink_ == nullptr) {
        hash(text);
    }
    if (attachments_ && !refusal_) {
        attachments_->push(text);
        if (attachments_->refusal()) {
            refusal_ = *attachments_->refusal();
        }
    }
    if (filelink_ != nullptr && !refusal_) {
        filelink_->push(text);
    }
}

void chain::hash(byte_view text) {
    for (const auto& hasher : hashers_) {
        if (hasher != nullptr) {
            hasher->feed(text);
        }
    }
}

void chain::keep(byte_view text) {
    hash(text);
    while (!text.empty()) {
        const smtp::stuffing_step step = stuffer_.next(text);
        EBBGATE_ASSERT(!step.fault); // It was in wire form, or is ours.
        owner_.store(step.output);
        text.remove_prefix(step.consumed_bytes);
    }
}

// When the message itself is the attachment, its header was not stored yet.
void chain::begin_file() {
    owner_.mark();
    for (std::size_t form = 0; form < hashers_.size(); ++form) {
        marked_.hashed[form] = hashers_[form] != nullptr
                                   ? std::make_unique<dkim::body_hasher>(*hashers_[form])
                                   : nullptr;
    }
    marked_.stuffer = stuffer_;
    owner_.begin_file();
}

void chain::cut_file() {
    owner_.rewind();
    hashers_ = std::move(marked_.hashed);
    stuffer_ = marked_.stuffer;
}

void chain::replace_header(byte_view content_fields) {
    const mail::header_scanner& now = repaired_ != nullptr ? *repaired_ : came_;
    std::string leaves;
    bool has_version = false;
    for (const mail::header_field& field : now.fields()) {
        const byte_view name = now.name(field);
        has_version = has_version || mail::is_name(name, "mime-version");
        if (!mail::is_name(name.substr(0, content_prefix.size()), content_prefix)) {
            leaves += now.raw(field);
        }
    }
    if (!has_version) {
        leaves += "MIME-Version: 1.0\r\n";
    }
    leaves += content_fields;
    leaves += crlf;
    auto replaced = std::make_unique<mail::header_scanner>();
    smtp::bdat_stuffer stuffer;
    for (byte_view rest = leaves; !rest.empty();) {
        const smtp::stuffing_step step = stuffer.next(rest);
        replaced->feed(step.output);
        owner_.store(step.output);
        rest.remove_prefix(step.consumed_bytes);
    }
    replaced->finish();
    repaired_ = std::move(replaced);
}

std::vector<dkim::prepared_signature> chain::to_sign(std::int64_t now_unix_s) {
    std::vector<dkim::prepared_signature> prepared;
    if (signers_.empty()) {
        return prepared;
    }
    std::array<std::array<std::uint8_t, 32>, 2> hashes{};
    for (std::size_t form = 0; form < hashers_.size(); ++form) {
        if (hashers_[form] != nullptr) {
            hashes[form] = hashers_[form]->digest();
        }
    }
    const std::vector<byte_view> fields =
        dkim::raw_fields(repaired_ != nullptr ? *repaired_ : came_);
    prepared.reserve(signers_.size());
    for (const dkim::signer& signer : signers_) {
        const bool relaxed = signer.body_form() == dkim::canonicalization::relaxed;
        prepared.push_back(signer.prepare(fields, hashes[relaxed ? 1 : 0], now_unix_s));
    }
    return prepared;
}

} // namespace ebbgate::content
