// What a signature covers, how its field looks, and which settings are refused.

#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"
#include "ebbgate/mail/header_scanner.h"

#include "codec/dkim/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ebbgate::dkim {
namespace {

using testing_message::ed25519_key;
using testing_message::now;
using testing_message::rsa_key;
using testing_message::settings_for;
using testing_message::signature_of;
using testing_message::usual_fields;
using testing_message::verify;

std::string unfolded(std::string text) {
    std::erase(text, '\r');
    std::erase(text, '\n');
    std::erase(text, '\t');
    return text;
}

std::string names_in(const std::string& field) {
    const std::string text = unfolded(field);
    const std::size_t at = text.find("h=") + 2;
    return text.substr(at, text.find(';', at) - at);
}

TEST(signer, writes_the_field_folded) {
    signing_settings settings = settings_for(ed25519_key());
    settings.identity = "bounce@mail.acme.example";
    settings.lifetime_s = 3600;
    const std::string field =
        signature_of(signer::make(settings).value(), usual_fields(), "Hello\r\n");
    EXPECT_THAT(unfolded(field),
                testing::StartsWith(
                    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=acme.example; s=e;"
                    "i=bounce@mail.acme.example; t=1800000000; x=1800003600; h=From:To:Subject:"
                    "Date:MIME-Version:From:To:Cc:Subject:Date:Reply-To:Message-ID:MIME-Version:"
                    "Content-Type:Content-Transfer-Encoding;bh="));
    EXPECT_TRUE(field.ends_with("\r\n"));
    EXPECT_EQ(field.find("l="), std::string::npos);
    for (std::size_t at = 0; at < field.size();) {
        const std::size_t end = field.find("\r\n", at);
        ASSERT_NE(end, std::string::npos);
        EXPECT_LE(end - at, 78U);
        EXPECT_EQ(field[at], at == 0 ? 'D' : '\t');
        at = end + 2;
    }
}

TEST(signer, both_algorithms_and_all_forms_verify) {
    for (const key_pointer& key : {rsa_key(), ed25519_key()}) {
        for (const auto header : {canonicalization::simple, canonicalization::relaxed}) {
            for (const auto body : {canonicalization::simple, canonicalization::relaxed}) {
                signing_settings settings = settings_for(key);
                settings.header_form = header;
                settings.body_form = body;
                std::vector<std::string> fields = usual_fields();
                const std::string text = "A  line \r\n\r\n\r\n";
                fields.insert(fields.begin(),
                              signature_of(signer::make(settings).value(), fields, text));
                EXPECT_EQ(to_text(verify(fields, text).reason), "none");
                EXPECT_EQ(to_text(verify(fields, "B" + text).reason), "body_hash");
            }
        }
    }
}

TEST(signer, what_is_signed_cannot_be_changed_nor_added) {
    const signer made = signer::make(settings_for(rsa_key())).value();
    std::vector<std::string> fields = usual_fields();
    fields.emplace_back("List-Unsubscribe: <https://acme.example/u>\r\n");
    fields.emplace_back("List-Id: <l.acme.example>\r\n");
    fields.insert(fields.begin(), signature_of(made, fields, "Hi\r\n"));
    EXPECT_EQ(verify(fields, "Hi\r\n").outcome, outcome::pass);
    for (const char* added : {"From: mallory@evil.example\r\n",
                              "Subject: no\r\n",
                              "Reply-To: m@evil.example\r\n",
                              "Cc: x@y.example\r\n",
                              "Content-Type: text/html\r\n",
                              "Date: now\r\n",
                              "To: z\r\n",
                              "MIME-Version: 1.0\r\n",
                              "Content-Transfer-Encoding: base64\r\n",
                              "Message-ID: <x>\r\n",
                              "List-Unsubscribe: <https://evil.example>\r\n"}) {
        for (const bool at_top : {true, false}) {
            std::vector<std::string> more = fields;
            more.insert(at_top ? more.begin() : more.end(), added);
            EXPECT_EQ(to_text(verify(more, "Hi\r\n").reason), "signature") << added;
        }
    }
    for (const char* harmless : {"Received: from c\r\n",
                                 "List-Unsubscribe-Post: a\r\n",
                                 "X-Spam: no\r\n",
                                 "List-Archive: <x>\r\n"}) {
        std::vector<std::string> more = fields;
        more.insert(more.begin(), harmless);
        EXPECT_EQ(to_text(verify(more, "Hi\r\n").reason), "none") << harmless;
    }
    for (std::size_t i = 2; i < fields.size(); ++i) {
        std::vector<std::string> less = fields;
        less.erase(less.begin() + static_cast<std::ptrdiff_t>(i));
        EXPECT_EQ(to_text(verify(less, "Hi\r\n").reason), "signature") << fields[i];
    }
}

TEST(signer, signs_each_of_several_from_the_bottom_up) {
    const signer made = signer::make(settings_for(ed25519_key())).value();
    std::vector<std::string> fields = {"From: a@acme.example\r\n",
                                       "Subject: one\r\n",
                                       "subject: two\r\n",
                                       "Resent-From: b\r\n",
                                       "Resent-From: c\r\n"};
    const std::string field = signature_of(made, fields, "");
    EXPECT_THAT(names_in(field),
                testing::StartsWith("From:Subject:subject:Resent-From:Resent-From:From:"));
    fields.insert(fields.begin(), field);
    EXPECT_EQ(to_text(verify(fields, "").reason), "none");
    std::swap(fields[2], fields[3]); // Their order counts.
    EXPECT_EQ(to_text(verify(fields, "").reason), "signature");
}

TEST(signer, a_name_that_would_break_the_tag_list_is_not_signed) {
    const signer made = signer::make(settings_for(ed25519_key())).value();
    std::vector<std::string> fields = {
        "From: a@acme.example\r\n", "List-;d=evil.example;x: y\r\n", "List-: y\r\n"};
    const std::string field = signature_of(made, fields, "");
    EXPECT_EQ(field.find("evil"), std::string::npos);
    fields.insert(fields.begin(), field);
    EXPECT_EQ(to_text(verify(fields, "").reason), "none");
}

TEST(signer, a_message_without_fields_is_signed_too) {
    const signer made = signer::make(settings_for(ed25519_key())).value();
    EXPECT_EQ(to_text(verify({signature_of(made, {}, "")}, "").reason), "none");
}

TEST(signer, a_thousand_fields_are_signed_in_time_and_verify) {
    const signer made = signer::make(settings_for(ed25519_key())).value();
    std::vector<std::string> fields = {"From: a@acme.example\r\n"};
    for (int i = 0; i < 1000; ++i) {
        fields.push_back("Resent-To: " + std::to_string(i) + "@x.example\r\n");
    }
    fields.insert(fields.begin(), signature_of(made, fields, "x"));
    EXPECT_EQ(to_text(verify(fields, "x").reason), "none");
}

TEST(signer, uses_what_the_header_scanner_found) {
    mail::header_scanner header;
    header.feed("From : a@acme.example\r\nSubject:\r\n\tfolded\r\n\r\nbody");
    const auto fields = raw_fields(header);
    ASSERT_EQ(fields.size(), 2U);
    EXPECT_EQ(fields[1], "Subject:\r\n\tfolded\r\n");
    for (const auto form : {canonicalization::simple, canonicalization::relaxed}) {
        signing_settings settings = settings_for(ed25519_key());
        settings.header_form = form;
        std::vector<std::string> all(fields.begin(), fields.end());
        all.insert(all.begin(), signature_of(signer::make(settings).value(), all, "body"));
        EXPECT_EQ(to_text(verify(all, "body").reason), "none");
    }
}

TEST(signer, a_batch_of_any_mixture_is_signed) {
    const signer rsa = signer::make(settings_for(rsa_key())).value();
    const signer ed25519 = signer::make(settings_for(ed25519_key())).value();
    const std::vector<std::string> fields = usual_fields();
    for (const signing_engine engine :
         {signing_engine::automatic, signing_engine::one_by_one, signing_engine::vectors}) {
        if (engine == signing_engine::vectors && !has_vectors()) {
            continue;
        }
        std::vector<prepared_signature> prepared;
        for (std::size_t i = 0; i < 19; ++i) {
            body_hasher hasher(canonicalization::relaxed);
            hasher.feed(std::to_string(i));
            prepared.push_back((i % 3 == 0 ? ed25519 : rsa)
                                   .prepare(testing_message::views(fields), hasher.digest(), now));
        }
        std::vector<prepared_signature*> batch;
        for (prepared_signature& one : prepared) {
            EXPECT_TRUE(one.field().empty());
            batch.push_back(&one);
        }
        sign(batch, engine);
        for (std::size_t i = 0; i < prepared.size(); ++i) {
            std::vector<std::string> all = fields;
            all.insert(all.begin(), prepared[i].field());
            EXPECT_EQ(to_text(verify(all, std::to_string(i)).reason), "none") << i;
        }
    }
}

TEST(signer, refuses_settings_that_receivers_would) {
    const auto error_of = [](auto change) {
        signing_settings settings = settings_for(ed25519_key());
        signed_fields fields = default_signed_fields();
        change(settings, fields);
        const auto made = signer::make(settings, fields);
        return made ? std::string() : made.error().detail;
    };
    EXPECT_EQ(error_of([](auto&, auto&) {}), "");
    EXPECT_EQ(error_of([](auto& s, auto&) { s.identity = "@ACME.example"; }), "");
    EXPECT_NE(error_of([](auto& s, auto&) { s.key = nullptr; }), "");
    for (const char* bad : {"", "a b", "a;b", "b\xc3\xbc.example", "a..b", "a\r\nb"}) {
        EXPECT_NE(error_of([&](auto& s, auto&) { s.domain = bad; }), "") << bad;
        EXPECT_NE(error_of([&](auto& s, auto&) { s.selector = bad; }), "") << bad;
    }
    for (const char* bad : {"x",
                            "x@other.example",
                            "x@notacme.example",
                            "x;y@acme.example",
                            "@",
                            "a b@acme.example",
                            "x@.acme.example",
                            "=41@acme.example"}) {
        EXPECT_NE(error_of([&](auto& s, auto&) { s.identity = bad; }), "") << bad;
    }
    EXPECT_NE(error_of([](auto&, auto& f) { f.names = {"To"}; }), "");
    for (const char* bad : {"", "*x", "a b", "a:b", "a;", "a\n"}) {
        EXPECT_NE(error_of([&](auto&, auto& f) { f.names.push_back(bad); }), "") << bad;
        EXPECT_NE(error_of([&](auto&, auto& f) { f.oversigned.push_back(bad); }), "") << bad;
    }
    EXPECT_NE(error_of([](auto&, auto& f) { f.oversigned.push_back("List-*"); }), "");
}

} // namespace
} // namespace ebbgate::dkim
