#include "stage/bounces/suppressed_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>
#include <vector>

namespace ebbgate::bounces {
namespace {

TEST(SuppressedSet, KnowsTenantAndAddress) {
    suppressed_set set(10);
    EXPECT_FALSE(set.contains("acme", "bob@example.org"));
    EXPECT_TRUE(set.insert("acme", "bob@example.org"));
    EXPECT_TRUE(set.insert("acme", "BOB@Example.org"));
    EXPECT_EQ(set.size(), 1U);
    EXPECT_TRUE(set.contains("acme", "Bob@EXAMPLE.org"));
    EXPECT_FALSE(set.contains("bolt", "bob@example.org"));
    EXPECT_FALSE(set.contains("acm", "ebob@example.org"));
    set.erase("bolt", "bob@example.org");
    EXPECT_TRUE(set.contains("acme", "bob@example.org"));
    set.erase("acme", "bob@EXAMPLE.org");
    EXPECT_FALSE(set.contains("acme", "bob@example.org"));
    EXPECT_EQ(set.size(), 0U);
}

TEST(SuppressedSet, HasBounds) {
    suppressed_set set(2);
    EXPECT_TRUE(set.insert("a", "1@x"));
    EXPECT_TRUE(set.insert("a", "2@x"));
    EXPECT_FALSE(set.insert("a", "3@x"));
    EXPECT_TRUE(set.insert("a", "2@x"));
    EXPECT_EQ(set.size(), 2U);
    EXPECT_FALSE(set.contains("a", "3@x"));
    const std::string longest(suppressed_address_bytes_max, 'x');
    set.erase("a", "1@x");
    EXPECT_TRUE(set.insert("a", longest));
    EXPECT_TRUE(set.contains("a", longest));
    EXPECT_FALSE(set.insert("a", longest + "x"));
    EXPECT_FALSE(set.insert("a", ""));
    EXPECT_FALSE(set.insert(std::string(suppressed_tenant_bytes_max + 1, 'a'), "1@x"));
    EXPECT_EQ(suppressed_form(longest + "x"), "");
    EXPECT_EQ(suppressed_form("Bob@X.example"), "bob@x.example");
}

TEST(SuppressedSet, AgreesWithASetOfTexts) {
    std::mt19937 random(1); // NOLINT(cert-msc51-cpp): the same each time.
    suppressed_set set(1'000'000);
    std::set<std::string> model;
    for (int step = 0; step < 200'000; ++step) {
        const std::string address = std::to_string(random() % 3'000) + "@x.example";
        switch (random() % 3) {
        case 0:
            ASSERT_TRUE(set.insert("a", address));
            model.insert(address);
            break;
        case 1:
            set.erase("a", address);
            model.erase(address);
            break;
        default:
            ASSERT_EQ(set.contains("a", address), model.contains(address));
        }
    }
    EXPECT_EQ(set.size(), model.size());
    for (int number = 0; number < 3'000; ++number) {
        const std::string address = std::to_string(number) + "@x.example";
        EXPECT_EQ(set.contains("a", address), model.contains(address));
    }
}

TEST(SuppressedSet, IsSharedByThreads) {
    suppressed_set set(1'000);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&set, thread] {
            for (int number = 0; number < 2'000; ++number) {
                const std::string address =
                    std::to_string(thread) + "." + std::to_string(number) + "@x";
                if (set.insert("a", address)) {
                    EXPECT_TRUE(set.contains("a", address));
                    if (number % 2 == 0) {
                        set.erase("a", address);
                    }
                }
            }
        });
    }
    for (std::thread& one : threads) {
        one.join();
    }
    EXPECT_LE(set.size(), 1'000U);
}

} // namespace
} // namespace ebbgate::bounces
