// A full disk: refused with its reason, nothing half done, and all goes on when there is room.

#include "store_fixture.h"

#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>

namespace ebbgate::blob {
namespace {

class no_space_test : public store_fixture {
protected:
    void SetUp() override {
        store_fixture::SetUp();
        ASSERT_TRUE(std::filesystem::create_directory(folder_));
        if (::mount("tmpfs", folder_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=2m") != 0) {
            GTEST_SKIP() << "no small file system can be mounted: " << std::strerror(errno);
        }
        is_mounted_ = true;
    }

    void TearDown() override {
        if (is_mounted_) {
            EXPECT_EQ(::umount(folder_.c_str()), 0) << std::strerror(errno);
        }
        store_fixture::TearDown();
    }

    void fill() const {
        const descriptor filler(
            ::open((folder_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        const std::string block(4096, 'x');
        while (::write(filler.number(), block.data(), block.size()) > 0) {
        }
        ASSERT_EQ(errno, ENOSPC);
    }

    bool is_mounted_ = false;
};

TEST_F(no_space_test, is_said_and_leaves_nothing_behind) {
    auto store = open();
    const link before = add(*store, "before");
    const auto fd = store->create_temporary();
    ASSERT_TRUE(fd);
    const descriptor owned(*fd);
    ASSERT_EQ(::write(*fd, "content", 7), 7);
    fill();
    const link wanted = make_link("content");
    const auto refused = store->publish(*fd, wanted);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, failure_kind::no_space) << refused.error().detail;
    EXPECT_NE(refused.error().detail.find(folder_), std::string::npos);
    EXPECT_FALSE(*store->find(wanted.token));
    EXPECT_EQ(files_in("incoming"), 0U);
    EXPECT_EQ(content_of(*store, before), "before");
    const auto extended = store->extend(before.token, test_now + 9999);
    ASSERT_FALSE(extended);
    EXPECT_EQ(extended.error().kind, failure_kind::no_space);
    EXPECT_EQ((*store->find(before.token))->expires_unix_s, test_now + 1000);

    std::filesystem::remove(folder_ + "/filler");
    EXPECT_EQ(store->sweep(test_now, 100)->contents, 1U);
    EXPECT_EQ(files_in("content"), 1U);
    const link after = add(*store, "content");
    EXPECT_EQ(content_of(*store, after), "content");
    EXPECT_EQ(tokens(*store).size(), 2U);
}

TEST_F(no_space_test, for_the_catalogue_does_not_hold_up_a_publish) {
    {
        auto store = open();
        add(*store, std::string(4096, 'a'));
        fill();
        // Room for contents and records, but not for a page of the catalogue's log too.
        std::filesystem::resize_file(folder_ + "/filler",
                                     std::filesystem::file_size(folder_ + "/filler") - 12'288);
        add(*store, "b");
        const auto listed = store->list("", "", 10);
        ASSERT_FALSE(listed);
        EXPECT_EQ(listed.error().kind, failure_kind::no_space) << listed.error().detail;
        std::filesystem::remove(folder_ + "/filler");
        EXPECT_EQ(tokens(*store).size(), 2U);
        fill();
    }
    // An end that could not be written down.
    std::filesystem::remove(folder_ + "/filler");
    const auto store = open();
    EXPECT_EQ(tokens(*store).size(), 2U);
    EXPECT_EQ(store->totals()->contents, 2U);
}

} // namespace
} // namespace ebbgate::blob
