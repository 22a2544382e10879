// The loop's clock, as those see it who are called by the loop.

#include "runtime/task/reactor.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <unistd.h>

namespace ebbgate::task {
namespace {

std::uint64_t monotonic_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

struct watched : ring::operation {
    reactor* loop = nullptr;
    std::uint64_t seen_ms = 0;
    std::uint64_t true_ms = 0;
};

TEST(Reactor, WhoIsToldAfterALongSleepSeesTheTimeOfNow) {
    auto opened = reactor::open({});
    ASSERT_TRUE(opened.has_value()) << opened.error().detail;
    reactor& loop = **opened;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    watched one;
    one.loop = &loop;
    one.on_complete = [](ring::operation& operation, std::int32_t, std::uint32_t) noexcept {
        auto& self = static_cast<watched&>(operation);
        self.seen_ms = self.loop->now_ms();
        self.true_ms = monotonic_ms();
    };
    loop.io().poll_readable(one, ends[0]);
    std::thread writer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(400));
        (void)!write(ends[1], "x", 1);
    });
    while (one.true_ms == 0) {
        loop.run_once(1000);
    }
    writer.join();
    EXPECT_LE(one.true_ms - one.seen_ms, 50U) << "it reckons with the time before the sleep";
    close(ends[0]);
    close(ends[1]);
}

} // namespace
} // namespace ebbgate::task
