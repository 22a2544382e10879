// Key files as openssl and people make them, and what is published of them.

#include "ebbgate/dkim/key.h"
#include "ebbgate/dkim/key_record.h"

#include "codec/dkim/rfc_example.h"
#include "crypto/rsa.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace ebbgate::dkim {
namespace {

class key_file : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "ebbgate-dkim-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path(const char* name) const { return folder_ + '/' + name; }

    [[nodiscard]] std::string write(const char* name, byte_view text) const {
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }

    std::string folder_;
};

TEST_F(key_file, what_was_stored_is_loaded) {
    for (const key_type type : {key_type::rsa, key_type::ed25519}) {
        const key_pointer key = generate_key(type);
        const std::string where = path(type == key_type::rsa ? "rsa" : "ed25519");
        const mode_t before = umask(0777); // The mode does not depend on it.
        EXPECT_TRUE(store_key(*key, where));
        umask(before);
        struct stat found{};
        ASSERT_EQ(stat(where.c_str(), &found), 0);
        EXPECT_EQ(found.st_mode & 07777U, 0600U);
        const auto again = load_key(where);
        ASSERT_TRUE(again) << again.error().detail;
        EXPECT_EQ((*again)->type(), type);
        EXPECT_EQ((*again)->bits(), type == key_type::rsa ? 2048U : 256U);
        EXPECT_EQ((*again)->public_key(), key->public_key());

        const auto twice = store_key(*generate_key(key_type::ed25519), where);
        ASSERT_FALSE(twice);
        EXPECT_NE(twice.error().detail.find("exists"), std::string::npos);
        EXPECT_EQ(load_key(where).value()->public_key(), key->public_key()); // As it was.
    }
}

TEST_F(key_file, says_what_is_wrong_with_it) {
    const auto error_of = [](const std::string& file) {
        const auto key = load_key(file);
        EXPECT_FALSE(key);
        return key ? std::string() : key.error().detail;
    };
    EXPECT_EQ(error_of(path("none")),
              path("none") + ": cannot open the key: No such file or directory");
    EXPECT_EQ(error_of(folder_), folder_ + ": not a file");
    ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
    EXPECT_EQ(error_of(path("pipe")), path("pipe") + ": not a file"); // And does not wait.
    EXPECT_NE(error_of(write("empty", "")).find("no private key in PEM"), std::string::npos);
    EXPECT_NE(error_of(write("large", std::string(70'000, 'x'))).find("too large"),
              std::string::npos);
    EXPECT_NE(error_of(write("secret", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"))
                  .find("passphrase"),
              std::string::npos);
    EXPECT_NE(error_of(write("public",
                             "-----BEGIN PUBLIC KEY-----\n"
                             "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                             "-----END PUBLIC KEY-----\n"))
                  .find("no private key in PEM"),
              std::string::npos);
}

TEST_F(key_file, takes_text_around_the_key) {
    const std::string text = "Made on a Tuesday\n" + std::string(rfc::rsa_pem_8463) + "the end\n";
    EXPECT_TRUE(load_key(write("text", text)));
}

TEST(parse_key, takes_pkcs_8_as_openssl_writes_it) {
    // RFC 8410 section 10.3; its public key is in section 10.1.
    const auto key = parse_key("-----BEGIN PRIVATE KEY-----\n"
                               "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                               "-----END PRIVATE KEY-----\n");
    ASSERT_TRUE(key) << key.error().detail;
    EXPECT_EQ((*key)->public_key(), "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
}

TEST(parse_key, refuses_weak_and_broken_ones) {
    // RFC 8301: less than 1024 bits.
    const auto weak = parse_key("-----BEGIN RSA PRIVATE KEY-----\n"
                                "MIIBywIBAAJhAOWjjk06TZRopk9mzh5biTQIXpV/enN1xE0y3UqyjBPtMTB5mh+m\n"
                                "5w9nzBC9t/LXqQMEh2H7WHz2xGMlHy8VIL8DM7zYLxdq8OLhVvtifc0nDe/E2yzE\n"
                                "8CdIaRd3GtpDqwIDAQABAmA4hNLHSyxA9KjKLiFY82qHde/hl6iJtliEL5qrgdpc\n"
                                "JSrQJX27gJaqAgAFtswJZu5onIay5i9ktP70kCl6HuiwWoTSwE8f/ZS3Ny69+NHu\n"
                                "2lwhjbv23m1LoHz9y4zAg1ECMQD/tqZ9GijCbZ3OfaCT2w/mSZc7K9KDLFt42o9d\n"
                                "p31gqbza7/WMlMviBpmv7W/7i10CMQDl5W0bpwfATn8l64yJYbLm1MOPlxCNUEC2\n"
                                "r20Z4Xl+Ssynm/WVGpYQqfI4lSZAIqcCMQCNysX+0KaRSR8cBOUpl2r1kxDcqqwM\n"
                                "OGhwVyDwGZOYKgaikDRkQ43aQzatKsfRf7ECME/mKcJ3jakXXvdV4xUIIH47KfBo\n"
                                "pzcF0kfrtjZNd8Udx/zkpjh48fi+p9FkfNPDdwIxAMLHrm4t24wN3h0Ta+DhEY7c\n"
                                "MNFdHYuLNoyJuVxPtbvmDkpyBevE1c+DAsSTKlE7kg==\n"
                                "-----END RSA PRIVATE KEY-----\n");
    ASSERT_FALSE(weak);
    EXPECT_NE(weak.error().detail.find("768 bits"), std::string::npos) << weak.error().detail;
    std::string broken(rfc::rsa_pem_8463);
    broken.replace(broken.find("uEzxBDAr"), 8, "uEzxBDAs"); // In the coefficient.
    const auto key = parse_key(broken);
    ASSERT_FALSE(key);
    EXPECT_NE(key.error().detail.find("do not belong together"), std::string::npos)
        << key.error().detail;
}

TEST(record, is_what_the_rfcs_publish) {
    EXPECT_EQ(record_text(*rfc::ed25519_key_8463()),
              "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    EXPECT_EQ(record_text(*parse_key(rfc::rsa_pem_6376).value()),
              "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkM"
              "oGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rca"
              "c2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB");
}

TEST(record, is_split_into_strings_that_make_it_again) {
    const key_pointer key = generate_key(key_type::rsa, 2048);
    const std::string line = zone_line(*key, "s1", "acme.example");
    EXPECT_TRUE(line.starts_with("s1._domainkey.acme.example. IN TXT ( \"v=DKIM1; k=rsa; p="));
    EXPECT_TRUE(line.ends_with("\" )"));
    std::string text;
    std::size_t strings = 0;
    for (std::size_t at = line.find('"'); at != std::string::npos; ++strings) {
        const std::size_t end = line.find('"', at + 1);
        ASSERT_NE(end, std::string::npos);
        EXPECT_LE(end - at - 1, 255U);
        text += line.substr(at + 1, end - at - 1);
        at = line.find('"', end + 1);
    }
    EXPECT_EQ(strings, 2U);
    EXPECT_EQ(text, record_text(*key));
    const auto parsed = parse_key_record(text);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->key, key->rsa()->public_der());
}

TEST(is_key_name, knows_what_a_zone_can_have) {
    for (const byte_view good : {"s1", "a.b", "2026-11", "xn--bcher-kva.example", "_x", "a_b"}) {
        EXPECT_TRUE(is_key_name(good)) << good;
    }
    for (const byte_view bad : {"",
                                ".",
                                "a.",
                                ".a",
                                "a..b",
                                "-a",
                                "a-",
                                "a-.b",
                                "a b",
                                "a\"b",
                                "a;b",
                                "b\xc3\xbc"
                                "cher",
                                "a\n"}) {
        EXPECT_FALSE(is_key_name(bad)) << bad;
    }
    EXPECT_TRUE(is_key_name(std::string(63, 'a')));
    EXPECT_FALSE(is_key_name(std::string(64, 'a')));
}

} // namespace
} // namespace ebbgate::dkim
