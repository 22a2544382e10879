// Reading back: nothing is handed out that does not hold.

#include "spool_harness.h"

#include <gtest/gtest.h>

namespace ebbgate::spool {
namespace {

struct events {
    int ready = 0;
    int failed = 0;
    int damaged = 0;
};

void count_event(message_reader&, read_status status, void* context) noexcept {
    auto& seen = *static_cast<events*>(context);
    seen.ready += status == read_status::ready ? 1 : 0;
    seen.failed += status == read_status::failed ? 1 : 0;
    seen.damaged += status == read_status::damaged ? 1 : 0;
}

class Reader : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(spool_.open()); }

    test_append& store_large(std::size_t bytes) {
        (void)spool_.log->acquire_body_file();
        spool_.supply();
        test_append* request = spool_.append_large(1, "meta", std::string(bytes, 'L'));
        EXPECT_NE(request, nullptr);
        EXPECT_TRUE(spool_.settle());
        return *request;
    }

    std::string& body_file() { return *disk_.contents("s00/body/00000000.dat"); }

    simulated_disk disk_;
    spool_harness spool_{disk_};
    events seen_;
};

TEST_F(Reader, NoEventComesWithinStart) {
    const test_append& request = spool_.append_and_settle(1, "m", "body");
    message_reader reader(spool_.device(), spool_.log->files(), count_event, &seen_);
    reader.start(1, request.where);
    EXPECT_EQ(seen_.ready, 0);
    EXPECT_TRUE(reader.busy());
    spool_.device().poll();
    EXPECT_EQ(seen_.ready, 1);
    EXPECT_TRUE(reader.next());
    EXPECT_EQ(reader.block(), "body");
    EXPECT_TRUE(reader.next());
    EXPECT_TRUE(reader.block().empty());
}

TEST_F(Reader, ADamagedRecordIsReadAgainThenReported) {
    const test_append& request = spool_.append_and_settle(1, "m", "body");
    std::string& bytes = *disk_.contents("s00/00000000.seg");
    bytes[request.where.offset + 73] ^= 4;
    message_reader reader(spool_.device(), spool_.log->files(), count_event, &seen_);
    reader.start(1, request.where);
    spool_.device().poll();
    EXPECT_EQ(seen_.damaged, 0);
    spool_.device().poll();
    EXPECT_EQ(seen_.damaged, 1);
}

TEST_F(Reader, AReadErrorThatPassesIsNoDamage) {
    const test_append& request = spool_.append_and_settle(1, "m", "body");
    std::string& bytes = *disk_.contents("s00/00000000.seg");
    bytes[request.where.offset + 73] ^= 4;
    message_reader reader(spool_.device(), spool_.log->files(), count_event, &seen_);
    reader.start(1, request.where);
    spool_.device().poll();
    bytes[request.where.offset + 73] ^= 4;
    spool_.device().poll();
    EXPECT_EQ(seen_.ready, 1);
}

TEST_F(Reader, AnotherMessageAtTheLocationIsNotTaken) {
    const test_append& request = spool_.append_and_settle(1, "m", "body");
    EXPECT_EQ(spool_.read(2, request.where).status, read_status::damaged);
}

TEST_F(Reader, ALargeBodyIsVerifiedWholeBeforeItsFirstByteIsShown) {
    const test_append& request = store_large(600 * kib);
    body_file()[599 * kib] ^= 1;
    message_reader reader(spool_.device(), spool_.log->files(), count_event, &seen_);
    reader.start(1, request.where);
    for (int round = 0; round < 20; ++round) {
        spool_.device().poll();
    }
    EXPECT_EQ(seen_.ready, 0);
    EXPECT_EQ(seen_.damaged, 1);
}

TEST_F(Reader, DamageBetweenTheTwoReadingsHoldsBackTheLastBlock) {
    const test_append& request = store_large(600 * kib);
    message_reader reader(spool_.device(), spool_.log->files(), count_event, &seen_);
    reader.start(1, request.where);
    for (int round = 0; round < 20; ++round) {
        spool_.device().poll();
    }
    ASSERT_EQ(seen_.ready, 1);
    body_file()[10] ^= 1;
    std::size_t shown = 0;
    while (seen_.damaged == 0 && !reader.next()) {
        spool_.device().poll();
        shown += reader.block().size();
    }
    EXPECT_EQ(seen_.damaged, 1);
    EXPECT_LT(shown, 600 * kib);
}

} // namespace
} // namespace ebbgate::spool
