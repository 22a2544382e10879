#include "store_fixture.h"

#include <sys/stat.h>

#include <algorithm>
#include <functional>

namespace ebbgate::blob {
namespace {

class blob_store_test : public store_fixture {};

mode_t mode_of(const std::string& path) {
    struct stat seen{};
    return ::stat(path.c_str(), &seen) == 0 ? seen.st_mode & 07777 : 0;
}

TEST_F(blob_store_test, a_published_link_is_found_and_its_content_read) {
    const auto store = open();
    const link wanted = add(*store, "the content");
    const auto found = store->find(wanted.token);
    ASSERT_TRUE(found && *found);
    EXPECT_EQ((*found)->name, wanted.name);
    EXPECT_EQ((*found)->file_name(), wanted.token + ".pdf");
    EXPECT_EQ((*found)->url, wanted.url);
    EXPECT_EQ((*found)->tenant, "acme");
    EXPECT_EQ((*found)->content_type, "application/pdf");
    EXPECT_EQ((*found)->sender, "bob@acme.example");
    EXPECT_EQ((*found)->message_id, "4bX1");
    EXPECT_EQ((*found)->hash, wanted.hash);
    EXPECT_EQ((*found)->bytes, 11U);
    EXPECT_EQ((*found)->created_unix_s, test_now);
    EXPECT_EQ((*found)->expires_unix_s, test_now + 1000);
    EXPECT_EQ((*found)->revoked_unix_s, 0);
    EXPECT_EQ(content_of(*store, **found), "the content");
}

TEST_F(blob_store_test, only_the_owner_may_look) {
    const auto store = open();
    const link wanted = add(*store, "x");
    EXPECT_EQ(mode_of(folder_), 0700U);
    EXPECT_EQ(mode_of(folder_ + "/content"), 0700U);
    EXPECT_EQ(mode_of(folder_ + "/links/" + wanted.token.substr(0, 2)), 0700U);
    EXPECT_EQ(mode_of(record_path(wanted.token)), 0600U);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ + "/content")) {
        EXPECT_EQ(mode_of(entry.path()), entry.is_directory() ? 0700U : 0600U) << entry.path();
    }
    EXPECT_EQ(mode_of(folder_ + "/catalogue.db"), 0600U);
    EXPECT_EQ(mode_of(folder_ + "/lock"), 0600U);
}

TEST_F(blob_store_test, a_store_is_open_once) {
    auto store = open();
    const auto second = blob_store::open(folder_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, failure_kind::unavailable);
    store.reset();
    EXPECT_TRUE(blob_store::open(folder_));
}

TEST_F(blob_store_test, a_file_is_cut_to_the_bytes_that_count) {
    const auto store = open();
    link wanted = make_link("abc");
    ASSERT_TRUE(publish(*store, "abcdefgh", wanted));
    EXPECT_EQ(content_of(*store, wanted), "abc");
    wanted = make_link("longer");
    const auto refused = publish(*store, "long", wanted);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, failure_kind::bad_input);
    EXPECT_FALSE(*store->find(wanted.token));
    EXPECT_EQ(files_in("content"), 1U);
}

TEST_F(blob_store_test, an_empty_file_is_a_content_too) {
    const auto store = open();
    const link wanted = add(*store, "");
    EXPECT_TRUE(store->open_content(wanted)) << "zero bytes";
    EXPECT_EQ(store->totals()->contents, 1U);
    EXPECT_EQ(store->totals()->bytes, 0U);
}

TEST_F(blob_store_test, the_same_content_is_stored_once) {
    const auto store = open();
    const link first = add(*store, "same");
    const link second = add(*store, "same");
    const link other = add(*store, "other");
    EXPECT_EQ(files_in("content"), 2U);
    EXPECT_EQ(files_in("links"), 3U);
    EXPECT_EQ(files_in("incoming"), 0U);
    EXPECT_EQ(store->totals()->links, 3U);
    EXPECT_EQ(store->totals()->contents, 2U);
    EXPECT_EQ(store->totals()->bytes, 9U);
    EXPECT_EQ(content_of(*store, first), "same");
    EXPECT_EQ(content_of(*store, second), "same");
    EXPECT_EQ(content_of(*store, other), "other");
}

TEST_F(blob_store_test, one_file_can_be_published_for_two_links) {
    const auto store = open();
    const auto fd = store->create_temporary();
    ASSERT_TRUE(fd);
    const descriptor owned(*fd);
    ASSERT_EQ(::write(*fd, "x", 1), 1);
    const link first = make_link("x");
    const link second = make_link("x");
    EXPECT_TRUE(store->publish(*fd, first));
    EXPECT_TRUE(store->publish(*fd, second));
    EXPECT_EQ(content_of(*store, second), "x");
    EXPECT_EQ(files_in("content"), 1U);
}

TEST_F(blob_store_test, a_content_of_the_wrong_size_is_replaced) {
    const auto store = open();
    const link first = add(*store, "whole");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ + "/content")) {
        if (entry.is_regular_file()) {
            std::filesystem::resize_file(entry.path(), 2);
        }
    }
    const auto cut = store->open_content(first);
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().kind, failure_kind::corrupt);
    add(*store, "whole");
    EXPECT_EQ(content_of(*store, first), "whole");
    EXPECT_EQ(files_in("incoming"), 0U);
}

TEST_F(blob_store_test, a_token_is_not_taken_twice) {
    const auto store = open();
    const link first = add(*store, "first");
    link second = make_link("second");
    second.token = first.token;
    const auto refused = publish(*store, "second", second);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, failure_kind::bad_input);
    EXPECT_EQ((*store->find(first.token))->bytes, 5U);
    EXPECT_EQ(tokens(*store).size(), 1U);
    // Its content had its name already: the sweep takes it.
    EXPECT_EQ(store->sweep(test_now, 100)->contents, 1U);
    EXPECT_EQ(files_in("content"), 1U);
    EXPECT_EQ(content_of(*store, first), "first");
}

TEST_F(blob_store_test, a_withdrawn_link_takes_its_content_with_it) {
    const auto store = open();
    const link first = add(*store, "same");
    const link second = add(*store, "same");
    store->withdraw(first.token);
    EXPECT_FALSE(*store->find(first.token));
    EXPECT_EQ(content_of(*store, second), "same");
    store->withdraw(second.token);
    store->withdraw(second.token);
    store->withdraw("../../etc/passwd");
    EXPECT_EQ(files_in("content"), 0U);
    EXPECT_EQ(files_in("links"), 0U);
    EXPECT_EQ(store->totals()->links, 0U);
    EXPECT_EQ(store->totals()->contents, 0U);
    EXPECT_EQ(store->totals()->bytes, 0U);
}

TEST_F(blob_store_test, a_revoked_link_is_known_and_its_content_gone) {
    const auto store = open();
    const link first = add(*store, "same");
    const link second = add(*store, "same");
    EXPECT_TRUE(*store->revoke(first.token, test_now + 5));
    EXPECT_EQ((*store->find(first.token))->revoked_unix_s, test_now + 5);
    EXPECT_EQ(content_of(*store, second), "same") << "the other link has it too";
    EXPECT_TRUE(*store->revoke(first.token, test_now + 9));
    EXPECT_EQ((*store->find(first.token))->revoked_unix_s, test_now + 5);
    EXPECT_TRUE(*store->revoke(second.token, test_now + 9));
    EXPECT_EQ(files_in("content"), 0U);
    EXPECT_EQ(files_in("links"), 2U);
    EXPECT_FALSE(store->open_content(first));
    EXPECT_FALSE(*store->revoke(make_token(), test_now));
    EXPECT_FALSE(*store->revoke("no token", test_now));
    EXPECT_EQ(store->totals()->links, 2U);
    EXPECT_EQ(store->totals()->contents, 0U);
    // The same content again is a new file for the new link, and nothing for the old ones.
    const link third = add(*store, "same");
    EXPECT_EQ(content_of(*store, third), "same");
    EXPECT_EQ(store->sweep(test_now, 100)->contents, 0U);
    EXPECT_EQ(content_of(*store, third), "same");
}

TEST_F(blob_store_test, an_extended_link_outlives_the_sweep) {
    const auto store = open();
    const link kept = add(*store, "kept");
    const link dropped = add(*store, "dropped");
    EXPECT_TRUE(*store->extend(kept.token, test_now + 5000));
    EXPECT_FALSE(*store->extend(make_token(), test_now + 5000));
    EXPECT_FALSE(store->extend(kept.token, -1));
    EXPECT_EQ(store->sweep(test_now + 999, 100)->links, 0U);
    const auto swept = store->sweep(test_now + 1000, 100);
    ASSERT_TRUE(swept);
    EXPECT_EQ(swept->links, 1U);
    EXPECT_EQ(swept->contents, 1U);
    EXPECT_EQ(swept->bytes, 7U);
    EXPECT_FALSE(*store->find(dropped.token));
    EXPECT_EQ(content_of(*store, kept), "kept");
    EXPECT_EQ((*store->find(kept.token))->expires_unix_s, test_now + 5000);
    EXPECT_EQ(store->sweep(test_now + 5000, 100)->links, 1U);
    EXPECT_EQ(files_in("content") + files_in("links"), 0U);
}

TEST_F(blob_store_test, a_sweep_is_bounded_and_goes_on) {
    const auto store = open();
    for (int number = 0; number < 10; ++number) {
        add(*store, "content " + std::to_string(number), test_now + number);
    }
    const auto first = store->sweep(test_now + 2000, 4);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->links, 4U);
    EXPECT_EQ(first->contents, 4U);
    // The longest expired went first.
    EXPECT_EQ((*store->list("", "", 1000)).links.back().created_unix_s, test_now + 4);
    EXPECT_EQ(store->sweep(test_now + 2000, 4)->links, 4U);
    EXPECT_EQ(store->sweep(test_now + 2000, 4)->links, 2U);
    EXPECT_EQ(store->sweep(test_now + 2000, 4)->links, 0U);
    EXPECT_EQ(files_in("content") + files_in("links"), 0U);
}

TEST_F(blob_store_test, an_expired_link_does_not_take_what_another_needs) {
    const auto store = open();
    add(*store, "same", test_now);
    const link later = add(*store, "same", test_now + 500);
    const auto swept = store->sweep(test_now + 1200, 100);
    EXPECT_EQ(swept->links, 1U);
    EXPECT_EQ(swept->contents, 0U);
    EXPECT_EQ(content_of(*store, later), "same");
}

TEST_F(blob_store_test, lists_come_in_pages_newest_first) {
    const auto store = open();
    std::vector<std::string> expected;
    for (int number = 0; number < 7; ++number) {
        expected.insert(expected.begin(),
                        add(*store, std::to_string(number), test_now + number).token);
    }
    link other = make_link("other", test_now + 3);
    other.tenant = "bolt";
    ASSERT_TRUE(publish(*store, "other", other));
    EXPECT_EQ(tokens(*store, "acme"), expected);
    EXPECT_EQ(tokens(*store, "bolt"), std::vector<std::string>{other.token});
    EXPECT_EQ(tokens(*store, "none").size(), 0U);
    EXPECT_EQ(tokens(*store).size(), 8U);
    for (const char* wrong : {"x", "1-", "-", "1-zz", "99999999999999999999-", "1"}) {
        const auto refused = store->list("", wrong, 2);
        ASSERT_FALSE(refused) << wrong;
        EXPECT_EQ(refused.error().kind, failure_kind::bad_input);
    }
}

TEST_F(blob_store_test, links_of_the_same_second_are_listed_once_each) {
    const auto store = open();
    std::vector<std::string> added;
    for (int number = 0; number < 9; ++number) {
        added.push_back(add(*store, std::to_string(number)).token);
    }
    std::ranges::sort(added, std::greater());
    EXPECT_EQ(tokens(*store), added);
}

TEST_F(blob_store_test, what_is_not_published_is_gone) {
    auto store = open();
    const auto fd = store->create_temporary();
    ASSERT_TRUE(fd);
    ASSERT_EQ(::write(*fd, "x", 1), 1);
    ::close(*fd);
    EXPECT_EQ(files_in("incoming"), 0U);
    write_file(folder_ + "/incoming/new-7", "half a record");
    write_file(folder_ + "/incoming/file-99", "half a content");
    store.reset();
    store = open();
    EXPECT_EQ(files_in("incoming"), 0U);
}

TEST_F(blob_store_test, without_unnamed_files_all_is_the_same) {
    auto store = open(false);
    const link first = add(*store, "content");
    const link second = add(*store, "content");
    EXPECT_EQ(content_of(*store, second), "content");
    EXPECT_EQ(files_in("incoming"), 0U);
    EXPECT_EQ(files_in("content"), 1U);
    // One that is still being written stays; one whose descriptor is gone is swept.
    const auto open_one = store->create_temporary();
    const auto closed_one = store->create_temporary();
    ASSERT_TRUE(open_one && closed_one);
    ASSERT_EQ(::write(*open_one, "later", 5), 5);
    ::close(*closed_one);
    EXPECT_EQ(files_in("incoming"), 2U);
    ASSERT_TRUE(store->sweep(test_now, 1));
    EXPECT_EQ(files_in("incoming"), 1U);
    const link third = make_link("later");
    ASSERT_TRUE(store->publish(*open_one, third));
    ::close(*open_one);
    EXPECT_EQ(content_of(*store, third), "later");
    EXPECT_EQ(files_in("incoming"), 0U);
    // After a crash.
    ASSERT_TRUE(store->create_temporary());
    EXPECT_EQ(files_in("incoming"), 1U);
}

TEST_F(blob_store_test, nobody_asks_for_paths) {
    const auto store = open();
    add(*store, "x");
    for (const char* hostile : {"",
                                "/",
                                "..",
                                "../../../../etc/passwd",
                                "%2e%2e",
                                "0123456789012345678901234567890123456789x",
                                "ABCDEF7890123456789012345678901234567890"}) {
        const auto found = store->find(hostile);
        ASSERT_TRUE(found) << hostile;
        EXPECT_FALSE(*found) << hostile;
    }
}

TEST_F(blob_store_test, a_corrupt_record_is_said_to_be) {
    const auto store = open();
    const link good = add(*store, "good");
    const link bad = add(*store, "bad");
    const std::string whole = read_file(record_path(bad.token));
    const auto kind_of = [&](std::string_view text) {
        write_file(record_path(bad.token), text);
        const auto found = store->find(bad.token);
        EXPECT_FALSE(found) << text;
        return found ? failure_kind::bad_input : found.error().kind;
    };
    EXPECT_EQ(kind_of(""), failure_kind::corrupt);
    EXPECT_EQ(kind_of(whole.substr(0, whole.size() / 2)), failure_kind::corrupt);
    EXPECT_EQ(kind_of(whole + whole), failure_kind::corrupt);
    EXPECT_EQ(kind_of(std::string(whole.size(), '\0')), failure_kind::corrupt);
    EXPECT_EQ(kind_of(read_file(record_path(good.token))), failure_kind::corrupt);
    EXPECT_EQ(kind_of(std::string(1'000'000, '{')), failure_kind::corrupt);
    EXPECT_FALSE(store->revoke(bad.token, test_now));
    EXPECT_FALSE(store->extend(bad.token, test_now));
    store->withdraw(bad.token);
    EXPECT_EQ(content_of(*store, good), "good");
    write_file(record_path(bad.token), whole);
    EXPECT_TRUE(*store->find(bad.token));
    // When its time has come, it goes like another.
    write_file(record_path(bad.token), "{}");
    EXPECT_EQ(store->sweep(test_now + 1000, 100)->links, 2U);
    EXPECT_EQ(files_in("content") + files_in("links"), 0U);
}

} // namespace
} // namespace ebbgate::blob
