// The ring's own limits: more completions than its queue holds, more submissions than fit.

#include "runtime/ring/ring.h"

#include <gtest/gtest.h>

#include <sys/eventfd.h>

#include <chrono>
#include <cstdint>
#include <unistd.h>
#include <vector>

namespace ebbgate::ring {
namespace {

struct counted_read : operation {
    int* done = nullptr;
    std::uint64_t value = 0;
};

class RingTest : public testing::TestWithParam<use> {
protected:
    // One queues `count` reads on an event that never runs dry, and takes all that completes.
    void read_many(const options& wanted, int count) {
        auto opened = ring::open(wanted);
        ASSERT_TRUE(opened) << opened.error().detail;
        const int event = eventfd(100'000, EFD_SEMAPHORE | EFD_CLOEXEC);
        std::vector<int> done(static_cast<std::size_t>(count), 0);
        std::vector<counted_read> reads(static_cast<std::size_t>(count));
        for (std::size_t index = 0; index < reads.size(); ++index) {
            reads[index].done = &done[index];
            reads[index].on_complete =
                [](operation& read, std::int32_t result, std::uint32_t) noexcept {
                    EXPECT_EQ(result, 8);
                    ++*static_cast<counted_read&>(read).done;
                };
            (*opened)->read(reads[index], event, &reads[index].value, sizeof(std::uint64_t), 0);
        }
        for (int turn = 0; turn < 1000 && (*opened)->in_flight_count() > 0; ++turn) {
            (*opened)->turn(std::chrono::milliseconds(1));
        }
        EXPECT_EQ(done, std::vector<int>(static_cast<std::size_t>(count), 1));
        EXPECT_EQ((*opened)->statistics().stale_completions, 0U);
        overflows = (*opened)->statistics().completion_overflows;
        full = (*opened)->statistics().submission_full;
        close(event);
    }

    std::uint64_t overflows = 0;
    std::uint64_t full = 0;
};

TEST_P(RingTest, MoreCompletionsThanTheQueueHoldsAllComeOnce) {
    options small;
    small.submission_entries = 8;
    small.completion_entries = 16;
    small.defer_taskrun = GetParam();
    read_many(small, 2000);
    EXPECT_GT(full, 0U) << "the submission queue was to overflow";
}

TEST_P(RingTest, TheFeatureIsWhatWasAskedFor) {
    options wanted;
    wanted.defer_taskrun = GetParam();
    auto opened = ring::open(wanted);
    ASSERT_TRUE(opened) << opened.error().detail;
    EXPECT_EQ((*opened)->features().defer_taskrun, GetParam() == use::on);
}

INSTANTIATE_TEST_SUITE_P(DeferTaskrun, RingTest, testing::Values(use::on, use::off));

} // namespace
} // namespace ebbgate::ring
