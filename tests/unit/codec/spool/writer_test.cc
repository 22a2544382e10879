// Group commit, its failures, and the life of segments and body files.

#include "spool_harness.h"

#include <gtest/gtest.h>

#include <random>

namespace ebbgate::spool {
namespace {

// What a restart after a power cut right now finds.
recovered_shard recover_after_cut(simulated_disk& disk,
                                  std::unique_ptr<simulated_disk>& image,
                                  crash_mode mode = crash_mode::nothing) {
    std::mt19937_64 random(1);
    image = disk.crash(mode, random);
    spool_harness after(*image);
    EXPECT_TRUE(after.open());
    return std::move(after.found);
}

TEST(Writer, NothingIsSettledBeforeTheDiskHasIt) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    test_append& request = spool.append(1, "meta", "body");
    EXPECT_FALSE(request.status);
    spool.turn();
    EXPECT_FALSE(request.status);
    spool.device().run_one();
    EXPECT_FALSE(request.status);
    spool.device().complete_one();
    ASSERT_TRUE(request.status);
    EXPECT_EQ(*request.status, append_status::durable);
}

TEST(Writer, MessagesThatWaitShareOneGroup) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    spool.append(1, "m", "first");
    spool.turn();
    for (std::uint64_t id = 2; id < 12; ++id) {
        spool.append(id, "m", "later");
    }
    spool.turn(); // The first group is still under way.
    spool.device().poll();
    spool.turn();
    spool.device().poll();
    EXPECT_EQ(spool.log->counters().groups, 2U);
    EXPECT_TRUE(spool.log->idle());
}

TEST(Writer, AStoredMessageReadsBackAsItWas) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    for (const std::size_t bytes : {0U, 1U, 63U, 64U, 4096U, 6144U}) {
        const std::string body(bytes, 'b');
        const test_append& request = spool.append_and_settle(bytes + 1, "the meta", body);
        ASSERT_EQ(request.status, append_status::durable) << bytes;
        const read_result stored = spool.read(bytes + 1, request.where);
        EXPECT_EQ(stored.status, read_status::ready);
        EXPECT_EQ(stored.meta, "the meta");
        EXPECT_EQ(stored.body, body);
    }
}

TEST(Writer, ALargeBodyGoesToItsOwnFileAndBack) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    EXPECT_EQ(spool.append_large(7, "meta", "none is ready"), nullptr);
    spool.supply();
    std::string body;
    for (int line = 0; body.size() < 700 * kib; ++line) {
        body += "line " + std::to_string(line) + "\r\n";
    }
    test_append* request = spool.append_large(7, "meta", body);
    ASSERT_NE(request, nullptr);
    ASSERT_TRUE(spool.settle());
    ASSERT_EQ(request->status, append_status::durable);
    EXPECT_EQ(request->where.body_bytes, body.size());
    const read_result stored = spool.read(7, request->where);
    EXPECT_EQ(stored.status, read_status::ready);
    EXPECT_TRUE(stored.body == body);

    std::unique_ptr<simulated_disk> image;
    const recovered_shard found = recover_after_cut(disk, image);
    ASSERT_EQ(found.live.size(), 1U);
    EXPECT_EQ(found.live[0].where, request->where);
    EXPECT_EQ(found.counts.missing_body_files, 0U);
}

TEST(Writer, WhatIsTooLargeIsToldSo) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    const test_append& body = spool.append(1, "m", std::string(6 * kib + 1, 'x'));
    const test_append& meta = spool.append(2, std::string(2 * kib + 1, 'x'), "b");
    spool.turn();
    EXPECT_EQ(body.status, append_status::too_large);
    EXPECT_EQ(meta.status, append_status::too_large);
}

TEST(Writer, OutcomesAloneWaitTwentyMilliseconds) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    const test_append& request = spool.append_and_settle(1, "m", "b");
    const std::uint64_t groups = spool.log->counters().groups;
    spool.turn(1);
    spool.log->mark_done(1, request.where);
    spool.turn(10);
    EXPECT_FALSE(spool.log->group_under_way());
    EXPECT_EQ(spool.log->next_deadline_ns(), spool.now_ns + 10'000'000);
    spool.turn(10);
    EXPECT_TRUE(spool.log->group_under_way());
    spool.device().poll();
    EXPECT_EQ(spool.log->counters().groups, groups + 1);
}

TEST(Writer, AnIdleLogProvesItsLastGroupOnce) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    spool.append_and_settle(1, "m", "b");
    const std::uint64_t groups = spool.log->counters().groups;
    spool.turn(300);
    spool.device().poll();
    EXPECT_EQ(spool.log->counters().groups, groups + 1);
    spool.turn(300);
    spool.device().poll();
    EXPECT_EQ(spool.log->counters().groups, groups + 1);
    EXPECT_EQ(spool.log->next_deadline_ns(), std::numeric_limits<std::int64_t>::max());
}

struct fault_case {
    const char* name;
    disk_fault fault;
    append_status status;
};

constexpr fault_case fault_cases[] = {
    {"io error", disk_fault::io_error, append_status::failed},
    {"short write", disk_fault::short_write, append_status::failed},
    {"no space", disk_fault::no_space, append_status::no_space},
    {"failed sync that later pretends success", disk_fault::lost_sync, append_status::failed},
};

TEST(Writer, AFailedGroupIsRefusedAndNeverComesBack) {
    for (const fault_case& c : fault_cases) {
        SCOPED_TRACE(c.name);
        simulated_disk disk;
        spool_harness spool(disk);
        ASSERT_TRUE(spool.open());
        const test_append& before = spool.append_and_settle(1, "m", "before");
        spool.supply(); // The spare is there; the next operation is the group's write.
        const test_append& failed = spool.append(2, "m", "failed");
        disk.fail_after(0, c.fault, 3);
        spool.turn();
        spool.device().poll();
        EXPECT_EQ(failed.status, c.status);
        EXPECT_TRUE(spool.log->intake_open());
        const test_append& after = spool.append_and_settle(3, "m", "after");
        EXPECT_EQ(after.status, append_status::durable);
        EXPECT_NE(after.where.segment_id, before.where.segment_id);

        std::unique_ptr<simulated_disk> image;
        const recovered_shard found = recover_after_cut(disk, image, crash_mode::everything);
        ASSERT_EQ(found.live.size(), 2U);
        EXPECT_EQ(found.live[0].id, 1U);
        EXPECT_EQ(found.live[1].id, 3U);
        EXPECT_EQ(found.counts.corrupt_records, 0U);
    }
}

TEST(Writer, AGroupThatFailedButArrivedIsVoided) {
    // The disk says the write failed, although all of it is there.
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    spool.append_and_settle(1, "m", "before");
    const test_append& failed = spool.append(2, "m", "failed");
    spool.turn();
    spool.device().begin_one();                  // Arrives whole with the cut below,
    disk.fail_after(0, disk_fault::no_space, 3); // but is reported as failed.
    spool.device().poll();
    ASSERT_EQ(failed.status, append_status::no_space);
    spool.append_and_settle(3, "m", "after");
    std::unique_ptr<simulated_disk> image;
    const recovered_shard found = recover_after_cut(disk, image, crash_mode::everything);
    ASSERT_EQ(found.live.size(), 2U);
    EXPECT_EQ(found.live[1].id, 3U);
    EXPECT_EQ(found.counts.voided, 1U);
}

TEST(Writer, ASecondFailureInARowClosesTheIntakeUntilACommitWorks) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    spool.append_and_settle(9, "m", "not proven yet");
    for (std::uint64_t id = 1; id <= 2; ++id) {
        spool.supply();
        spool.append(id, "m", "b");
        disk.fail_after(0, disk_fault::io_error, id);
        spool.turn(25);
        spool.device().poll();
    }
    EXPECT_FALSE(spool.log->intake_open());
    EXPECT_EQ(spool.log->intake_status(), append_status::failed);
    const test_append& refused = spool.append(3, "m", "b");
    spool.turn(25);
    EXPECT_EQ(refused.status, append_status::failed);
    // Nothing is done before the next try, so nobody is woken before it.
    spool.turn(300);
    EXPECT_FALSE(spool.log->intake_open());
    EXPECT_GT(spool.log->next_deadline_ns(), spool.now_ns);
    for (int tick = 0; tick < 60; ++tick) {
        spool.turn(25);
        spool.device().poll();
    }
    EXPECT_TRUE(spool.log->intake_open());
    EXPECT_EQ(spool.append_and_settle(4, "m", "b").status, append_status::durable);
}

TEST(Writer, OutcomesOfAFailedGroupAreWrittenAgain) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    const test_append& request = spool.append_and_settle(1, "m", "b");
    spool.append_and_settle(2, "m", "b");
    spool.supply();
    spool.log->mark_done(1, request.where);
    spool.log->note_state(2, "tried once");
    spool.turn(10);
    disk.fail_after(0, disk_fault::io_error, 5);
    spool.turn(25);
    spool.device().poll();
    ASSERT_EQ(spool.log->counters().failed_groups, 1U);
    ASSERT_TRUE(spool.settle());
    std::unique_ptr<simulated_disk> image;
    const recovered_shard found = recover_after_cut(disk, image);
    ASSERT_EQ(found.live.size(), 1U);
    EXPECT_EQ(found.live[0].state, "tried once");
}

TEST(Writer, TheIntakeClosesBelowTheReserveAndReopens) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    spool.turn();
    EXPECT_TRUE(spool.log->intake_open());
    spool.log->note_free_bytes(1 * mib - 1);
    EXPECT_EQ(spool.log->intake_status(), append_status::no_space);
    spool.log->note_free_bytes(1 * mib);
    EXPECT_TRUE(spool.log->intake_open());
}

TEST(Writer, AFullDiskRefusesMailButStillRecordsOutcomes) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    const test_append& first = spool.append_and_settle(1, "m", "b");
    spool.turn();
    spool.turn();
    // Use up the spare: then no new segment can be made.
    std::uint64_t id = 2;
    const test_append* last = &first;
    disk.fail_after(100, disk_fault::no_space, 1);
    while (last->status == append_status::durable && id < 200) {
        disk.fail_after(1, disk_fault::no_space, 1); // The one after the group's write.
        last = &spool.append(id++, "m", std::string(5000, 'x'));
        for (int round = 0; round < 4 && !last->status; ++round) {
            spool.turn();
            spool.device().poll();
        }
    }
    EXPECT_EQ(last->status, append_status::no_space);
    EXPECT_FALSE(spool.log->intake_open());
    disk.fail_after(1000, disk_fault::no_space, 1);
    spool.log->mark_done(1, first.where);
    spool.turn(25);
    ASSERT_TRUE(spool.log->group_under_way());
    spool.device().poll();
    std::unique_ptr<simulated_disk> image;
    const recovered_shard found = recover_after_cut(disk, image);
    ASSERT_FALSE(found.live.empty());
    EXPECT_EQ(found.live[0].id, 2U);
}

TEST(Writer, SegmentsAreReusedOnceNothingInThemIsLive) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    for (std::uint64_t id = 1; id <= 400; ++id) {
        const test_append& request = spool.append_and_settle(id, "m", std::string(5000, 'x'));
        ASSERT_EQ(request.status, append_status::durable);
        spool.log->mark_done(id, request.where);
    }
    ASSERT_TRUE(spool.settle());
    EXPECT_GT(spool.log->counters().retired_segments, 20U);
    EXPECT_LE(spool.log->log_bytes(), 2 * small_options().segment_bytes);
    const auto entries = spool.files.list("s00");
    ASSERT_TRUE(entries.has_value());
    EXPECT_LE(entries->size(), 6U); // Active, spare, and what is kept for reuse.
}

TEST(Writer, ARetiredFileThatCannotBeReusedBringsNoMessageBack) {
    simulated_disk disk;
    writer_options options = small_options();
    options.retired_segments_max = 100;
    spool_harness spool(disk, options);
    ASSERT_TRUE(spool.open());
    std::uint64_t id = 1;
    const test_append& first = spool.append_and_settle(id, "m", std::string(5000, 'x'));
    // Segment 1 fills; the outcome of its first message lies in segment 2 or later.
    std::vector<const test_append*> stored{&first};
    while (stored.back()->where.segment_id < 4) {
        stored.push_back(&spool.append_and_settle(++id, "m", std::string(5000, 'x')));
    }
    for (const test_append* request : stored) {
        spool.log->mark_done(request->message_id, request->where);
    }
    ASSERT_TRUE(spool.settle());
    spool.log->pump(spool.now_ns);
    ASSERT_GE(spool.log->counters().retired_segments, 3U);
    // Its header cannot be written, so the old content stays; nor is it removed.
    bool has_failed = false;
    for (int round = 0; round < 400; ++round) {
        if (spool.log->wants_segment()) {
            const segment_order order = spool.log->order_segment();
            if (!has_failed && order.reused_file != no_file) {
                disk.fail_after(0, disk_fault::no_space, 1);
                has_failed = true;
            }
            if (const auto segment = prepare_segment(spool.files, order)) {
                spool.log->give_segment(*segment);
            } else {
                spool.log->segment_failed(order, segment.error().kind);
            }
        }
        test_append& request = spool.append(++id, "m", std::string(5000, 'x'));
        for (int turn = 0; turn < 100 && !request.status; ++turn) {
            spool.log->pump(spool.now_ns += 25'000'000);
            spool.device().poll();
            if (!request.status && spool.log->wants_segment()) {
                break;
            }
        }
        if (request.status == append_status::durable) {
            spool.log->mark_done(request.message_id, request.where);
        }
    }
    ASSERT_TRUE(has_failed);
    std::unique_ptr<simulated_disk> image;
    const recovered_shard found = recover_after_cut(disk, image);
    for (const recovered_message& message : found.live) {
        EXPECT_GT(message.id, stored.back()->message_id);
    }
    EXPECT_EQ(found.counts.corrupt_records, 0U);
    spool.settle();
}

TEST(Writer, ALongLivedMessageIsOfferedForRelocationAndMoves) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    const test_append& keeper = spool.append_and_settle(1, "m", "the one that stays");
    for (std::uint64_t id = 2; spool.log->relocation_segment() == 0 && id < 200; ++id) {
        const test_append& request = spool.append_and_settle(id, "m", std::string(5000, 'x'));
        spool.log->mark_done(id, request.where);
        spool.settle();
    }
    ASSERT_EQ(spool.log->relocation_segment(), keeper.where.segment_id);
    ASSERT_FALSE(spool.log->relocation_candidates().empty());
    EXPECT_EQ(spool.log->relocation_candidates()[0], 1U);
    test_append& moved = spool.add(1, "m", "the one that stays", "state");
    moved.raw_body = moved.body_bytes;
    spool.log->append(moved);
    ASSERT_TRUE(spool.settle());
    {
        std::unique_ptr<simulated_disk> image;
        const recovered_shard found = recover_after_cut(disk, image);
        ASSERT_EQ(found.live.size(), 1U);
        EXPECT_EQ(found.counts.duplicates_removed, 1U);
        EXPECT_EQ(found.live[0].where, moved.where);
        EXPECT_EQ(found.live[0].state, "state");
    }
    spool.log->mark_moved(keeper.where);
    spool.turn();
    EXPECT_EQ(spool.log->relocation_segment(), 0U);
    EXPECT_EQ(spool.log->files().find(keeper.where.segment_id), nullptr);
}

TEST(Writer, ABodyFileIsNotReusedBeforeItsDoneIsDurable) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    (void)spool.log->acquire_body_file();
    spool.supply();
    test_append* request = spool.append_large(1, "m", std::string(9000, 'x'));
    ASSERT_NE(request, nullptr);
    ASSERT_TRUE(spool.settle());
    spool.log->mark_done(1, request->where);
    EXPECT_EQ(spool.log->files().free_body_files(), 0U);
    spool.turn(25);
    ASSERT_TRUE(spool.log->group_under_way());
    EXPECT_EQ(spool.log->files().free_body_files(), 0U);
    spool.device().poll();
    EXPECT_EQ(spool.log->files().free_body_files(), 1U);
}

TEST(Writer, APinnedSegmentIsNotReused) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    const test_append& first = spool.append_and_settle(1, "m", "b");
    spool.log->files().pin(first.where);
    spool.log->mark_done(1, first.where);
    for (std::uint64_t id = 2; id < 100; ++id) {
        const test_append& request = spool.append_and_settle(id, "m", std::string(5000, 'x'));
        spool.log->mark_done(id, request.where);
    }
    ASSERT_TRUE(spool.settle());
    EXPECT_EQ(spool.read(1, first.where).body, "b");
    spool.log->files().unpin_record(first.where);
    spool.turn();
    EXPECT_EQ(spool.log->files().find(first.where.segment_id), nullptr);
}

TEST(Writer, AMessageThatIsBeingSentHoldsNoSegment) {
    simulated_disk disk;
    spool_harness spool(disk);
    ASSERT_TRUE(spool.open());
    const test_append& first = spool.append_and_settle(1, "m", "b");
    message_reader reader(
        spool.device(),
        spool.log->files(),
        [](message_reader&, read_status, void*) noexcept {},
        nullptr);
    reader.start(1, first.where);
    spool.device().poll();
    spool.log->mark_done(1, first.where);
    for (std::uint64_t id = 2; id < 100; ++id) {
        const test_append& request = spool.append_and_settle(id, "m", std::string(5000, 'x'));
        spool.log->mark_done(id, request.where);
    }
    ASSERT_TRUE(spool.settle());
    EXPECT_EQ(spool.log->files().find(first.where.segment_id), nullptr);
    ASSERT_TRUE(reader.next());
    EXPECT_EQ(reader.block(), "b");
}

// Every operation of a short life fails once, in each way: nothing hangs, and what was
// acknowledged is there afterwards, whatever the failed write left behind.
TEST(Writer, AnyOperationMayFailWithoutLosingWhatWasAcknowledged) {
    for (const fault_case& c : fault_cases) {
        for (std::uint64_t nth = 0; nth < 60; ++nth) {
            SCOPED_TRACE(std::string(c.name) + ", operation " + std::to_string(nth));
            simulated_disk disk;
            spool_harness spool(disk);
            disk.fail_after(nth, c.fault, nth);
            if (!spool.open()) {
                continue; // The daemon does not start; nothing was acknowledged.
            }
            for (std::uint64_t id = 1; id <= 20; ++id) {
                if (id % 5 != 0 || spool.append_large(id, "m", std::string(9000, 'l')) == nullptr) {
                    spool.append(id, "m", std::string(4000, static_cast<char>('a' + id)));
                }
                spool.turn(25);
                spool.device().poll();
            }
            ASSERT_TRUE(spool.settle());
            std::map<std::uint64_t, const test_append*> acknowledged;
            for (const auto& request : spool.requests) {
                ASSERT_TRUE(request->status);
                if (*request->status == append_status::durable) {
                    acknowledged[request->message_id] = request.get();
                }
            }
            std::mt19937_64 random(nth);
            const auto image = disk.crash(crash_mode::random_sectors, random);
            spool_harness after(*image);
            ASSERT_TRUE(after.open());
            EXPECT_EQ(after.found.counts.corrupt_records, 0U);
            for (const recovered_message& message : after.found.live) {
                const auto at = acknowledged.find(message.id);
                if (at != acknowledged.end()) {
                    EXPECT_EQ(after.read(message.id, message.where).body, at->second->body_bytes);
                    acknowledged.erase(at);
                }
            }
            EXPECT_TRUE(acknowledged.empty());
        }
    }
}

} // namespace
} // namespace ebbgate::spool
