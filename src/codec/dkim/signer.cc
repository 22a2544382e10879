#include "ebbgate/dkim/signer.h"

#include "ebbgate/base/assert.h"
#include "ebbgate/mail/header_scanner.h"

#include "base/text.h"
#include "codec/dkim/header_index.h"
#include "crypto/base64.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/rsa_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ebbgate::dkim {
namespace {

constexpr std::size_t line_bytes = 78; // RFC 5322 2.1.1: should, without CRLF.
constexpr std::size_t local_part_bytes_max = 64;

// Letters, digits, hyphens: such a name needs no quoting in h=.
bool is_plain_name(byte_view name) noexcept {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return is_letter(c) || is_digit(c) || c == '-' || c == '_';
    });
}

bool matches(byte_view pattern, byte_view name) noexcept {
    if (!pattern.ends_with('*')) {
        return same_ignoring_case(pattern, name);
    }
    pattern.remove_suffix(1);
    return name.size() > pattern.size() &&
           same_ignoring_case(pattern, name.substr(0, pattern.size()));
}

bool matches_any(const std::vector<std::string>& patterns, byte_view name) noexcept {
    return std::ranges::any_of(patterns,
                               [&](const std::string& one) { return matches(one, name); });
}

// Folds in front of what does not fit on the line any more.
class folded_text {
public:
    explicit folded_text(std::string start) : text_(std::move(start)), column_(text_.size()) {}

    // `blank` stands in front of the word unless it begins a line.
    void word(byte_view text, bool blank) {
        if (column_ + (blank ? 1 : 0) + text.size() > line_bytes) {
            text_ += "\r\n\t";
            column_ = 1;
        } else if (blank) {
            text_ += ' ';
            ++column_;
        }
        text_ += text;
        column_ += text.size();
    }

    [[nodiscard]] std::string take() && { return std::move(text_); }

private:
    std::string text_;
    std::size_t column_;
};

bool is_identity(byte_view identity, byte_view domain) {
    const std::size_t at = identity.rfind('@');
    if (at == byte_view::npos || at > local_part_bytes_max) {
        return false;
    }
    const byte_view local = identity.substr(0, at);
    const byte_view host = identity.substr(at + 1);
    // No '=' and ';': nothing that would have to be quoted.
    const bool plain = std::ranges::all_of(
        local, [](char c) { return c > ' ' && c < 0x7f && c != '=' && c != ';' && c != '@'; });
    const bool within =
        same_ignoring_case(host, domain) ||
        (host.size() > domain.size() && host[host.size() - domain.size() - 1] == '.' &&
         same_ignoring_case(host.substr(host.size() - domain.size()), domain));
    return plain && within && is_key_name(host);
}

byte_view form_name(canonicalization form) noexcept {
    return form == canonicalization::simple ? "simple" : "relaxed";
}

crypto::rsa_engine engine_of(signing_engine engine) noexcept {
    switch (engine) {
    case signing_engine::automatic:
        return crypto::rsa_engine::automatic;
    case signing_engine::one_by_one:
        return crypto::rsa_engine::one_by_one;
    case signing_engine::vectors:
        return crypto::rsa_engine::vectors;
    }
    return crypto::rsa_engine::automatic;
}

crypto::digest digest_of(const prepared_signature& prepared) noexcept {
    return {prepared.digest, static_cast<std::uint8_t>(prepared.digest.size())};
}

void sign_rsa(std::span<prepared_signature* const> some, crypto::rsa_engine engine) {
    std::array<crypto::rsa_request, crypto::rsa_batch_max> requests;
    for (std::size_t i = 0; i < some.size(); ++i) {
        requests[i] = {some[i]->key->rsa(), digest_of(*some[i]), {}};
    }
    crypto::rsa_sign(std::span(requests).first(some.size()), engine);
    for (std::size_t i = 0; i < some.size(); ++i) {
        some[i]->signature = std::move(requests[i].signature);
    }
}

} // namespace

const signed_fields& default_signed_fields() {
    static const signed_fields fields{{"From",
                                       "Reply-To",
                                       "Subject",
                                       "Date",
                                       "To",
                                       "Cc",
                                       "Message-ID",
                                       "In-Reply-To",
                                       "References",
                                       "MIME-Version",
                                       "Content-Type",
                                       "Content-Transfer-Encoding",
                                       "Content-Disposition",
                                       "Content-ID",
                                       "Sender",
                                       "List-*",
                                       "Resent-*",
                                       "Feedback-ID"},
                                      {"From",
                                       "To",
                                       "Cc",
                                       "Subject",
                                       "Date",
                                       "Reply-To",
                                       "Message-ID",
                                       "MIME-Version",
                                       "Content-Type",
                                       "Content-Transfer-Encoding"},
                                      {"Sender", "List-Unsubscribe", "List-Unsubscribe-Post"}};
    return fields;
}

std::string prepared_signature::field() const {
    if (signature.empty()) {
        return {};
    }
    const std::string value = crypto::to_base64(signature);
    std::string out = text;
    const std::size_t line_start = text.rfind('\n') + 1; // There always is a fold.
    std::size_t room = line_bytes - std::min(line_bytes, text.size() - line_start);
    for (std::size_t at = 0; at < value.size();) {
        if (room == 0) {
            out += "\r\n\t";
            room = line_bytes - 1;
        }
        out.append(value, at, room);
        at += room;
        room = 0;
    }
    return out += "\r\n";
}

signer::signer(signing_settings settings, signed_fields fields)
    : settings_(std::move(settings)), fields_(std::move(fields)) {}

result<signer> signer::make(signing_settings settings, signed_fields fields) {
    if (settings.key == nullptr) {
        return fail(failure_kind::bad_input, "a DKIM signature needs a key");
    }
    if (!is_key_name(settings.domain) || !is_key_name(settings.selector)) {
        return fail(failure_kind::bad_input,
                    fmt::format("no DKIM key can be published at \"{}._domainkey.{}\"",
                                settings.selector,
                                settings.domain));
    }
    if (!settings.identity.empty() && !is_identity(settings.identity, settings.domain)) {
        return fail(
            failure_kind::bad_input,
            fmt::format("\"{}\" is no DKIM identity of {}", settings.identity, settings.domain));
    }
    for (const auto* names : {&fields.names, &fields.oversigned, &fields.oversigned_when_present}) {
        for (const std::string& name : *names) {
            const bool starred = name.ends_with('*') && names == &fields.names;
            if (!is_plain_name(byte_view(name).substr(0, name.size() - (starred ? 1 : 0)))) {
                return fail(failure_kind::bad_input,
                            fmt::format("\"{}\" cannot be signed: no field's name", name));
            }
        }
    }
    if (!matches_any(fields.names, "From")) {
        return fail(failure_kind::bad_input, "From must be signed"); // RFC 6376 5.4.
    }
    return signer(std::move(settings), std::move(fields));
}

// In the order of the header, from the top; then what is not there and must not be added.
std::vector<std::string> signer::names_for(std::span<const byte_view> fields) const {
    std::vector<std::string> names;
    for (const byte_view field : fields) {
        const byte_view name = name_of(field);
        if (is_plain_name(name) && matches_any(fields_.names, name)) {
            names.emplace_back(name);
        }
    }
    const std::size_t present = names.size();
    names.insert(names.end(), fields_.oversigned.begin(), fields_.oversigned.end());
    for (const std::string& name : fields_.oversigned_when_present) {
        const auto there = std::span(names).first(present);
        if (std::ranges::any_of(there,
                                [&](const auto& one) { return same_ignoring_case(one, name); })) {
            names.push_back(name);
        }
    }
    if (!matches_any(names, "From")) {
        names.emplace_back("From"); // Without it, h= is not valid.
    }
    return names;
}

prepared_signature signer::prepare(std::span<const byte_view> fields,
                                   const std::array<std::uint8_t, 32>& body_hash,
                                   std::int64_t now_unix_s) const {
    const std::vector<std::string> names = names_for(fields);
    folded_text text("DKIM-Signature: v=1;");
    text.word(settings_.key->type() == key_type::rsa ? "a=rsa-sha256;" : "a=ed25519-sha256;", true);
    text.word(
        fmt::format("c={}/{};", form_name(settings_.header_form), form_name(settings_.body_form)),
        true);
    text.word(fmt::format("d={};", settings_.domain), true);
    text.word(fmt::format("s={};", settings_.selector), true);
    if (!settings_.identity.empty()) {
        text.word(fmt::format("i={};", settings_.identity), true);
    }
    const std::int64_t now = std::max<std::int64_t>(now_unix_s, 0);
    text.word(fmt::format("t={};", now), true);
    if (settings_.lifetime_s > 0) {
        text.word(fmt::format("x={};", now + settings_.lifetime_s), true);
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
        const byte_view before = i == 0 ? "h=" : "";
        const byte_view after = i + 1 == names.size() ? ";" : ":";
        text.word(fmt::format("{}{}{}", before, names[i], after), i == 0);
    }
    text.word(fmt::format("bh={};",
                          crypto::to_base64(
                              {reinterpret_cast<const char*>(body_hash.data()), body_hash.size()})),
              true);
    prepared_signature out;
    out.key = settings_.key;
    out.text = std::move(text).take() + "\r\n\tb=";

    header_index index(fields);
    std::string canonical;
    for (const std::string& name : names) {
        if (const auto field = index.take(name)) {
            append_field(canonical, *field, settings_.header_form);
        }
    }
    append_field(canonical, out.text, settings_.header_form);
    out.digest = crypto::hash_of(canonical).bytes;
    return out;
}

bool has_vectors() noexcept {
    return crypto::has_rsa_vectors();
}

void sign(std::span<prepared_signature* const> batch, signing_engine engine) {
    std::array<prepared_signature*, crypto::rsa_batch_max> waiting{};
    std::size_t count = 0;
    for (prepared_signature* one : batch) {
        if (const auto* ed25519 = one->key->ed25519()) {
            // RFC 8463: the message that is signed is the digest.
            one->signature = ed25519->sign(digest_of(*one).view()).value_or(std::string());
            continue;
        }
        waiting[count++] = one;
        if (count == waiting.size()) {
            sign_rsa(std::span(waiting).first(count), engine_of(engine));
            count = 0;
        }
    }
    if (count > 0) {
        sign_rsa(std::span(waiting).first(count), engine_of(engine));
    }
}

std::vector<byte_view> raw_fields(const mail::header_scanner& header) {
    std::vector<byte_view> fields;
    fields.reserve(header.fields().size());
    for (const mail::header_field& field : header.fields()) {
        fields.push_back(header.raw(field));
    }
    return fields;
}

} // namespace ebbgate::dkim
