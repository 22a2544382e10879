// What makes a signature or a key record unusable, one fault at a time; and what a verdict tells.

#include "ebbgate/dkim/key_record.h"
#include "ebbgate/dkim/verifier.h"

#include "codec/dkim/message.h"
#include "crypto/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
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
using testing_message::views;

struct judged_as {
    std::string_view what;
    std::string_view why;

    bool operator==(const judged_as&) const = default;
};

void PrintTo(const judged_as& one, std::ostream* out) {
    *out << one.what << '/' << one.why;
}

// A field that is well formed and has a signature of rubbish.
judged_as judge_field(const std::string& tags, leniency allow = leniency::none) {
    const auto parsed = parse_signature("DKIM-Signature: " + tags + "\r\n", allow);
    return parsed ? judged_as{"", ""}
                  : judged_as{to_text(parsed.error().outcome), to_text(parsed.error().reason)};
}

std::string tags_with(const std::string& from = "", const std::string& to = "") {
    std::string tags = "v=1; a=rsa-sha256; c=relaxed/simple; d=acme.example; s=r; h=From:To; "
                       "bh=AAAA; b=AAAA";
    const std::size_t at = tags.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return tags.replace(at, from.size(), to);
}

TEST(signature, takes_what_the_grammar_allows) {
    for (const std::string& good : {
             tags_with(),
             tags_with() + ";",
             tags_with() + ";\r\n\t",
             tags_with("v=1", "v = 1"),
             tags_with("h=From:To", "h=From :\r\n To"),
             tags_with("h=From:To", "h=from"),
             tags_with("bh=AAAA", "bh=A A\r\n\tAA"),
             tags_with("c=relaxed/simple", "c=relaxed"),
             tags_with("c=relaxed/simple;", ""),
             tags_with("c=relaxed/simple", "q=x/y:dns/txt"),
             tags_with("c=relaxed/simple", "foo=bar"),
             tags_with("c=relaxed/simple", "l=0; t=1; x=2; z=From:foo|To:bar"),
             tags_with("c=relaxed/simple", "i=@acme.example"),
             tags_with("c=relaxed/simple", "i=a=20b@Mail.ACME.example"),
             tags_with("d=acme.example",
                       "d=b\xc3\xbc"
                       "cher.example"),
             tags_with("a=rsa-sha256", "a=ed25519-sha256"),
         }) {
        EXPECT_EQ(judge_field(good), (judged_as{"", ""})) << good;
    }
    const auto other = parse_signature("DKIM-Signature:" +
                                       tags_with("c=relaxed/simple", "l=12;i=a=3Bb@acme.example"));
    ASSERT_TRUE(other);
    EXPECT_EQ(other->identity, "a;b@acme.example");
    EXPECT_EQ(other->body_bytes, 12U);
    EXPECT_EQ(other->names, (std::vector<std::string>{"From", "To"}));
    EXPECT_EQ(other->header_form, canonicalization::simple);
    EXPECT_EQ(other->value, std::string(3, '\0'));
}

TEST(signature, refuses_each_fault_with_its_reason) {
    struct row {
        std::string tags;
        judged_as as;
    };

    const judged_as syntax{"permerror", "syntax"};
    const judged_as missing{"permerror", "missing_tag"};
    for (const row& one : std::vector<row>{
             {"", syntax},
             {"synerr", syntax},
             {tags_with() + ";;", syntax},
             {tags_with() + "; v=1", syntax},
             {tags_with() + "; =x", syntax},
             {tags_with() + "; 1a=x", syntax},
             {tags_with() + "; n=a\x01", syntax},
             {tags_with() + "; n=a\rb", syntax},
             {tags_with() + "; n=a\r\nb", syntax},
             {tags_with("v=1; ", ""), missing},
             {tags_with("a=rsa-sha256; ", ""), missing},
             {tags_with("d=acme.example; ", ""), missing},
             {tags_with("s=r; ", ""), missing},
             {tags_with("h=From:To; ", ""), missing},
             {tags_with("bh=AAAA; ", ""), missing},
             {tags_with("; b=AAAA", ""), missing},
             {tags_with("v=1", "v=2"), {"neutral", "version"}},
             {tags_with("v=1", "v=1.0"), {"neutral", "version"}},
             {tags_with("a=rsa-sha256", "a=rsa-md5"), {"neutral", "algorithm"}},
             {tags_with("a=rsa-sha256", "a=rsa-sha1"), {"permerror", "weak_algorithm"}},
             {tags_with("c=relaxed/simple", "c=nowsp"), {"neutral", "canonicalization"}},
             {tags_with("c=relaxed/simple", "c=simple/"), {"neutral", "canonicalization"}},
             {tags_with("c=relaxed/simple", "q=http"), {"neutral", "query"}},
             {tags_with("h=From:To", "h=To"), {"permerror", "from_not_signed"}},
             {tags_with("h=From:To", "h=From::To"), syntax},
             {tags_with("h=From:To", "h=From:T o"), syntax},
             {tags_with("d=acme.example", "d=acme..example"), syntax},
             {tags_with("d=acme.example", "d="), syntax},
             {tags_with("s=r", "s=r r"), syntax},
             {tags_with("c=relaxed/simple", "i=x@other.example"),
              {"permerror", "foreign_identity"}},
             {tags_with("c=relaxed/simple", "i=x@notacme.example"),
              {"permerror", "foreign_identity"}},
             {tags_with("c=relaxed/simple", "i=acme.example"), syntax},
             {tags_with("c=relaxed/simple", "i==4@acme.example"), syntax},
             {tags_with("c=relaxed/simple", "l=-1"), syntax},
             {tags_with("c=relaxed/simple", "l=99999999999999999999"), syntax},
             {tags_with("c=relaxed/simple", "t=1234567890123"), syntax},
             {tags_with("c=relaxed/simple", "x=soon"), syntax},
             {tags_with("c=relaxed/simple", "t=5; x=5"), {"permerror", "times"}},
             {tags_with("bh=AAAA", "bh="), syntax},
             {tags_with("bh=AAAA", "bh=A*AA"), syntax},
             {tags_with("; b=AAAA", "; b="), syntax},
         }) {
        EXPECT_EQ(judge_field(one.tags), one.as) << one.tags;
    }
    EXPECT_EQ(judge_field(tags_with("a=rsa-sha256", "a=rsa-sha1"), leniency::obsolete),
              (judged_as{"", ""}));
}

TEST(signature, is_bounded) {
    std::string tags = tags_with();
    for (std::size_t i = 0; i < tags_max; ++i) {
        tags += "; n" + std::to_string(i) + "=x";
    }
    EXPECT_EQ(judge_field(tags), (judged_as{"permerror", "syntax"}));
    std::string names = "From";
    for (int i = 0; i < 5000; ++i) {
        names += ":a";
    }
    EXPECT_EQ(judge_field(tags_with("From:To", names)), (judged_as{"permerror", "syntax"}));
}

TEST(key_record, refuses_each_fault_with_its_reason) {
    struct row {
        std::string_view text;
        reason why;
    };

    for (const row& one : {
             row{"v=DKIM1; k=rsa; p=AAAA", reason::none},
             row{"p=AAAA", reason::none},
             row{" v = DKIM1 ; p = A A AA ; ", reason::none},
             row{"p=AAA", reason::none}, // The grammar lets padding be left out.
             row{"k=rsa; n=a note; g=*x; s=other:email; t=y:s; p=AAAA; foo=bar", reason::none},
             row{"v=DKIM1; k=ed25519; s=*; p=AAAA", reason::none},
             row{"", reason::key_syntax},
             row{"hello", reason::key_syntax},
             row{"v=DKIM1; k=rsa", reason::key_syntax},
             row{"k=rsa; t; p=AAAA", reason::key_syntax},
             row{"p=AAAA; p=AAAA", reason::key_syntax},
             row{"v=DKIM2; p=AAAA", reason::key_version},
             row{"v=spf1 -all; p=AAAA", reason::key_version},
             row{"p=AAAA; v=DKIM1", reason::key_version},
             row{"v=DKIM1; p=", reason::key_revoked},
             row{"k=dsa; p=AAAA", reason::key_type},
             row{"s=chat; p=AAAA", reason::key_service},
             row{"p=A*AA", reason::key_malformed},
             row{"p=A", reason::key_malformed},
         }) {
        const auto parsed = parse_key_record(one.text);
        EXPECT_EQ(to_text(parsed ? reason::none : parsed.error()), to_text(one.why)) << one.text;
    }
    EXPECT_FALSE(parse_key_record("p=" + std::string(10'000, 'A')));
    const auto flags = parse_key_record("h=sha1; t=y:s; p=AAAA").value();
    EXPECT_TRUE(flags.testing && flags.no_subdomains && flags.allows_sha1);
    EXPECT_FALSE(flags.allows_sha256);
}

class signed_message : public testing::Test {
protected:
    void SetUp() override {
        signing_settings settings = settings_for(ed25519_key());
        settings.identity = "@mail.acme.example";
        settings.lifetime_s = 100;
        fields_ = usual_fields();
        fields_.insert(fields_.begin(),
                       signature_of(signer::make(settings).value(), fields_, body_));
    }

    [[nodiscard]] judged_as judge_with(const std::vector<std::string>& records,
                                       verifier_settings settings = {}) const {
        verifier judged(settings);
        judged.take_header(views(fields_));
        judged.feed_body(body_);
        judged.finish_body();
        judged.set_key(0, records); // Any time before the verdict.
        const verdict found = judged.verdict(0);
        return {to_text(found.outcome), to_text(found.reason)};
    }

    const std::string body_ = "Hello\r\n";
    std::vector<std::string> fields_;
};

TEST_F(signed_message, is_judged_by_its_key) {
    const std::string record = record_text(*ed25519_key());
    const std::string key = ed25519_key()->public_key();
    EXPECT_EQ(judge_with({record}), (judged_as{"pass", "none"}));
    EXPECT_EQ(judge_with({"v=spf1 -all", record}), (judged_as{"pass", "none"}));
    EXPECT_EQ(judge_with({}), (judged_as{"permerror", "key_missing"}));
    EXPECT_EQ(judge_with({"v=spf1 -all"}), (judged_as{"permerror", "key_version"}));
    EXPECT_EQ(judge_with({record_text(*rsa_key())}), (judged_as{"permerror", "key_type"}));
    EXPECT_EQ(judge_with({record_text(*generate_key(key_type::ed25519))}),
              (judged_as{"fail", "signature"}));
    EXPECT_EQ(judge_with({"k=ed25519; h=sha1; p=" + key}), (judged_as{"permerror", "key_hash"}));
    EXPECT_EQ(judge_with({"k=ed25519; t=s; p=" + key}), (judged_as{"permerror", "key_identity"}));
    EXPECT_EQ(judge_with({"k=ed25519; p=AAAA"}), (judged_as{"permerror", "key_malformed"}));
    // Records beyond the bound are not looked at.
    std::vector<std::string> many(key_records_max, "x");
    many.push_back(record);
    EXPECT_EQ(judge_with(many), (judged_as{"permerror", "key_syntax"}));
}

TEST_F(signed_message, expires) {
    const std::vector<std::string> records = {record_text(*ed25519_key())};
    verifier_settings settings;
    settings.now_unix_s = now + 100;
    EXPECT_EQ(judge_with(records, settings), (judged_as{"pass", "none"}));
    settings.now_unix_s = now + 101;
    EXPECT_EQ(judge_with(records, settings), (judged_as{"fail", "expired"}));
}

TEST_F(signed_message, without_an_answer_from_dns_is_temperror) {
    verifier judged;
    judged.take_header(views(fields_));
    judged.finish_body();
    EXPECT_EQ(judged.verdict(0).outcome, outcome::temperror);
    EXPECT_EQ(judged.verdict(0).identity, "@mail.acme.example");
    EXPECT_EQ(judged.key_name(0), "e._domainkey.acme.example");
}

TEST(verifier, short_rsa_keys_are_refused) {
    const key_pointer weak = generate_key(key_type::rsa, 1024);
    std::vector<std::string> fields = usual_fields();
    fields.insert(fields.begin(),
                  signature_of(signer::make(settings_for(weak)).value(), fields, ""));
    for (const std::size_t least : {1024U, 1025U}) {
        verifier_settings settings;
        settings.rsa_bits_min = least;
        verifier judged(settings);
        judged.take_header(views(fields));
        judged.finish_body();
        const std::vector<std::string> records = {record_text(*weak)};
        judged.set_key(0, records);
        EXPECT_EQ(to_text(judged.verdict(0).reason), least == 1024 ? "none" : "key_too_weak");
    }
}

TEST(verifier, judges_several_each_by_itself_and_no_more_than_its_bound) {
    const std::string body = "Hello\r\n";
    std::vector<std::string> fields = usual_fields();
    signing_settings simple = settings_for(rsa_key());
    simple.body_form = canonicalization::simple;
    const std::string first = signature_of(signer::make(simple).value(), fields, body);
    const std::string second =
        signature_of(signer::make(settings_for(ed25519_key())).value(), fields, body);
    std::string wrong = second;
    wrong.replace(wrong.find("d=acme"), 6, "d=bcme");
    fields.insert(fields.begin(), {first, wrong, "DKIM-Signature: rubbish\r\n", second});
    verifier_settings settings;
    settings.signatures_max = 3;
    EXPECT_EQ(to_text(verify(fields, body, settings, 0).reason), "none");
    EXPECT_EQ(to_text(verify(fields, body, settings, 1).reason), "signature");
    EXPECT_EQ(to_text(verify(fields, body, settings, 2).reason), "syntax");
    EXPECT_EQ(to_text(verify(fields, body, {}, 3).reason), "none");
    verifier judged(settings);
    judged.take_header(views(fields));
    EXPECT_EQ(judged.count(), 3U);
    EXPECT_EQ(judged.not_judged(), 1U);
    EXPECT_EQ(judged.key_name(2), "");
}

// We never write l=, so the field is made by hand from one that we signed without it.
TEST(verifier, l_covers_the_start_of_the_body_only) {
    const auto with_length = [](std::uint64_t length, const std::string& body) {
        body_hasher hasher(canonicalization::simple, length);
        hasher.feed(body);
        signing_settings settings = settings_for(ed25519_key());
        settings.header_form = canonicalization::simple;
        settings.body_form = canonicalization::simple;
        std::vector<std::string> fields = {"From: a@acme.example\r\n"};
        prepared_signature prepared =
            signer::make(settings).value().prepare(views(fields), hasher.digest(), now);
        prepared.text.replace(
            prepared.text.find("s=e;"), 4, "s=e;l=" + std::to_string(length) + ";");
        prepared.digest = crypto::hash_of(fields[0] + prepared.text).bytes;
        prepared_signature* batch[] = {&prepared};
        sign(batch);
        fields.insert(fields.begin(), prepared.field());
        return fields;
    };
    const std::vector<std::string> fields = with_length(7, "Hello\r\nsigned not");
    EXPECT_EQ(to_text(verify(fields, "Hello\r\n").reason), "none");
    EXPECT_EQ(verify(fields, "Hello\r\n").unsigned_body_bytes, 0U);
    EXPECT_EQ(to_text(verify(fields, "Hello\r\nmore\r\n").reason), "none");
    EXPECT_EQ(verify(fields, "Hello\r\nmore\r\n").unsigned_body_bytes, 6U);
    EXPECT_EQ(to_text(verify(fields, "Hullo\r\n").reason), "body_hash");
    EXPECT_EQ(to_text(verify(fields, "Hell\r\n").reason), "body_too_short");
}

TEST(verifier, a_message_without_signatures_has_no_verdict) {
    verifier judged;
    judged.take_header(views(usual_fields()));
    judged.feed_body("x");
    judged.finish_body();
    EXPECT_EQ(judged.count(), 0U);
}

} // namespace
} // namespace ebbgate::dkim
