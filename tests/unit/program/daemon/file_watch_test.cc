// Changes are seen with inotify, without it, and while it comes and goes.

#include "program/daemon/file_watch.h"

#include <gtest/gtest.h>

#include <sys/inotify.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ebbgate::program {
namespace {

using std::chrono::milliseconds;

// What inotify answers.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): plain functions read it.
thread_local int init_errno = 0;
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): plain functions read it.
thread_local int add_errno = 0;

constexpr inotify_calls calls{
    .init =
        [](int flags) {
            errno = init_errno;
            return init_errno != 0 ? -1 : inotify_init1(flags);
        },
    .add =
        [](int fd, const char* path, std::uint32_t mask) {
            errno = add_errno;
            return add_errno != 0 ? -1 : inotify_add_watch(fd, path, mask);
        },
};

class file_watch_test : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-watch-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        file_ = folder_ + "/policy.json";
        write("1");
        init_errno = add_errno = 0;
    }

    void TearDown() override { std::filesystem::remove_all(folder_); }

    // Never of the size that the file has: two writes may come within one tick of its clock.
    void write(const std::string& text) const { std::ofstream(file_) << text; }

    // Read when nothing had changed for long, unless told otherwise.
    file_watch&
    make(std::vector<std::string> paths,
         std::chrono::system_clock::time_point reading_since = std::chrono::system_clock::now() +
                                                               std::chrono::hours(1)) {
        watch_ = std::make_unique<file_watch>(
            [this](const std::string& line) { lines_.push_back(line); }, calls);
        watch_->watch(std::move(paths), reading_since);
        return *watch_;
    }

    // As the management thread does. Returns after how many milliseconds it would reload.
    int reloads_after(file_watch& watch, int within_ms, const std::function<void(int)>& at = {}) {
        for (const auto began = now_; now_ - began <= milliseconds(within_ms);) {
            const auto past = std::chrono::duration_cast<milliseconds>(now_ - began);
            if (at) {
                at(static_cast<int>(past.count()));
            }
            int bytes = 0;
            const bool is_readable = watch.descriptor() >= 0 &&
                                     ioctl(watch.descriptor(), FIONREAD, &bytes) == 0 && bytes != 0;
            if (watch.look(is_readable, now_)) {
                return static_cast<int>(past.count());
            }
            now_ += milliseconds(std::min(watch.wait_ms(now_), 50));
        }
        return -1;
    }

    std::string folder_;
    std::string file_;
    std::vector<std::string> lines_;
    std::unique_ptr<file_watch> watch_;
    file_watch::time_point now_ = std::chrono::steady_clock::now();
};

TEST_F(file_watch_test, sees_a_change_by_inotify) {
    file_watch& watch = make({file_});
    EXPECT_GE(watch.descriptor(), 0);
    EXPECT_EQ(reloads_after(watch, 2000), -1);
    write("22");
    const int after = reloads_after(watch, 1000);
    EXPECT_TRUE(after >= 0 && after <= 200) << after;
    EXPECT_EQ(reloads_after(watch, 2000), -1);
    EXPECT_TRUE(lines_.empty());
}

TEST_F(file_watch_test, looks_once_more_at_a_new_file_that_changed_while_it_was_read) {
    const auto before = std::chrono::system_clock::now() - std::chrono::hours(1);
    for (const std::string& path : {file_, folder_}) {
        file_watch& watch = make({path}, before);
        EXPECT_GE(reloads_after(watch, 500), 0) << path;
        watch.note();
        watch.watch({path}, before); // No longer new.
        EXPECT_EQ(reloads_after(watch, 2000), -1) << path;
    }
}

struct broken {
    const char* name;
    int init;
    int add;
    const char* said;
};

class broken_inotify : public file_watch_test, public testing::WithParamInterface<broken> {};

TEST_P(broken_inotify, is_made_up_for_by_looking_each_half_second) {
    init_errno = GetParam().init;
    add_errno = GetParam().add;
    file_watch& watch = make({file_, folder_});
    EXPECT_EQ(reloads_after(watch, 3000), -1);
    for (const std::string text : {"22", "333", "4444"}) {
        write(text);
        const int after = reloads_after(watch, 1500);
        EXPECT_TRUE(after >= 0 && after <= 1200) << after; // 700, and what a busy machine adds.
        EXPECT_EQ(reloads_after(watch, 2000), -1);
    }
    std::ofstream(folder_ + "/tenant.json") << "x"; // The folder has another file.
    EXPECT_GE(reloads_after(watch, 1500), 0);
    std::filesystem::remove(file_);
    EXPECT_GE(reloads_after(watch, 1500), 0);
    ASSERT_EQ(lines_.size(), 1U);
    EXPECT_NE(lines_[0].find(GetParam().said), std::string::npos) << lines_[0];
    // And when there is room again, it is used.
    init_errno = add_errno = 0;
    EXPECT_EQ(reloads_after(watch, 1000), -1);
    ASSERT_EQ(lines_.size(), 2U);
    EXPECT_GE(watch.descriptor(), 0);
    write("55555");
    const int after = reloads_after(watch, 1000);
    EXPECT_TRUE(after >= 0 && after <= 200) << after;
    EXPECT_EQ(lines_.size(), 2U);
}

INSTANTIATE_TEST_SUITE_P(all,
                         broken_inotify,
                         testing::Values(broken{"instances", EMFILE, 0, "max_user_instances"},
                                         broken{"watches", 0, ENOSPC, "max_user_watches"},
                                         broken{"memory", 0, ENOMEM, "Cannot allocate memory"}),
                         [](const auto& row) { return row.param.name; });

TEST_F(file_watch_test, looks_for_a_folder_that_is_not_there_yet) {
    const std::string later = folder_ + "/later";
    file_watch& watch = make({file_, later + "/key.pem"});
    EXPECT_EQ(reloads_after(watch, 2000), -1);
    ASSERT_EQ(lines_.size(), 1U);
    EXPECT_NE(lines_[0].find(later + ": No such file"), std::string::npos) << lines_[0];
    std::filesystem::create_directory(later);
    std::ofstream(later + "/key.pem") << "x";
    EXPECT_GE(reloads_after(watch, 1000), 0);
    EXPECT_EQ(lines_.size(), 2U);
}

TEST_F(file_watch_test, waits_while_a_file_is_being_written_but_not_for_ever) {
    init_errno = EMFILE;
    file_watch& watch = make({file_});
    EXPECT_EQ(reloads_after(watch, 1000), -1);
    std::string text = "22";
    // For 300 ms.
    const int quiet = reloads_after(watch, 2000, [&](int past_ms) {
        if (past_ms <= 300) {
            write(text += 'x');
        }
    });
    EXPECT_TRUE(quiet > 300 && quiet <= 1000) << quiet;
    EXPECT_EQ(reloads_after(watch, 1000), -1);
    const int impatient = reloads_after(watch, 3000, [&](int) { write(text += 'x'); });
    EXPECT_TRUE(impatient >= 700 && impatient <= 1400) << impatient;
}

TEST_F(file_watch_test, what_was_noted_is_no_change) {
    init_errno = EMFILE;
    file_watch& watch = make({file_});
    EXPECT_EQ(reloads_after(watch, 1000), -1);
    write("22");
    watch.note(); // A reload by command has read it.
    EXPECT_EQ(reloads_after(watch, 2000), -1);
}

} // namespace
} // namespace ebbgate::program
