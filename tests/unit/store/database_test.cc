#include "store/database.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <unistd.h>

namespace ebbgate::store {
namespace {

class database_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-store-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::string folder_;
};

TEST_F(database_test, keeps_what_was_committed_and_nothing_else) {
    const std::string path = folder_ + "/a.db";
    {
        auto opened = database::open(path);
        ASSERT_TRUE(opened);
        ASSERT_TRUE(opened->execute("CREATE TABLE t (name TEXT PRIMARY KEY, n INTEGER)"));
        auto insert = opened->prepare("INSERT INTO t VALUES (?, ?)");
        ASSERT_TRUE(insert);
        for (const bool good : {true, false}) {
            auto change = transaction::begin(*opened);
            ASSERT_TRUE(change);
            ASSERT_TRUE(insert->bind(1, good ? "kept" : "gone").bind(2, 7).run());
            EXPECT_EQ(opened->changes(), 1);
            if (good) {
                ASSERT_TRUE(change->commit());
            }
        }
        EXPECT_EQ(insert->bind(1, "kept").run().error().kind, failure_kind::bad_input);
    }
    auto again = database::open(path);
    ASSERT_TRUE(again);
    auto rows = again->prepare("SELECT name, n FROM t");
    ASSERT_TRUE(rows);
    ASSERT_TRUE(rows->step().value());
    EXPECT_EQ(rows->text(0), "kept");
    EXPECT_EQ(rows->number(1), 7);
    EXPECT_FALSE(rows->step().value());
    struct stat found{};
    ASSERT_EQ(stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777U, 0600U);
}

TEST_F(database_test, gives_each_row_until_the_taker_fails) {
    auto opened = database::open(folder_ + "/a.db");
    ASSERT_TRUE(opened);
    ASSERT_TRUE(opened->execute("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2), (3)"));
    auto rows = opened->prepare("SELECT n FROM t WHERE n > ? ORDER BY n");
    ASSERT_TRUE(rows);
    std::int64_t sum = 0;
    ASSERT_TRUE(rows->bind(1, 1).each([&](const statement& row) { sum += row.number(0); }));
    EXPECT_EQ(sum, 5);
    const auto failed = rows->bind(1, 0).each([&](const statement& row) -> result<void> {
        sum += row.number(0);
        return row.number(0) == 2 ? fail(failure_kind::corrupt, "two") : result<void>();
    });
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().detail, "two");
    EXPECT_EQ(sum, 8);
    EXPECT_EQ(opened->number("SELECT MAX(n) FROM t"), 3);
    EXPECT_EQ(opened->number("SELECT n FROM t WHERE n > 3"), 0);
    EXPECT_FALSE(opened->number("SELECT n FROM none"));
}

TEST_F(database_test, says_what_is_wrong) {
    EXPECT_FALSE(database::open(folder_ + "/none/a.db"));
    const std::string path = folder_ + "/garbage.db";
    FILE* file = fopen(path.c_str(), "w");
    for (int i = 0; i < 1000; ++i) {
        fputs("this is no database ", file);
    }
    fclose(file);
    const auto opened = database::open(path);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, failure_kind::corrupt);
    EXPECT_NE(opened.error().detail.find(path), std::string::npos);
    auto good = database::open(folder_ + "/b.db");
    ASSERT_TRUE(good);
    EXPECT_FALSE(good->prepare("SELEC"));
}

TEST_F(database_test, an_empty_text_is_no_null) {
    auto opened = database::open(folder_ + "/a.db");
    ASSERT_TRUE(opened);
    auto asked = opened->prepare("SELECT ? = ''");
    ASSERT_TRUE(asked);
    ASSERT_TRUE(asked->bind(1, std::string_view()).step().value());
    EXPECT_EQ(asked->number(0), 1);
}

} // namespace
} // namespace ebbgate::store
