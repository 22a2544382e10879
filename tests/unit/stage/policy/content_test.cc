// What the policy says about content: values, what tenants take over, faults, and the two texts.

#include "stage/policy/content.h"
#include "stage/policy/difference.h"
#include "stage/policy/snapshot.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ebbgate::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string text_of(std::string_view defaults, std::string_view tenant) {
    return fmt::format(R"({{"routes":[{{"match":"*","relay":"hold"}}],"defaults":{{{}}},)"
                       "\n"
                       R"("tenants":[{{"name":"a","domains":["a.example","b.test"]{}{}}}]}})",
                       defaults,
                       tenant.empty() ? "" : ",",
                       tenant);
}

snapshot_pointer made(std::string_view defaults, std::string_view tenant) {
    auto parsed = parse(text_of(defaults, tenant), "/etc/gate/p.json");
    EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : config::to_text(parsed.error()));
    return parsed ? *parsed : *parse(text_of("", ""), "p.json");
}

TEST(PolicyContent, WithoutKeysNothingIsJudged) {
    const auto policy = made("", "");
    const tenant& one = policy->tenants()[0];
    EXPECT_EQ(one.attachments, nullptr);
    EXPECT_EQ(one.filelink, nullptr);
    EXPECT_TRUE(one.dkim.empty());
    EXPECT_EQ(one.unsigned_mail, strictness::refuse);
}

TEST(PolicyContent, AttachmentsHaveStrictDefaults) {
    const auto policy = made("", R"("attachments":{})");
    const attachment_settings& rule = *policy->tenants()[0].attachments;
    EXPECT_TRUE(rule.allows("exe"));
    EXPECT_TRUE(rule.sniff);
    EXPECT_EQ(rule.encrypted_archives, strictness::refuse);
    EXPECT_EQ(rule.ambiguous, strictness::refuse);
    EXPECT_EQ(rule.archives, archive_rule::members);
}

TEST(PolicyContent, TheListIsComparedInLowerCase) {
    const auto policy = made("", R"("attachments":{"allow":["PDF","txt","pdf","7z"]})");
    const attachment_settings& rule = *policy->tenants()[0].attachments;
    EXPECT_THAT(*rule.allow, ElementsAre("7z", "pdf", "txt"));
    EXPECT_TRUE(rule.allows("pdf"));
    EXPECT_FALSE(rule.allows("pd"));
    EXPECT_FALSE(rule.allows(""));
    EXPECT_FALSE(made("", R"("attachments":{"allow":[]})")->tenants()[0].attachments->allows("a"));
}

TEST(PolicyContent, ATenantTakesOverWhatItDoesNotSay) {
    const auto policy = made(
        R"("attachments":{"allow":["pdf"],"sniff":false,"archives":"name"},"unsigned":"allow",
           "filelink":{"url":"https://f.example/","keep":"7 days"})",
        R"("attachments":{"sniff":true,"ambiguous":"allow","encrypted_archives":"allow"},
           "filelink":{"larger_than":"10MB","total_larger_than":"20MB"})");
    const tenant& one = policy->tenants()[0];
    EXPECT_THAT(*one.attachments->allow, ElementsAre("pdf"));
    EXPECT_TRUE(one.attachments->sniff);
    EXPECT_EQ(one.attachments->archives, archive_rule::name);
    EXPECT_EQ(one.attachments->ambiguous, strictness::allow);
    EXPECT_EQ(one.attachments->encrypted_archives, strictness::allow);
    EXPECT_EQ(one.unsigned_mail, strictness::allow);
    EXPECT_EQ(one.filelink->larger_than_bytes, 10'000'000U);
    EXPECT_EQ(one.filelink->total_larger_than_bytes, 20'000'000U);
    EXPECT_EQ(one.filelink->url, "https://f.example/");
    EXPECT_EQ(one.filelink->keep, std::chrono::hours(7 * 24));
    EXPECT_EQ(one.filelink->keep_text, "seven days");
}

TEST(PolicyContent, ALinksHostMayHaveItsCertificate) {
    const std::string_view link = R"("filelink":{"url":"https://F.Example:8443/a/",
        "larger_than":"1MB","tls":{"certificate":"f.pem","key":"/k/f.key"}})";
    const auto policy = made("", link);
    const filelink_settings& own = *policy->tenants()[0].filelink;
    EXPECT_TRUE(own.tls.certificate.ends_with("/f.pem")) << own.tls.certificate;
    EXPECT_TRUE(own.tls.certificate.starts_with("/")) << own.tls.certificate;
    EXPECT_EQ(own.tls.key, "/k/f.key");
    EXPECT_EQ(host_of_url(own.url), "f.example");
    EXPECT_EQ(host_of_url("http://files.acme.example/files/"), "files.acme.example");
    EXPECT_EQ(host_of_url(""), "");
    // The tenant's in the place of that of `defaults`, as a whole.
    const auto inherited = made(link, R"("filelink":{"keep":"7 days"})");
    EXPECT_EQ(inherited->tenants()[0].filelink->tls, own.tls);
    EXPECT_THAT(diff(*made("", R"("filelink":{"url":"https://F.Example:8443/a/",
        "larger_than":"1MB"})"),
                     *policy),
                ElementsAre("tenant \"a\": filelink changed"));
}

TEST(PolicyContent, ATenantIsOutOfTheDefaultsByFalse) {
    const std::string_view defaults =
        R"("attachments":{"allow":["pdf"]},
           "filelink":{"url":"https://f.example/","larger_than":"1MB"})";
    EXPECT_NE(made(defaults, "")->tenants()[0].attachments, nullptr);
    EXPECT_NE(made(defaults, "")->tenants()[0].filelink, nullptr);
    const auto policy = made(defaults, R"("attachments":false,"filelink":false)");
    EXPECT_EQ(policy->tenants()[0].attachments, nullptr);
    EXPECT_EQ(policy->tenants()[0].filelink, nullptr);
}

TEST(PolicyContent, KeysAreFoundByTheLongestParent) {
    const auto policy = made("",
                             R"("dkim":[
            {"domain":"Mail.A.example","selector":"m","key":"../k/m.pem"},
            {"domain":"a.example","selector":"S2","key":"/keys/s2.pem",
             "canonicalization":"simple/relaxed","expire":"30d"},
            {"domain":"a.example","selector":"s1","key":"s1.pem"}])");
    const auto& keys = policy->tenants()[0].dkim;
    const auto selectors = [&keys](std::string_view domain) {
        std::vector<std::string> out;
        for (const dkim_key& key : keys_for(keys, domain)) {
            out.push_back(key.selector);
        }
        return out;
    };
    EXPECT_THAT(selectors("a.example"), ElementsAre("s1", "s2"));
    EXPECT_THAT(selectors("x.y.a.example"), ElementsAre("s1", "s2"));
    EXPECT_THAT(selectors("mail.a.example"), ElementsAre("m"));
    EXPECT_THAT(selectors("x.mail.a.example"), ElementsAre("m"));
    EXPECT_THAT(selectors("xa.example"), IsEmpty());
    EXPECT_THAT(selectors("b.test"), IsEmpty());
    EXPECT_THAT(selectors("example"), IsEmpty());
    EXPECT_THAT(selectors(""), IsEmpty());
    EXPECT_EQ(keys[1].header, canonical_form::simple);
    EXPECT_EQ(keys[1].body, canonical_form::relaxed);
    EXPECT_EQ(keys[1].expire, std::chrono::hours(30 * 24));
    EXPECT_EQ(keys[0].header, canonical_form::relaxed);
    EXPECT_EQ(keys[0].body, canonical_form::relaxed);
    EXPECT_THAT(policy->key_files(),
                ElementsAre("/etc/gate/s1.pem", "/keys/s2.pem", "/etc/k/m.pem"));
}

struct fault_case {
    const char* defaults;
    const char* tenant;
    const char* fault; // Behind "p.json:".
};

constexpr fault_case faults[] = {
    {"", R"("attachments":true)", "2: /tenants/0/attachments: expected an object, found true"},
    {"",
     R"("attachments":{"deny":[]})",
     "2: /tenants/0/attachments/deny: unknown key; expected one of: allow, reply, "
     "encrypted_archives, ambiguous, archives, sniff"},
    {"",
     R"("attachments":{"allow":["pdf","tar.gz"]})",
     "2: /tenants/0/attachments/allow/1: expected an extension such as \"pdf\", without a dot (at "
     "most 32 letters, digits, - _ + ~ !), found \"tar.gz\""},
    {"",
     R"("attachments":{"ambiguous":"deny"})",
     "2: /tenants/0/attachments/ambiguous: expected \"refuse\" or \"allow\", found \"deny\""},
    {"",
     R"("attachments":{"reply":[]})",
     "2: /tenants/0/attachments/reply: expected 1 to 16 lines"},
    {"",
     R"("attachments":{"reply":["x","a {file}"]})",
     "2: /tenants/0/attachments/reply/1: expected {name} {company} after the text \"a \""},
    {"",
     R"("attachments":{"reply":["a}"]})",
     "2: /tenants/0/attachments/reply/0: a \"}\" without its \"{\"; expected a variable such as "
     "{name}"},
    {"",
     R"("attachments":{"reply":["a\r\nb"]})",
     "2: /tenants/0/attachments/reply/0: expected one line of 1 to 200 printable ASCII "
     "characters"},
    {"",
     R"("filelink":{"larger_than":"1MB"})",
     "2: /tenants/0/filelink: \"url\" is missing; expected the URL of a folder"},
    {"",
     R"("filelink":{"url":"https://f.example/"})",
     "2: /tenants/0/filelink: \"larger_than\" is missing; expected a size"},
    {R"("filelink":{"larger_than":"1MB"})",
     "",
     "2: /tenants/0: expected a \"filelink\" with what that of \"defaults\" leaves open "
     "(\"larger_than\", \"url\"), or false"},
    {"",
     R"("filelink":{"larger_than":"1MB","url":"https://f.example"})",
     "2: /tenants/0/filelink/url: expected a URL such as \"https://files.acme.example/files/\" "
     "that ends with \"/\" and needs no escapes, found \"https://f.example\""},
    {"",
     R"("filelink":{"larger_than":"1MB","url":"https://f.example/","text":["{name}"]})",
     "2: /tenants/0/filelink/text: expected {url} in one of the lines"},
    {"",
     R"("dkim":[{"domain":"c.example","selector":"s","key":"k"}])",
     "2: /tenants/0/dkim/0/domain: is not in the tenant's domains; expected one of them, a "
     "subdomain, or \"c.example\" among its \"domains\""},
    {"",
     R"("dkim":[{"domain":"example","selector":"s","key":"k"}])",
     "2: /tenants/0/dkim/0/domain: is not in the tenant's domains; expected one of them, a "
     "subdomain, or \"example\" among its \"domains\""},
    {"",
     R"("dkim":[{"domain":"b.test","selector":"s","key":"k"},
                {"domain":"B.test","selector":"S","key":"l"}])",
     "3: /tenants/0/dkim/1: \"b.test\" has a key with this selector already; expected each once"},
    {"",
     R"("dkim":[{"domain":"b.test","selector":"s=1","key":"k"}])",
     "2: /tenants/0/dkim/0/selector: expected a selector such as \"s2026\" (a DNS name, 253 bytes "
     "at most with the domain), found \"s=1\""},
    {"",
     R"("dkim":[{"domain":"b.test","selector":"s"}])",
     "2: /tenants/0/dkim/0: \"key\" is missing; expected the path of a file"},
    {"",
     R"("dkim":[{"domain":"b.test","selector":"1","key":"k"},
        {"domain":"b.test","selector":"2","key":"k"},{"domain":"b.test","selector":"3","key":"k"},
        {"domain":"b.test","selector":"4","key":"k"},{"domain":"b.test","selector":"5","key":"k"}])",
     "4: /tenants/0/dkim/4: expected at most 4 keys of one domain: each is a signature on each "
     "message"},
};

TEST(PolicyContent, EveryFaultNamesItsPlaceAndWhatWasExpected) {
    for (const fault_case& c : faults) {
        SCOPED_TRACE(c.tenant);
        const auto parsed = parse(text_of(c.defaults, c.tenant), "p.json");
        ASSERT_FALSE(parsed.has_value());
        ASSERT_EQ(parsed.error().size(), 1U) << config::to_text(parsed.error());
        EXPECT_EQ(config::to_text(parsed.error()[0]), std::string("p.json:") + c.fault);
    }
}

TEST(PolicyContent, TheDifferenceNamesWhatChanged) {
    const std::string_view filelink = R"("filelink":{"url":"https://f.example/","larger_than":)";
    const auto before = made("", fmt::format(R"("attachments":{{}},{}"1MB"}})", filelink));
    const auto after =
        made(R"("attachments":{"allow":["pdf"]},"unsigned":"allow")",
             fmt::format(R"({}"2MB"}},"dkim":[{{"domain":"b.test","selector":"s","key":"k"}}])",
                         filelink));
    EXPECT_THAT(diff(*before, *after),
                ElementsAre("tenant \"a\": attachments changed",
                            "tenant \"a\": filelink changed",
                            "tenant \"a\": dkim changed",
                            "tenant \"a\": unsigned changed"));
    EXPECT_THAT(diff(*after, *after), IsEmpty());
    EXPECT_THAT(diff(*made(R"("attachments":{})", ""), *made("", R"("attachments":{})")),
                IsEmpty());
}

TEST(PolicyContent, DurationsAreSaidInWords) {
    const std::pair<const char*, const char*> cases[] = {
        {"12 months", "twelve months"},
        {"1 month", "one month"},
        {"1d", "one day"},
        {"7 days", "seven days"},
        {"36h", "36 hours"},
        {"1h", "one hour"},
        {"90m", "90 minutes"},
        {"5 minutes", "five minutes"},
        {"3600", "3600 seconds"},
        {"13 months", "13 months"},
    };
    for (const auto& [text, words] : cases) {
        EXPECT_EQ(duration_in_words(text), words) << text;
    }
}

TEST(AttachmentRefusal, HasTheFourLines) {
    EXPECT_EQ(smtp::to_wire(attachment_refusal({}, "example.zip", "Acme", false)),
              "550-5.7.1 The attachment named \"example.zip\"\r\n"
              "550-5.7.1 violates Acme's email security policy.\r\n"
              "550-5.7.1 The delivery has been blocked.\r\n"
              "550 5.7.1 For more information, contact your IT Administrator.\r\n");
}

TEST(AttachmentRefusal, ANameCannotAddAnything) {
    const auto first_line = [](std::string_view name, bool utf8) {
        const std::string wire = smtp::to_wire(attachment_refusal({}, name, "A", utf8));
        const std::string_view head = "550-5.7.1 The attachment named \"";
        EXPECT_TRUE(wire.starts_with(head)) << wire;
        return wire.substr(head.size(), wire.find('\n') - head.size() - 2);
    };
    EXPECT_EQ(first_line("a\"\r\n250 ok", false), "a'??250 ok");
    EXPECT_EQ(first_line("\xc3\xa9.exe", true), "\xc3\xa9.exe");
    EXPECT_EQ(first_line("\xc3\xa9.exe", false), "?.exe");
    EXPECT_EQ(first_line("\xc3.exe\xff", true), "?.exe?");
    EXPECT_EQ(first_line("a\xe2\x80\xae"
                         "fdp.exe",
                         true),
              "a?fdp.exe"); // RLO
    EXPECT_EQ(first_line("{company}", true), "{company}");
    EXPECT_EQ(first_line(std::string(5000, 'a') + ".exe", true),
              std::string(56, 'a') + "..." + std::string(20, 'a') + ".exe");
    std::string wide;
    for (int i = 0; i < 3000; ++i) {
        wide += "\xf0\x9f\x98\x80";
    }
    const std::string line = first_line(wide, true);
    EXPECT_EQ(line.size(), 80 * 4 + 3);
    EXPECT_LT(smtp::to_wire(attachment_refusal({}, wide, wide, true)).size(), 1200U);
}

} // namespace
} // namespace ebbgate::policy
