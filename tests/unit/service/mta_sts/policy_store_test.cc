// Which policies stay on the disk, and a file of an earlier version.

#include "service/mta_sts/policy_store.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace ebbgate::mta_sts {
namespace {

constexpr std::int64_t day_s = 86'400;

class PolicyStoreTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-sts-store-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        path_ = folder_ + "/sts.db";
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    static stored_policy row(const std::string& domain, std::int64_t max_age_s, std::int64_t at_s) {
        return {domain, "1", at_s, {mode::enforce, {"mx." + domain}, max_age_s}};
    }

    static std::vector<std::string> domains(policy_store& store, std::int64_t now_s) {
        std::vector<std::string> names;
        const std::vector<stored_policy> rows = store.read(now_s).value();
        for (const stored_policy& one : rows) {
            names.push_back(one.domain);
        }
        return names;
    }

    std::string folder_;
    std::string path_;
};

TEST_F(PolicyStoreTest, the_least_recently_used_go_first_however_long_they_say_they_hold) {
    auto store = policy_store::open(path_, 3).value();
    ASSERT_TRUE(store.write({row("week.test", 7 * day_s, 100)}, {}, 100));
    for (int n = 0; n < 10; ++n) {
        const std::int64_t now_s = 200 + 10 * n;
        ASSERT_TRUE(store.write({row("d" + std::to_string(n) + ".test", 365 * day_s, now_s)},
                                {{"week.test", now_s - 5}}, // Mail goes on to it.
                                now_s));
    }
    EXPECT_EQ(domains(store, 300), (std::vector<std::string>{"d9.test", "week.test", "d8.test"}));
    ASSERT_TRUE(store.find("week.test", 300).value().has_value());
    EXPECT_EQ(store.find("week.test", 300).value()->policy.max_age_s, 7 * day_s);
    EXPECT_FALSE(store.find("d1.test", 300).value().has_value());
    EXPECT_FALSE(store.find("week.test", 100 + 7 * day_s).value().has_value()) << "over";
}

TEST_F(PolicyStoreTest, a_file_of_the_first_version_is_taken_over) {
    {
        auto old = store::database::open(path_).value();
        ASSERT_TRUE(old.execute(
            "CREATE TABLE policies (domain TEXT PRIMARY KEY NOT NULL, id TEXT NOT NULL, fetched_s"
            " INTEGER NOT NULL, ends_s INTEGER NOT NULL, policy TEXT NOT NULL) WITHOUT ROWID;"
            "CREATE INDEX policies_end ON policies (ends_s);"
            "INSERT INTO policies VALUES ('a.test', '7', 100, 1100, 'version: STSv1' ||"
            " char(10) || 'mode: enforce' || char(10) || 'mx: mx.a.test' || char(10) ||"
            " 'max_age: 1000' || char(10));"
            "PRAGMA user_version = 1;"));
    }
    for (int time = 0; time < 2; ++time) {
        auto store = policy_store::open(path_);
        ASSERT_TRUE(store.has_value()) << store.error().detail;
        const auto found = store->find("a.test", 200).value();
        ASSERT_TRUE(found.has_value());
        EXPECT_EQ(found->id, "7");
        EXPECT_EQ(found->policy.max_age_s, 1000);
    }
    {
        auto later = store::database::open(path_).value();
        ASSERT_TRUE(later.execute("PRAGMA user_version = 3;"));
    }
    EXPECT_FALSE(policy_store::open(path_).has_value());
}

} // namespace
} // namespace ebbgate::mta_sts
