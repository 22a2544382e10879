#include "crypto/token.h"

#include <gtest/gtest.h>

#include <set>

namespace ebbgate::crypto {
namespace {

TEST(token, is_random_and_known_by_its_form) {
    std::set<std::string> all;
    for (int turn = 0; turn < 100; ++turn) {
        const std::string made = make_token();
        EXPECT_TRUE(is_token(made)) << made;
        EXPECT_EQ(made.size(), 72U);
        all.insert(made);
    }
    EXPECT_EQ(all.size(), 100U);
    const std::string good = *all.begin();
    EXPECT_FALSE(is_token(""));
    EXPECT_FALSE(is_token(good.substr(1)));
    EXPECT_FALSE(is_token(good + "0"));
    EXPECT_FALSE(is_token(good.substr(0, 71)));
    EXPECT_FALSE(is_token(good.substr(0, 71) + "G"));
    EXPECT_FALSE(is_token(good.substr(0, 71) + "A"));
}

TEST(token, digests_as_sha256sum_does) {
    EXPECT_EQ(token_digest("abc"), // FIPS 180-4, the first example.
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_TRUE(is_token_digest(token_digest("")));
    EXPECT_FALSE(is_token_digest("ba7816"));
}

} // namespace
} // namespace ebbgate::crypto
