// SIGKILL at any moment: what was answered is counted, and what was not even begun is not.

#include "stage/limits/counter_table.h"
#include "table_fixture.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <csignal>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace ebbgate::limits {
namespace {

constexpr std::size_t key_count = 24;
constexpr int thread_count = 3;
constexpr config::rate limit{1'000'000'000, std::chrono::hours(1)};
constexpr config::rate few{2, std::chrono::hours(1)};

// In memory that outlives the child.
struct scoreboard {
    std::array<std::atomic<std::uint32_t>, key_count> begun;
    std::array<std::atomic<std::uint32_t>, key_count> answered;
    std::atomic<std::uint64_t> turns;
};

[[noreturn]] void count_until_killed(const std::string& path, scoreboard& score) {
    auto table = counter_table::open(path, 64, test_start);
    if (!table) {
        ::_exit(1);
    }
    std::vector<std::thread> threads;
    for (int thread = 0; thread < thread_count; ++thread) {
        threads.emplace_back([&, thread] {
            std::mt19937 random(static_cast<unsigned>(thread) + static_cast<unsigned>(::getpid()));
            for (;;) {
                const std::size_t number = random() % key_count;
                ++score.begun[number];
                if (!(*table)->take(
                        (*table)->key_of("r", std::to_string(number)), limit, 1, test_start)) {
                    ::_exit(2);
                }
                ++score.answered[number];
                // Claims that come and go, to be killed amid one.
                const auto got = (*table)->take(
                    (*table)->key_of("few", std::to_string(random() % 4)), few, 1, test_start);
                if (got) {
                    (void)(*table)->give_back(got->ticket);
                }
                ++score.turns;
            }
        });
    }
    for (;;) {
        ::pause();
    }
}

class counter_kill_test : public table_fixture {};

TEST_F(counter_kill_test, counts_are_right_after_a_kill_at_any_moment) {
    void* const shared = ::mmap(
        nullptr, sizeof(scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    scoreboard& score = *new (shared) scoreboard{};
    std::mt19937 random(5);
    std::uint64_t unfinished = 0;
    for (int round = 0; round < 60; ++round) {
        const std::uint64_t turns_before = score.turns;
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            count_until_killed(path_, score);
        }
        while (score.turns < turns_before + 200) {
            ASSERT_EQ(::waitpid(child, nullptr, WNOHANG), 0) << "the child failed";
            ::usleep(200);
        }
        ::usleep(static_cast<useconds_t>(random() % 4000));
        ::kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;

        const auto table = open(64);
        EXPECT_EQ(table->carried().damaged, 0U);
        EXPECT_LE(table->carried().unfinished, static_cast<std::uint64_t>(thread_count));
        unfinished += table->carried().unfinished;
        for (std::size_t number = 0; number < key_count; ++number) {
            const auto found =
                table->peek(table->key_of("r", std::to_string(number)), limit, test_start);
            const std::uint32_t used = found ? found->used : 0;
            ASSERT_GE(used, score.answered[number]) << "a message that was answered is not counted";
            ASSERT_LE(used, score.begun[number]);
        }
        // A ticket dies with its process; with the window of the next rounds it is not mixed up.
        for (int number = 0; number < 4; ++number) {
            const auto found =
                table->peek(table->key_of("few", std::to_string(number)), few, test_start);
            ASSERT_LE(found ? found->used : 0, few.count);
        }
        expect_no_key_twice();
    }
    EXPECT_GT(score.turns, 60U * 200);
    RecordProperty("unfinished", static_cast<int>(unfinished));
    ::munmap(shared, sizeof(scoreboard));
}

TEST_F(counter_kill_test, a_kill_while_opening_leaves_the_old_counts) {
    {
        const auto table = open(64);
        ASSERT_TRUE(table->take(table->key_of("r", "a"), limit, 41, test_start));
    }
    std::mt19937 random(6);
    for (int round = 0; round < 40; ++round) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            for (std::uint64_t slots = 64;; slots = slots == 64 ? 4096 : 64) {
                if (!counter_table::open(path_, slots, test_start)) {
                    ::_exit(1);
                }
            }
        }
        ::usleep(static_cast<useconds_t>(3000 + random() % 8000));
        ::kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << status;
        const auto table = open(64);
        EXPECT_EQ(table->peek(table->key_of("r", "a"), limit, test_start)->used, 41U);
    }
}

} // namespace
} // namespace ebbgate::limits
