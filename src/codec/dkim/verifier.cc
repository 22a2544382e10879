#include "ebbgate/dkim/verifier.h"

#include "ebbgate/base/assert.h"

#include "base/text.h"
#include "codec/dkim/header_index.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/rsa.h"

#include <algorithm>
#include <utility>

namespace ebbgate::dkim {

// What is known of one signature.
struct verifier::entry {
    std::expected<dkim::signature, rejection> signature = std::unexpected(rejection{});
    crypto::digest header_digest;
    std::size_t hasher = 0;
    std::expected<key_record, dkim::reason> key = std::unexpected(reason::key_unavailable);
};

namespace {

constexpr rejection good{outcome::pass, reason::none};

crypto::hash_kind kind_of(const signature& of) noexcept {
    return of.sha1 ? crypto::hash_kind::sha1 : crypto::hash_kind::sha256;
}

crypto::digest digest_of_header(header_index& index,
                                std::span<const byte_view> fields,
                                std::size_t own,
                                const signature& of) {
    index.reset(own);
    std::string canonical;
    for (const std::string& name : of.names) {
        if (const auto field = index.take(name)) {
            append_field(canonical, *field, of.header_form);
        }
    }
    // Its own field without the value of b=, and without its last CRLF.
    std::string self(fields[own]);
    self.erase(of.value_at, of.value_bytes);
    if (self.ends_with("\r\n")) {
        self.resize(self.size() - 2);
    }
    append_field(canonical, self, of.header_form);
    return crypto::hash_of(canonical, kind_of(of));
}

reason judge_rsa_key(const key_record& key, std::size_t bits_min) {
    const auto rsa = crypto::rsa_public_key::decode(key.key);
    return !rsa                     ? reason::key_malformed
           : rsa->bits() < bits_min ? reason::key_too_weak
                                    : reason::none;
}

// Whether the record may be used for the signature at all.
reason judge_key(const key_record& key, const signature& of, std::size_t rsa_bits_min) {
    if (key.type != of.type) {
        return reason::key_type;
    }
    if (of.sha1 ? !key.allows_sha1 : !key.allows_sha256) {
        return reason::key_hash;
    }
    const byte_view host = byte_view(of.identity).substr(of.identity.rfind('@') + 1);
    if (key.no_subdomains && !same_ignoring_case(host, of.domain)) {
        return reason::key_identity;
    }
    if (key.type == key_type::rsa) {
        return judge_rsa_key(key, rsa_bits_min);
    }
    return crypto::is_ed25519_public_key(key.key) ? reason::none : reason::key_malformed;
}

// The key is usable.
bool is_signed(const key_record& key, const signature& of, const crypto::digest& digest) {
    if (key.type == key_type::ed25519) {
        return crypto::ed25519_verify(key.key, digest.view(), of.value);
    }
    const auto rsa = crypto::rsa_public_key::decode(key.key);
    return rsa && rsa->verify(digest, of.value);
}

} // namespace

verifier::verifier(verifier_settings settings) : settings_(settings) {}

verifier::~verifier() = default;

void verifier::take_header(std::span<const byte_view> fields) {
    EBBGATE_ASSERT(entries_.empty());
    header_index index(fields);
    for (std::size_t at = 0; at < fields.size(); ++at) {
        if (!same_ignoring_case(name_of(fields[at]), "dkim-signature")) {
            continue;
        }
        if (entries_.size() == settings_.signatures_max) {
            ++not_judged_;
            continue;
        }
        entry& added = entries_.emplace_back();
        added.signature = parse_signature(fields[at], settings_.allow);
        if (added.signature) {
            added.header_digest = digest_of_header(index, fields, at, *added.signature);
            added.hasher = hasher_for(*added.signature);
        }
    }
}

// Signatures that want the same of the body share its hash.
std::size_t verifier::hasher_for(const signature& of) {
    const std::uint64_t bytes_max = of.body_bytes.value_or(body_hasher::no_limit);
    for (const entry& other : entries_) {
        if (other.signature && &*other.signature != &of && other.signature->sha1 == of.sha1 &&
            other.signature->body_form == of.body_form &&
            other.signature->body_bytes == of.body_bytes) {
            return other.hasher;
        }
    }
    hashers_.push_back(std::make_unique<body_hasher>(of.body_form, bytes_max, kind_of(of)));
    return hashers_.size() - 1;
}

void verifier::feed_body(byte_view chunk) {
    for (const auto& hasher : hashers_) {
        hasher->feed(chunk);
    }
}

void verifier::finish_body() {
    EBBGATE_ASSERT(body_hashes_.empty());
    for (const auto& hasher : hashers_) {
        body_hashes_.emplace_back(hasher->any_digest().view());
    }
}

std::size_t verifier::count() const noexcept {
    return entries_.size();
}

std::string verifier::key_name(std::size_t index) const {
    const entry& of = entries_.at(index);
    return of.signature ? of.signature->selector + "._domainkey." + of.signature->domain
                        : std::string();
}

void verifier::set_key(std::size_t index, std::span<const std::string> records) {
    entry& of = entries_.at(index);
    of.key = std::unexpected(reason::key_missing);
    for (const std::string& text : records.first(std::min(records.size(), key_records_max))) {
        auto key = parse_key_record(text);
        const bool usable = key.has_value();
        if (usable || &text == records.data()) {
            of.key = std::move(key);
        }
        if (usable) {
            return;
        }
    }
}

rejection verifier::judge_body(const entry& of) const {
    const body_hasher& hasher = *hashers_[of.hasher];
    if (of.signature->body_bytes && *of.signature->body_bytes > hasher.canonical_bytes()) {
        return {outcome::permerror, reason::body_too_short};
    }
    return body_hashes_[of.hasher] == of.signature->body_hash
               ? good
               : rejection{outcome::fail, reason::body_hash};
}

rejection verifier::judge(const entry& of) const {
    if (!of.signature) {
        return of.signature.error();
    }
    const auto expires = of.signature->expires_unix_s;
    if (settings_.now_unix_s > 0 && expires &&
        *expires < static_cast<std::uint64_t>(settings_.now_unix_s)) {
        return {outcome::fail, reason::expired};
    }
    if (!of.key) {
        return {of.key.error() == reason::key_unavailable ? outcome::temperror : outcome::permerror,
                of.key.error()};
    }
    const reason why = judge_key(*of.key, *of.signature, settings_.rsa_bits_min);
    if (why != reason::none) {
        return {outcome::permerror, why};
    }
    const rejection body = judge_body(of);
    if (body.outcome != outcome::pass) {
        return body;
    }
    return is_signed(*of.key, *of.signature, of.header_digest)
               ? good
               : rejection{outcome::fail, reason::signature};
}

verdict verifier::verdict(std::size_t index) const {
    const entry& of = entries_.at(index);
    EBBGATE_ASSERT(body_hashes_.size() == hashers_.size());
    const rejection found = judge(of);
    dkim::verdict out;
    out.outcome = found.outcome;
    out.reason = found.reason;
    if (of.signature) {
        out.domain = of.signature->domain;
        out.selector = of.signature->selector;
        out.identity = of.signature->identity;
        const std::uint64_t all = hashers_[of.hasher]->canonical_bytes();
        out.unsigned_body_bytes = all - std::min(of.signature->body_bytes.value_or(all), all);
    }
    out.testing = of.key && of.key->testing;
    return out;
}

} // namespace ebbgate::dkim
