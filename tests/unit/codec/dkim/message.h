// A message as the tests sign and verify it.

#pragma once

#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"

#include <string>
#include <vector>

namespace ebbgate::dkim::testing_message {

inline constexpr std::int64_t now = 1'800'000'000;

inline std::vector<byte_view> views(const std::vector<std::string>& fields) {
    return {fields.begin(), fields.end()};
}

inline std::vector<std::string> usual_fields() {
    return {"Received: from a by b\r\n",
            "From: Orders <orders@acme.example>\r\n",
            "To: jane@customer.example\r\n",
            "Subject: Your order\r\n is on its way\r\n",
            "Date: Tue, 24 Nov 2026 15:56:53 +0000\r\n",
            "MIME-Version: 1.0\r\n"};
}

inline const key_pointer& rsa_key() {
    static const key_pointer key = generate_key(key_type::rsa, 2048);
    return key;
}

inline const key_pointer& ed25519_key() {
    static const key_pointer key = generate_key(key_type::ed25519);
    return key;
}

inline signing_settings settings_for(const key_pointer& key) {
    signing_settings settings;
    settings.domain = "acme.example";
    settings.selector = key->type() == key_type::rsa ? "r" : "e";
    settings.key = key;
    return settings;
}

inline std::string signature_of(const signer& made,
                                const std::vector<std::string>& fields,
                                byte_view body,
                                std::int64_t at = now) {
    body_hasher hasher(made.body_form());
    hasher.feed(body);
    prepared_signature prepared = made.prepare(views(fields), hasher.digest(), at);
    prepared_signature* batch[] = {&prepared};
    sign(batch);
    return prepared.field();
}

// The key of each signature is the right one.
inline verdict verify(const std::vector<std::string>& fields,
                      byte_view body,
                      verifier_settings settings = {},
                      std::size_t index = 0) {
    verifier judged(settings);
    judged.take_header(views(fields));
    for (std::size_t i = 0; i < judged.count(); ++i) {
        const bool rsa = judged.key_name(i).starts_with("r.");
        const std::vector<std::string> records = {record_text(rsa ? *rsa_key() : *ed25519_key())};
        judged.set_key(i, records);
    }
    judged.feed_body(body);
    judged.finish_body();
    return judged.verdict(index);
}

} // namespace ebbgate::dkim::testing_message
