// What was flushed is there after a restart, and nothing else.

#include "service/bans/ban_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace ebbgate::bans {
namespace {

class ban_store_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-bans-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        path_ = folder_ + "/bans.db";
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    ban_store open() {
        auto opened = ban_store::open(path_);
        EXPECT_TRUE(opened) << opened.error().detail;
        return std::move(*opened);
    }

    std::vector<ban> rows() {
        std::vector<ban> found;
        EXPECT_TRUE(open().read_rows(ban_store::row_order::any,
                                     [&found](const ban& row) { found.push_back(row); }));
        std::sort(found.begin(), found.end(), [](const ban& a, const ban& b) {
            return a.network < b.network;
        });
        return found;
    }

    static ban make(std::string_view from, std::uint32_t count = 1) {
        const auto address = *config::parse_ip_address(from);
        return {counted_network(address), address, 1'000, 2'000, count, strike_cause::sender};
    }

    std::string folder_;
    std::string path_;
};

TEST_F(ban_store_test, keeps_the_last_change_of_each) {
    const ban network{*config::parse_ip_network("203.0.113.0/24"),
                      *config::parse_ip_address("203.0.113.0"),
                      5,
                      never_ends,
                      4'000'000'000U,
                      strike_cause::manual};
    {
        ban_store store = open();
        store.put(make("192.0.2.1"));
        store.put(make("192.0.2.1", 7));
        store.put(make("192.0.2.2"));
        store.put(make("2001:db8::5"));
        store.put(network);
        store.erase(make("192.0.2.2").network);
        store.put_ignore(network.network);
        EXPECT_EQ(store.pending(), 5U);
        ASSERT_TRUE(store.flush());
        EXPECT_EQ(store.pending(), 0U);
        store.put(make("192.0.2.9")); // Not flushed.
    }
    EXPECT_EQ(rows(), (std::vector{make("192.0.2.1", 7), network, make("2001:db8::5")}));
    ban_store store = open();
    EXPECT_EQ(*store.read_ignore(), std::vector{network.network});
    store.erase(network.network);
    store.erase_ignore(network.network);
    ASSERT_TRUE(store.flush());
    EXPECT_EQ(rows().size(), 2U);
    EXPECT_TRUE(open().read_ignore()->empty());
}

TEST_F(ban_store_test, a_failed_flush_keeps_its_changes) {
    ban_store store = open();
    auto other = store::database::open(path_);
    ASSERT_TRUE(other);
    ASSERT_TRUE(other->execute("CREATE TRIGGER broken BEFORE INSERT ON bans WHEN NEW.count = 2 "
                               "BEGIN SELECT RAISE(FAIL, 'no'); END"));
    store.put(make("192.0.2.1", 1));
    store.put(make("192.0.2.2", 2));
    EXPECT_FALSE(store.flush());
    EXPECT_EQ(store.pending(), 2U);
    EXPECT_TRUE(rows().empty()) << "all or nothing";
    ASSERT_TRUE(other->execute("DROP TRIGGER broken"));
    ASSERT_TRUE(store.flush());
    EXPECT_EQ(rows().size(), 2U);
}

TEST_F(ban_store_test, what_cannot_be_kept_is_written_anew_at_once) {
    ban_store store = open();
    store.put(make("192.0.2.77"));
    store.put_ignore(make("192.0.2.78").network);
    ASSERT_TRUE(store.flush());
    for (std::uint32_t i = 0; i <= ban_store::pending_max; ++i) {
        ban each = make("10.0.0.0");
        each.address.bytes[13] = static_cast<std::uint8_t>(i >> 16);
        each.address.bytes[14] = static_cast<std::uint8_t>(i >> 8);
        each.address.bytes[15] = static_cast<std::uint8_t>(i);
        each.network = counted_network(each.address);
        ASSERT_FALSE(store.is_behind());
        store.put(each);
    }
    ASSERT_TRUE(store.is_behind());
    store.put(make("192.0.2.9"));
    EXPECT_EQ(store.pending(), 0U);
    ASSERT_TRUE(store.replace_all(
        [](const ban_store::give_row& give) {
            give(make("192.0.2.1"));
            give(make("192.0.2.2"));
        },
        {make("192.0.2.3").network}));
    EXPECT_FALSE(store.is_behind());
    EXPECT_EQ(rows(), (std::vector{make("192.0.2.1"), make("192.0.2.2")}));
    EXPECT_EQ(*open().read_ignore(), std::vector{make("192.0.2.3").network});
}

TEST_F(ban_store_test, foreign_rows_and_files) {
    ASSERT_TRUE(open().flush());
    auto other = store::database::open(path_);
    ASSERT_TRUE(other);
    ASSERT_TRUE(other->execute(
        "INSERT INTO bans VALUES ('192.0.2.1/32', '192.0.2.1', 1, 2, 1, 'login'),"
        " ('192.0.2.2/32', '192.0.2.1', 1, 2, 1, 'login'), ('x', '192.0.2.1', 1, 2, 1, 'login'),"
        " ('192.0.2.3/32', '192.0.2.3', 1, 2, -1, 'login'),"
        " ('192.0.2.4/32', '192.0.2.4', 1, 2, 1, 'spite'), ('192.0.2.5/32', '', 1, 2, 1, 'login');"
        "INSERT INTO ignored VALUES ('192.0.2.0/24'), ('192.0.2.1/24')"));
    {
        ban_store store = open();
        std::size_t read = 0;
        ASSERT_TRUE(
            store.read_rows(ban_store::row_order::any, [&read](const ban& /*row*/) { ++read; }));
        EXPECT_EQ(read, 1U);
        EXPECT_EQ(store.read_ignore()->size(), 1U);
        EXPECT_EQ(store.unreadable(), 6U);
    }
    ASSERT_TRUE(other->execute("PRAGMA user_version = 2"));
    const auto newer = ban_store::open(path_);
    ASSERT_FALSE(newer);
    EXPECT_NE(newer.error().detail.find("newer"), std::string::npos);
    std::ofstream(folder_ + "/garbage.db") << std::string(10'000, 'x');
    const auto garbage = ban_store::open(folder_ + "/garbage.db");
    ASSERT_FALSE(garbage);
    EXPECT_EQ(garbage.error().kind, failure_kind::corrupt);
    EXPECT_FALSE(ban_store::open(folder_ + "/none/bans.db"));
}

} // namespace
} // namespace ebbgate::bans
