// Password checks against hashes that other programs made, and what the cache may remember.

#include "crypto/password.h"

#include <gtest/gtest.h>

#include <string>

namespace ebbgate::crypto {
namespace {

// Made by "openssl passwd -6 -salt abcdefgh secret".
const std::string sha512_of_secret =
    "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/"
    "O6IND4WQhG.";

TEST(Password, AHashOfAnotherProgramMatches) {
    EXPECT_TRUE(password_matches("secret", sha512_of_secret));
    EXPECT_FALSE(password_matches("Secret", sha512_of_secret));
}

TEST(Password, WhatIsNotAHashMatchesNothing) {
    for (const char* hash : {"", "*", "*0", "*1", "!", "plain", "$6$", "$nosuch$abc"}) {
        EXPECT_FALSE(password_matches("secret", hash)) << hash;
        EXPECT_FALSE(password_matches(hash, hash)) << hash;
        EXPECT_FALSE(password_matches("", hash)) << hash;
    }
}

TEST(Password, ANulOrTooLongAPasswordIsWrongNotCut) {
    using namespace std::string_literals;
    EXPECT_FALSE(password_matches("secret\0x"s, sha512_of_secret));
    EXPECT_FALSE(password_matches("secret" + std::string(600, ' '), sha512_of_secret));
}

TEST(Password, NobodysHashIsYescryptAndFitsNoGuess) {
    EXPECT_TRUE(hash_of_nobody().starts_with("$y$"));
    EXPECT_FALSE(password_matches("", hash_of_nobody()));
    EXPECT_FALSE(password_matches("secret", hash_of_nobody()));
}

TEST(CredentialCache, KnowsExactlyWhatItWasTold) {
    credential_cache cache(10, 1000);
    EXPECT_FALSE(cache.knows("a", "pw", "$hash", 0));
    cache.remember("a", "pw", "$hash", 0);
    EXPECT_TRUE(cache.knows("a", "pw", "$hash", 0));
    EXPECT_FALSE(cache.knows("a", "pW", "$hash", 0));
    EXPECT_FALSE(cache.knows("b", "pw", "$hash", 0));
    EXPECT_FALSE(cache.knows("a", "pw", "$other", 0)) << "the account's hash changed";
    EXPECT_FALSE(cache.knows("a", "p", "w$hash", 0)) << "parts must not run together";
}

TEST(CredentialCache, ForgetsAfterItsTime) {
    credential_cache cache(10, 1000);
    cache.remember("a", "pw", "$hash", 500);
    EXPECT_TRUE(cache.knows("a", "pw", "$hash", 1499));
    EXPECT_FALSE(cache.knows("a", "pw", "$hash", 1500));
    EXPECT_EQ(cache.entry_count(), 0U);
}

TEST(CredentialCache, IsBounded) {
    credential_cache cache(10, 1000);
    for (int index = 0; index < 1000; ++index) {
        cache.remember("login" + std::to_string(index), "pw", "$hash", 0);
        ASSERT_TRUE(cache.knows("login" + std::to_string(index), "pw", "$hash", 0));
    }
    EXPECT_EQ(cache.entry_count(), 10U);
    cache.clear();
    EXPECT_EQ(cache.entry_count(), 0U);
}

TEST(password, a_new_hash_matches_its_password_and_no_other) {
    const auto made = hash_password("correct horse");
    ASSERT_TRUE(made);
    EXPECT_TRUE(made->starts_with("$y$"));
    EXPECT_TRUE(password_matches("correct horse", *made));
    EXPECT_FALSE(password_matches("correct horsf", *made));
    EXPECT_NE(hash_password("correct horse"), made); // Salted.
    EXPECT_FALSE(hash_password(""));
    EXPECT_FALSE(hash_password(std::string_view("a\0b", 3)));
    EXPECT_FALSE(hash_password(std::string(password_bytes_max, 'x')));
    EXPECT_TRUE(hash_password(std::string(password_bytes_max - 1, 'x')));
}

} // namespace
} // namespace ebbgate::crypto
