// What was answered survives a kill -9, and no change is without its audit row, nor the other way.

#include "service/overlay/overlay_store.h"

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <set>
#include <string>
#include <unistd.h>

namespace ebbgate::overlay {
namespace {

// The child: adds senders without end and says the number of each that was answered.
[[noreturn]] void change_for_ever(const std::string& path, int told, int from) {
    auto opened = overlay_store::open(path);
    if (!opened) {
        _exit(2);
    }
    for (int number = from;; ++number) {
        const std::string pattern = "n" + std::to_string(number) + "@acme.example";
        const auto done = (*opened)->add_sender({{}, "sender add"}, "acme", pattern, false);
        if (!done || done->verdict == verdict::refused) {
            _exit(3);
        }
        if (write(told, &number, sizeof number) != sizeof number) {
            _exit(4);
        }
    }
}

TEST(crash, what_was_answered_is_there_after_kill_9) {
    char name[] = "/tmp/ebbgate-overlay-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    const std::string path = std::string(name) + "/overlay.db";
    int next = 0;
    int answered = -1;
    for (int round = 0; round < 20; ++round) {
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            close(ends[0]);
            change_for_ever(path, ends[1], next);
        }
        close(ends[1]);
        // At least one answer, then at a moment that differs from round to round.
        const int first = answered;
        int number = 0;
        while (read(ends[0], &number, sizeof number) == sizeof number) {
            answered = number;
            if (answered - first > round) {
                usleep(static_cast<useconds_t>(round * 137));
                kill(child, SIGKILL);
                break;
            }
        }
        while (read(ends[0], &number, sizeof number) == sizeof number) {
            answered = number; // Said before the kill.
        }
        close(ends[0]);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
        ASSERT_GT(answered, first);

        auto opened = overlay_store::open(path);
        ASSERT_TRUE(opened) << opened.error().detail;
        std::set<std::string> there;
        const policy::overlay all = (*opened)->read(1).value();
        for (const policy::overlay_sender& one : all.senders) {
            there.insert(one.pattern);
        }
        std::set<std::string> audited;
        std::int64_t after = 0;
        do {
            const auto page = (*opened)->audit("acme", after, page_rows_max).value();
            for (const audit_row& row : page.rows) {
                EXPECT_TRUE(audited.insert(row.subject).second) << row.subject;
                EXPECT_EQ(row.result, "done");
            }
            after = page.next;
        } while (after != 0);
        EXPECT_EQ(there, audited);
        for (int expected = 0; expected <= answered; ++expected) {
            ASSERT_TRUE(there.contains("n" + std::to_string(expected) + "@acme.example"))
                << expected << " was answered";
        }
        // At most the one that was under way is there unanswered.
        EXPECT_LE(there.size(), static_cast<std::size_t>(answered) + 2);
        next = answered + 1;
    }
    std::filesystem::remove_all(name);
}

} // namespace
} // namespace ebbgate::overlay
