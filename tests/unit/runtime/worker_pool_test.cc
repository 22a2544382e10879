// Jobs run on workers, their ends on the reactor that asked, and the queue is bounded.

#include "runtime/shard/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <semaphore>
#include <thread>

namespace ebbgate::shard {
namespace {

TEST(WorkerPool, WorkRunsElsewhereAndItsEndAtHome) {
    auto home = task::reactor::open({});
    ASSERT_TRUE(home.has_value());
    worker_pool pool(2, 1000);
    const std::thread::id here = std::this_thread::get_id();
    std::atomic<int> elsewhere = 0;
    int at_home = 0;
    for (int index = 0; index < 500; ++index) {
        ASSERT_TRUE(pool.submit(
            **home,
            [&] { elsewhere += std::this_thread::get_id() != here ? 1 : 0; },
            [&] { at_home += std::this_thread::get_id() == here ? 1 : 0; }));
    }
    for (int turn = 0; turn < 2000 && at_home < 500; ++turn) {
        (*home)->run_once(10);
    }
    EXPECT_EQ(elsewhere.load(), 500);
    EXPECT_EQ(at_home, 500);
}

TEST(WorkerPool, AFullQueueRefuses) {
    auto home = task::reactor::open({});
    ASSERT_TRUE(home.has_value());
    std::binary_semaphore begun(0);
    std::binary_semaphore go_on(0);
    worker_pool pool(1, 3);
    ASSERT_TRUE(pool.submit(
        **home,
        [&] {
            begun.release();
            go_on.acquire();
        },
        [] {}));
    begun.acquire();
    for (int index = 0; index < 3; ++index) {
        EXPECT_TRUE(pool.submit(**home, [] {}, [] {}));
    }
    EXPECT_FALSE(pool.submit(**home, [] {}, [] {}));
    EXPECT_EQ(pool.waiting_jobs(), 3U);
    go_on.release();
}

TEST(WorkerPool, StoppingWaitsForWhatRunsAndItsEndIsStillPosted) {
    auto home = task::reactor::open({});
    ASSERT_TRUE(home.has_value());
    std::binary_semaphore begun(0);
    bool ended = false;
    worker_pool pool(1, 3);
    ASSERT_TRUE(pool.submit(
        **home,
        [&] {
            begun.release();
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        },
        [&] { ended = true; }));
    begun.acquire();
    ASSERT_TRUE(pool.submit(**home, [] {}, [] {}));
    EXPECT_TRUE(pool.stop(std::chrono::seconds(10)));
    EXPECT_EQ(pool.waiting_jobs(), 0U);
    EXPECT_FALSE(pool.submit(**home, [] {}, [] {}));
    (*home)->run_once(0);
    EXPECT_TRUE(ended);
}

TEST(WorkerPool, StoppingDoesNotWaitForAJobThatHangs) {
    auto home = task::reactor::open({});
    ASSERT_TRUE(home.has_value());
    std::binary_semaphore begun(0);
    std::binary_semaphore go_on(0);
    worker_pool pool(2, 3);
    ASSERT_TRUE(pool.submit(
        **home,
        [&] {
            begun.release();
            go_on.acquire();
        },
        [] {}));
    begun.acquire();
    EXPECT_FALSE(pool.stop(std::chrono::milliseconds(20)));
    go_on.release();
    EXPECT_TRUE(pool.stop(std::chrono::seconds(10)));
}

TEST(Reactor, APostWakesASleeper) {
    auto home = task::reactor::open({});
    ASSERT_TRUE(home.has_value());
    for (int round = 0; round < 200; ++round) {
        bool ran = false;
        std::thread other([&] { (*home)->post([&] { ran = true; }); });
        const std::uint64_t begun = (*home)->now_ms();
        while (!ran) {
            (*home)->run_once(5000);
        }
        other.join();
        ASSERT_LT((*home)->now_ms() - begun, 4000U) << "slept through the wake";
    }
}

} // namespace
} // namespace ebbgate::shard
