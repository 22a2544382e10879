#include "config/password_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace ebbgate::config {
namespace {

TEST(password_hash, takes_the_methods_that_are_worth_it) {
    for (const std::string prefix : {"$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2y$", "$6$", "$5$"}) {
        EXPECT_TRUE(is_password_hash(prefix + "0123456789abcdefghij/.")) << prefix;
        EXPECT_EQ(hash_method(prefix + "x"), prefix);
    }
    const std::string bad_ones[] = {"$1$salt$0123456789abcdefghij",
                                    "secret",
                                    "",
                                    "$y$",
                                    "$y$short",
                                    "$y$" + std::string(400, 'x'),
                                    "$y$0123456789abcdefg:ij",
                                    "$y$0123456789abcdefg ij",
                                    "$y$0123456789abcdefg\nij",
                                    "*0123456789abcdefghijklm",
                                    "$y$0123456789abcdef\xc3\xa4"};
    for (const std::string& bad : bad_ones) {
        EXPECT_FALSE(is_password_hash(bad)) << bad;
    }
    // Whoever may write a hash must not be able to keep a worker for hours.
    for (const std::string costly : {"$6$rounds=999999999$salt$",
                                     "$5$rounds=99999999999$salt$",
                                     "$2b$31$",
                                     "$y$jzzT$",
                                     "$7$zzzzz"}) {
        EXPECT_FALSE(is_password_hash(costly + "0123456789abcdefghij/.")) << costly;
    }
    for (const std::string usual : {"$6$rounds=656000$salt$",
                                    "$2b$12$",
                                    "$y$j9T$",
                                    "$y$jDT$",
                                    "$7$CU..../....",
                                    "$gy$j9T$"}) {
        EXPECT_TRUE(is_password_hash(usual + "0123456789abcdefghij/.")) << usual;
    }
    EXPECT_EQ(hash_method("secret"), "");
}

} // namespace
} // namespace ebbgate::config
