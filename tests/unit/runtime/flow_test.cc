// Coroutine flows: order, results, frames, sleeping, stopping, waiting for workers and signals.

#include "runtime/shard/worker_job.h"
#include "runtime/task/flow.h"
#include "runtime/task/frame_pool.h"
#include "runtime/task/scope.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace ebbgate::task {
namespace {

class flows : public testing::Test {
protected:
    void SetUp() override {
        auto opened = reactor::open({});
        ASSERT_TRUE(opened) << opened.error().detail;
        loop = std::move(*opened);
        owner = std::make_unique<scope>(*loop);
    }

    void run_until_over() {
        for (int turn = 0; turn < 2000 && owner->count() > 0; ++turn) {
            loop->run_once(5);
        }
        EXPECT_EQ(owner->count(), 0U);
    }

    std::unique_ptr<reactor> loop;
    std::unique_ptr<scope> owner;
    std::vector<std::string> seen;
};

flow<int> sum_down(int from) {
    if (from == 0) {
        co_return 0;
    }
    flow<int> child = sum_down(from - 1);
    const int below = co_await child;
    co_return below + from;
}

flow<> many_children(int count, long& total) {
    for (int number = 0; number < count; ++number) {
        flow<int> child = sum_down(3);
        const int sum = co_await child;
        total += sum;
    }
}

TEST_F(flows, a_child_that_does_not_wait_costs_no_stack_and_gives_its_frame_back) {
    long total = 0;
    owner->start(many_children(200'000, total));
    EXPECT_EQ(total, 1'200'000);
    EXPECT_EQ(owner->count(), 0U);
    const std::size_t kept = frame_pool::kept_count();
    EXPECT_GT(kept, 0U);
    owner->start(many_children(1000, total));
    EXPECT_EQ(frame_pool::kept_count(), kept);
}

flow<std::unique_ptr<std::string>> slow_text(scope& owner, std::string text) {
    sleep pause(owner, 2);
    co_await pause;
    co_return std::make_unique<std::string>(std::move(text));
}

flow<> ask_twice(scope& owner, std::vector<std::string>& seen) {
    for (const char* text : {"first", "second"}) {
        std::string copy = text;
        flow<std::unique_ptr<std::string>> asked = slow_text(owner, std::move(copy));
        const std::unique_ptr<std::string> answer = co_await asked;
        seen.push_back(*answer);
    }
}

TEST_F(flows, a_parent_goes_on_with_the_result_of_a_child_that_waited) {
    owner->start(ask_twice(*owner, seen));
    EXPECT_EQ(owner->count(), 1U);
    run_until_over();
    EXPECT_EQ(seen, (std::vector<std::string>{"first", "second"}));
}

flow<> sleeper(scope& owner, std::uint64_t ms, std::string name, std::vector<std::string>& seen) {
    sleep pause(owner, ms);
    co_await pause;
    seen.push_back(std::move(name));
}

TEST_F(flows, sleeps_end_in_the_order_of_their_times) {
    owner->start(sleeper(*owner, 30, "late", seen));
    owner->start(sleeper(*owner, 5, "early", seen));
    run_until_over();
    EXPECT_EQ(seen, (std::vector<std::string>{"early", "late"}));
}

TEST_F(flows, stopping_ends_every_sleep_and_those_to_come) {
    const std::uint64_t hour_ms = 3'600'000;
    owner->start(sleeper(*owner, hour_ms, "a", seen));
    owner->start(sleeper(*owner, hour_ms, "b", seen));
    owner->stop();
    EXPECT_TRUE(seen.empty()); // Not inside stop(): in the next turn.
    run_until_over();
    EXPECT_EQ(seen.size(), 2U);
    owner->start(sleeper(*owner, hour_ms, "c", seen));
    EXPECT_EQ(seen.size(), 3U);
}

flow<> waiter(signal& awaited, int times, std::vector<std::string>& seen) {
    for (int number = 0; number < times; ++number) {
        co_await awaited;
        seen.push_back("woken");
    }
}

TEST_F(flows, a_signal_wakes_once_for_each_wait_and_is_kept_when_nobody_waits) {
    signal awaited(loop->ready());
    awaited.set();
    owner->start(waiter(awaited, 2, seen));
    EXPECT_EQ(seen.size(), 1U);
    awaited.set();
    awaited.set(); // It is set already.
    EXPECT_EQ(seen.size(), 1U);
    run_until_over();
    EXPECT_EQ(seen.size(), 2U);
}

flow<> on_a_worker(shard::worker_pool& pool, reactor& home, std::vector<std::string>& seen) {
    std::thread::id worker;
    std::function<void()> work = [&worker] { worker = std::this_thread::get_id(); };
    shard::worker_job job(pool, home, std::move(work));
    const bool ran = co_await job;
    seen.push_back(!ran                                   ? "full"
                   : worker == std::this_thread::get_id() ? "same thread"
                                                          : "other thread");
}

TEST_F(flows, a_worker_job_runs_elsewhere_and_its_flow_goes_on_here) {
    shard::worker_pool pool(1, 10);
    owner->start(on_a_worker(pool, *loop, seen));
    run_until_over();
    EXPECT_EQ(seen, std::vector<std::string>{"other thread"});
}

TEST_F(flows, a_worker_job_that_finds_the_queue_full_goes_on_at_once) {
    shard::worker_pool pool(1, 0);
    owner->start(on_a_worker(pool, *loop, seen));
    EXPECT_EQ(seen, std::vector<std::string>{"full"});
}

TEST_F(flows, posts_of_many_threads_all_run_each_thread_s_in_order) {
    constexpr int threads = 4;
    constexpr int each = 5000;
    std::vector<int> next(threads, 0);
    int ran = 0;
    bool in_order = true;
    std::vector<std::thread> posting;
    for (int who = 0; who < threads; ++who) {
        posting.emplace_back([&, who] {
            for (int number = 0; number < each; ++number) {
                loop->post([&, who, number] {
                    in_order = in_order && next[static_cast<std::size_t>(who)]++ == number;
                    ++ran;
                });
            }
        });
    }
    for (int turn = 0; turn < 200'000 && ran < threads * each; ++turn) {
        loop->run_once(100);
    }
    for (std::thread& one : posting) {
        one.join();
    }
    EXPECT_EQ(ran, threads * each);
    EXPECT_TRUE(in_order);
}

} // namespace
} // namespace ebbgate::task
