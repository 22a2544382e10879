// Verifies the DKIM signatures of a message in one pass, without I/O.
//
// Input   The header's fields, then the body (CRLF lines, not dot-stuffed) in chunks of any size,
//         and the key records, which the caller looks up, at any time before verdict().
// Output  A verdict for each signature, from the top of the header.
// Owner   One thread, one message.
// Fails   Never; what is wrong is in the verdicts.
// Bounds  verifier_settings.signatures_max; at most that many hashes of the body.
// Specs   RFC 6376 section 6, RFC 8301, RFC 8463, RFC 8601 section 2.7.1.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/dkim/canonicalizer.h"
#include "ebbgate/dkim/key_record.h"
#include "ebbgate/dkim/outcome.h"
#include "ebbgate/dkim/signature.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ebbgate::dkim {

inline constexpr std::size_t key_records_max = 10; // Looked at, of one name.

struct verifier_settings {
    std::size_t signatures_max = 10; // Further ones are not judged.
    std::size_t rsa_bits_min = 1024;
    leniency allow = leniency::none;
    std::int64_t now_unix_s = 0; // For x=; 0: nothing expires.
};

struct verdict {
    dkim::outcome outcome = outcome::permerror;
    dkim::reason reason = reason::none;
    std::string domain; // Empty when the field could not be read.
    std::string selector;
    std::string identity;
    bool testing = false;                  // t=y: a failure is to be treated as no signature.
    std::uint64_t unsigned_body_bytes = 0; // Behind l=: anybody may have put them there.
};

class verifier {
public:
    explicit verifier(verifier_settings settings = {});
    verifier(const verifier&) = delete;
    verifier& operator=(const verifier&) = delete;
    ~verifier();

    // Once, before the body. The fields need not outlive the call.
    void take_header(std::span<const byte_view> fields);
    void feed_body(byte_view chunk);
    void finish_body();

    [[nodiscard]] std::size_t count() const noexcept;

    // How many were over signatures_max.
    [[nodiscard]] std::size_t not_judged() const noexcept { return not_judged_; }

    // "selector._domainkey.domain", as written; empty when no key is needed.
    [[nodiscard]] std::string key_name(std::size_t index) const;

    // The TXT records of that name, each with its strings put together; none: there is no such
    // name, or no TXT record. The first that is a usable key counts. Not called: temperror.
    void set_key(std::size_t index, std::span<const std::string> records);

    // After finish_body().
    [[nodiscard]] dkim::verdict verdict(std::size_t index) const;

private:
    struct entry;

    [[nodiscard]] std::size_t hasher_for(const signature& of);
    [[nodiscard]] rejection judge(const entry& of) const;
    [[nodiscard]] rejection judge_body(const entry& of) const;

    verifier_settings settings_;
    std::vector<entry> entries_;
    std::vector<std::unique_ptr<body_hasher>> hashers_;
    std::vector<std::string> body_hashes_; // Of the hashers, when the body is over.
    std::size_t not_judged_ = 0;
};

} // namespace ebbgate::dkim
