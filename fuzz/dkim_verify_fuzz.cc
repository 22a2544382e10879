// Laws: a header, key records and a body of any bytes give verdicts and never a pass but for what
// was signed; and whatever header the scanner finds, our own signature over it verifies.
//
// Input   A key record, a zero byte, a header, an empty line, a body.

#include "ebbgate/base/assert.h"
#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"
#include "ebbgate/mail/header_scanner.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

const dkim::key_pointer& key() {
    static const dkim::key_pointer one = dkim::generate_key(dkim::key_type::ed25519);
    return one;
}

dkim::signer signer_with(std::uint8_t variant) {
    dkim::signing_settings settings;
    settings.domain = "acme.example";
    settings.selector = "fuzz";
    settings.key = key();
    settings.header_form =
        (variant & 1U) != 0 ? dkim::canonicalization::simple : dkim::canonicalization::relaxed;
    settings.body_form =
        (variant & 2U) != 0 ? dkim::canonicalization::simple : dkim::canonicalization::relaxed;
    return dkim::signer::make(settings).value();
}

// With our field in front: only that one may pass, and it must.
void check_own_signature(const std::vector<byte_view>& fields,
                         byte_view body,
                         std::uint8_t variant) {
    const dkim::signer made = signer_with(variant);
    dkim::body_hasher hasher(made.body_form());
    hasher.feed(body);
    dkim::prepared_signature prepared = made.prepare(fields, hasher.digest(), 1'800'000'000);
    dkim::prepared_signature* batch[] = {&prepared};
    dkim::sign(batch);
    const std::string field = prepared.field();
    EBBGATE_ASSERT(field.ends_with("\r\n"));
    std::vector<byte_view> all = {field};
    all.insert(all.end(), fields.begin(), fields.end());

    dkim::verifier judged;
    judged.take_header(all);
    const std::vector<std::string> records = {record_text(*key())};
    for (std::size_t i = 0; i < judged.count(); ++i) {
        judged.set_key(i, records);
    }
    for (std::size_t at = 0; at < body.size(); at += variant + std::size_t{1}) {
        judged.feed_body(body.substr(at, variant + std::size_t{1}));
    }
    judged.finish_body();
    EBBGATE_ASSERT(judged.verdict(0).outcome == dkim::outcome::pass);
    for (std::size_t i = 1; i < judged.count(); ++i) {
        EBBGATE_ASSERT(judged.verdict(i).outcome != dkim::outcome::pass);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    if (bytes < 1) {
        return 0;
    }
    const std::uint8_t variant = data[0];
    const byte_view input(reinterpret_cast<const char*>(data + 1), bytes - 1);
    const std::size_t zero = std::min(input.find('\0'), input.size());
    const std::vector<std::string> records = {std::string(input.substr(0, zero))};
    const byte_view message = input.substr(std::min(zero + 1, input.size()));
    mail::header_scanner header;
    header.feed(message);
    header.finish();
    const auto fields = dkim::raw_fields(header);
    const byte_view body = message.substr(std::min(header.header_wire_bytes(), message.size()));

    (void)dkim::parse_key_record(records[0]);
    dkim::verifier_settings settings;
    settings.allow = (variant & 4U) != 0 ? dkim::leniency::obsolete : dkim::leniency::none;
    settings.rsa_bits_min = 512;
    settings.signatures_max = variant % 4;
    dkim::verifier judged(settings);
    judged.take_header(fields);
    EBBGATE_ASSERT(judged.count() <= settings.signatures_max);
    for (std::size_t i = 0; i < judged.count(); ++i) {
        judged.set_key(i, records);
    }
    judged.feed_body(body);
    judged.finish_body();
    for (std::size_t i = 0; i < judged.count(); ++i) {
        const dkim::verdict found = judged.verdict(i);
        EBBGATE_ASSERT((found.outcome == dkim::outcome::pass) ==
                       (found.reason == dkim::reason::none));
    }
    check_own_signature(fields, body, variant);
    return 0;
}
